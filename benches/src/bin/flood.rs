//! `flood SOURCE COUNT < DESTINATIONS`: sends UDP packets, each of them the first of a flow, and prints the seconds per
//! packet. Meant to run in a pod's network namespace, where the sending of a packet is also its whole way through the
//! node, on this processor: veth hands a packet on at once.

use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd as _;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, setsockopt, socket, sockopt,
};

const IP_HEADER: u16 = 20;
const UDP_HEADER: u16 = 8;
const PACKET: u16 = IP_HEADER + UDP_HEADER + 18;
/// Discard (RFC 863).
const DESTINATION_PORT: u16 = 9;
const FIRST_SOURCE_PORT: u16 = 1_024;
const SOURCE_PORTS: u32 = 64_000;
/// Coprime to the number of destinations (a thousand, or a few): the way goes all over the list.
const STEP: usize = 7_919;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let source: Ipv4Addr = arguments.next().context("SOURCE is missing")?.parse()?;
    let count: u32 = arguments.next().context("COUNT is missing")?.parse()?;
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let destinations = text.lines().map(str::parse).collect::<Result<Vec<Ipv4Addr>, _>>()?;
    ensure!(!destinations.is_empty() && (1..=SOURCE_PORTS).contains(&count), "nothing to send, or more than ports");

    let socket = socket(AddressFamily::Inet, SockType::Raw, SockFlag::empty(), SockProtocol::Raw)?;
    setsockopt(&socket, sockopt::SndBufForce, &(16 << 20))?;
    let order = (0..).step_by(STEP).map(|place: usize| place % destinations.len());
    let packets: Vec<([u8; PACKET as usize], SockaddrIn)> = order
        .zip((0..count).map(|number| FIRST_SOURCE_PORT + u16::try_from(number).unwrap_or(0)))
        .filter_map(|(place, port)| {
            let destination = *destinations.get(place)?;
            Some((packet(source, port, destination), SockaddrIn::from(SocketAddrV4::new(destination, 0))))
        })
        .collect();

    let start = Instant::now();
    for (packet, destination) in &packets {
        sendto(socket.as_raw_fd(), packet, destination, MsgFlags::empty())?;
    }
    println!("{}", start.elapsed().as_secs_f64() / packets.len() as f64);
    Ok(())
}

/// An IPv4 packet with a UDP datagram. The kernel fills in what is zero: identification, source, checksum of the header
/// (raw(7)); UDP goes without a checksum (RFC 768).
fn packet(source: Ipv4Addr, source_port: u16, destination: Ipv4Addr) -> [u8; PACKET as usize] {
    const VERSION_AND_HEADER_WORDS: u8 = 0x45;
    const TTL: u8 = 64;
    const UDP: u8 = 17;
    const LENGTH: [u8; 2] = PACKET.to_be_bytes();
    const UDP_LENGTH: [u8; 2] = (PACKET - IP_HEADER).to_be_bytes();
    let [s0, s1, s2, s3] = source.octets();
    let [d0, d1, d2, d3] = destination.octets();
    let [from_high, from_low] = source_port.to_be_bytes();
    let [to_high, to_low] = DESTINATION_PORT.to_be_bytes();
    let head = [
        [VERSION_AND_HEADER_WORDS, 0, LENGTH[0], LENGTH[1]],
        [0, 0, 0, 0],
        [TTL, UDP, 0, 0],
        [s0, s1, s2, s3],
        [d0, d1, d2, d3],
        [from_high, from_low, to_high, to_low],
        [UDP_LENGTH[0], UDP_LENGTH[1], 0, 0],
    ];
    let mut packet = [0; PACKET as usize];
    for (byte, value) in packet.iter_mut().zip(head.into_iter().flatten()) {
        *byte = value;
    }
    packet
}
