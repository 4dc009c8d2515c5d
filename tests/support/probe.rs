//! Real packets: one datagram or one connection, and what its receiver saw.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ip_masq_agent::net::Protocol;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, SockaddrLike, bind, connect, setsockopt, socket,
    sockopt::SendTimeout,
};
use nix::sys::time::TimeVal;

use super::netns::Netns;
use super::{DEADLINE, wait_until};

/// How long a sender waits for an answer before it sends its datagram again.
const PATIENCE: Duration = Duration::from_millis(500);
/// What is sent and answered.
const GREETING: &[u8] = b"who am I?";

/// One end of a flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endpoint<'a> {
    /// Where it is.
    pub(crate) netns: &'a Netns,
    /// Its address.
    pub(crate) address: IpAddr,
    /// The interface that a link-local IPv6 address belongs to.
    pub(crate) interface: &'a str,
}

/// Where a flow said it came from, at both of its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sources {
    /// The sender's socket.
    pub(crate) sent: (IpAddr, u16),
    /// What the receiver's socket saw.
    pub(crate) seen: (IpAddr, u16),
}

/// Sends from one end to the other, waits for the answer to come back to the sender, and tells the sources.
///
/// The answer must come from the address that was sent to: a flow that is translated on its way out and not on its way
/// back does not work.
pub(crate) fn send(protocol: Protocol, from: Endpoint<'_>, to: Endpoint<'_>) -> Sources {
    let wildcard = from.bindable(0);
    match protocol {
        Protocol::Udp => {
            let receiver = to.netns.inside(|| UdpSocket::bind(to.bindable(0)).unwrap());
            let sender = from.netns.inside(|| UdpSocket::bind(wildcard).unwrap());
            udp(&receiver, &sender, from.reach(to, receiver.local_addr().unwrap().port()))
        }
        Protocol::Tcp => {
            let receiver = to.netns.inside(|| TcpListener::bind(to.bindable(0)).unwrap());
            let target = from.reach(to, receiver.local_addr().unwrap().port());
            // A listener answers the handshake without its program, so one thread can play both ends.
            let sender = from.netns.inside(|| tcp_connection(wildcard, target));
            tcp(&receiver, sender)
        }
        Protocol::Sctp => panic!("no probe sends SCTP"),
    }
}

/// Two sockets that go on sending to each other, as one flow.
#[derive(Debug)]
pub(crate) struct LongUdp {
    receiver: UdpSocket,
    sender: UdpSocket,
    target: SocketAddr,
}

impl LongUdp {
    /// Opens the sockets; nothing is sent yet.
    pub(crate) fn open(from: Endpoint<'_>, to: Endpoint<'_>) -> Self {
        Self::open_by_way_of(to.address, from, to)
    }

    /// The same, sent to an address that is translated to the receiver's.
    pub(crate) fn open_by_way_of(address: IpAddr, from: Endpoint<'_>, to: Endpoint<'_>) -> Self {
        let receiver = to.netns.inside(|| UdpSocket::bind(to.bindable(0)).unwrap());
        let sender = from.netns.inside(|| UdpSocket::bind(SocketAddr::new(from.address, 0)).unwrap());
        let target = SocketAddr::new(address, receiver.local_addr().unwrap().port());
        Self { receiver, sender, target }
    }

    /// Sends one datagram there, and one back.
    pub(crate) fn send(&self) -> Sources {
        udp(&self.receiver, &self.sender, self.target)
    }

    /// The sender's port.
    pub(crate) fn port(&self) -> u16 {
        self.sender.local_addr().unwrap().port()
    }
}

/// A connection that stays.
#[derive(Debug)]
pub(crate) struct LongTcp {
    sender: TcpStream,
    accepted: TcpStream,
}

impl LongTcp {
    /// Opens it.
    pub(crate) fn open(from: Endpoint<'_>, to: Endpoint<'_>) -> Self {
        let receiver = to.netns.inside(|| TcpListener::bind(to.bindable(0)).unwrap());
        let target = from.reach(to, receiver.local_addr().unwrap().port());
        let sender = from.netns.inside(|| tcp_connection(from.bindable(0), target));
        sender.set_read_timeout(Some(DEADLINE)).unwrap();
        let (accepted, _) = receiver.accept().unwrap();
        accepted.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { sender, accepted }
    }

    /// Sends some bytes there, and tells whose address the receiver knows.
    pub(crate) fn send(&mut self) -> std::io::Result<IpAddr> {
        let mut buffer = [0; GREETING.len()];
        self.sender.write_all(GREETING)?;
        self.accepted.read_exact(&mut buffer)?;
        self.accepted.peer_addr().map(|peer| peer.ip())
    }

    /// Sends some bytes there, and tells how the sender's end fares while it waits for an answer.
    pub(crate) fn send_in_vain(&mut self) -> std::io::Error {
        self.sender.write_all(GREETING).unwrap();
        self.sender.read_exact(&mut [0]).expect_err("nobody answers")
    }
}

/// Sends until a datagram and its answer have come through: on a busy machine either may take long.
fn udp(receiver: &UdpSocket, sender: &UdpSocket, target: SocketAddr) -> Sources {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    sender.set_read_timeout(Some(PATIENCE)).unwrap();
    // So that what comes late from an earlier call is not taken for an answer to this one.
    let datagram = [GREETING, &NUMBER.fetch_add(1, Ordering::Relaxed).to_be_bytes()].concat();
    let give_up = Instant::now() + DEADLINE;
    let mut seen = None;
    loop {
        assert!(
            Instant::now() < give_up,
            "no answer came from {target}, to which the datagram came from {seen:?} (None: it did not come)"
        );
        sender.send_to(&datagram, target).unwrap_or_else(|error| panic!("nothing can be sent to {target}: {error}"));
        let Some(source) = received(receiver, &datagram) else { continue };
        seen = Some(source);
        receiver.send_to(&datagram, source).unwrap();
        let Some(answered) = received(sender, &datagram) else { continue };
        assert_eq!(bare(answered), bare(target), "the answer comes from elsewhere");
        return Sources { sent: bare(sender.local_addr().unwrap()), seen: bare(source) };
    }
}

/// Where this datagram came from; `None` if it does not come in time.
fn received(socket: &UdpSocket, datagram: &[u8]) -> Option<SocketAddr> {
    let mut buffer = [0; 64];
    loop {
        let (len, source) = socket.recv_from(&mut buffer).ok()?;
        if buffer.get(..len) == Some(datagram) {
            return Some(source);
        }
    }
}

fn tcp(receiver: &TcpListener, mut sender: TcpStream) -> Sources {
    receiver.set_nonblocking(true).unwrap();
    let mut accepted = None;
    wait_until(DEADLINE, "the connection is accepted", || {
        accepted = receiver.accept().ok();
        accepted.is_some()
    });
    let (mut connection, seen) = accepted.unwrap();
    connection.set_nonblocking(false).unwrap();
    connection.write_all(GREETING).unwrap();
    drop(connection);
    sender.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut answer = Vec::new();
    sender.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, GREETING);
    Sources { sent: bare(sender.local_addr().unwrap()), seen: bare(seen) }
}

/// A connection from a given address, which the standard library cannot make.
pub(crate) fn tcp_connection(from: SocketAddr, to: SocketAddr) -> TcpStream {
    match (from, to) {
        (SocketAddr::V4(from), SocketAddr::V4(to)) => {
            connected(AddressFamily::Inet, &SockaddrIn::from(from), &SockaddrIn::from(to))
        }
        (SocketAddr::V6(from), SocketAddr::V6(to)) => {
            connected(AddressFamily::Inet6, &SockaddrIn6::from(from), &SockaddrIn6::from(to))
        }
        _ => panic!("{from} and {to} are not of one family"),
    }
}

/// Given up after the deadline: connect(2) keeps to `SO_SNDTIMEO` (socket(7)).
fn connected<A: SockaddrLike + std::fmt::Display>(family: AddressFamily, from: &A, to: &A) -> TcpStream {
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    let timeout = TimeVal::new(i64::try_from(DEADLINE.as_secs()).unwrap(), 0);
    setsockopt(&socket, SendTimeout, &timeout).unwrap();
    bind(socket.as_raw_fd(), from).unwrap();
    connect(socket.as_raw_fd(), to).unwrap_or_else(|error| panic!("no connection from {from} to {to}: {error}"));
    TcpStream::from(socket)
}

impl Endpoint<'_> {
    /// The address for a socket at this end.
    fn bindable(self, port: u16) -> SocketAddr {
        self.scoped(self.address, port)
    }

    /// The other end's address, as a socket at this end names it.
    fn reach(self, to: Endpoint<'_>, port: u16) -> SocketAddr {
        self.scoped(to.address, port)
    }

    fn scoped(self, address: IpAddr, port: u16) -> SocketAddr {
        match address {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => {
                SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(v6.octets()), port, 0, self.interface_index()))
            }
            _ => SocketAddr::new(address, port),
        }
    }

    fn interface_index(self) -> u32 {
        let line = self.netns.run(&format!("ip -o link show {}", self.interface));
        line.split(':').next().and_then(|index| index.trim().parse().ok()).expect("`ip -o link` starts on the index")
    }
}

/// Address and port, without the scope of a link-local address, which is each end's own.
fn bare(address: SocketAddr) -> (IpAddr, u16) {
    (address.ip(), address.port())
}
