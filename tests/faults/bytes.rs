//! Datagrams that are not as they should be, written by the tests' own few lines (`struct nlmsghdr`, `struct nlattr`;
//! `linux/netlink.h`).

use nix::errno::Errno;

use crate::faulty::Around;

const HEADER: usize = 16;
/// `struct nlmsghdr` and `struct nfgenmsg`.
const HEADERS: usize = HEADER + 4;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_OVERRUN: u16 = 4;
/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE`.
const NEW_TABLE: u16 = 10 << 8;
/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW`.
const NEW_CONNECTION: u16 = 1 << 8;
const DUMP_INTR: u8 = 0x10;
const MULTI: u16 = 0x2;
const ECHO: u8 = 0x8;
/// `NFNL_SUBSYS_NFTABLES`.
const NFTABLES: u8 = 10;
const CAPPED: u16 = 0x100;

pub(crate) fn sequence(datagram: &[u8]) -> u32 {
    u32::from_ne_bytes(datagram[8..12].try_into().unwrap())
}

/// How many of the messages ask the kernel to send back what it makes of them.
pub(crate) fn echoes(datagram: &[u8]) -> usize {
    let (mut rest, mut count) = (datagram, 0);
    while let Some(header) = rest.first_chunk::<HEADER>() {
        count += usize::from(header[6] & ECHO != 0 && header[5] == NFTABLES);
        rest = rest.get(u32::from_ne_bytes(header[..4].try_into().unwrap()) as usize..).unwrap_or_default();
    }
    count
}

fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(HEADER + payload.len()).unwrap();
    let parts =
        [&len.to_ne_bytes()[..], &kind.to_ne_bytes(), &flags.to_ne_bytes(), &sequence.to_ne_bytes(), &[0; 4], payload];
    parts.concat()
}

/// The kernel's answer that a request failed.
fn failure(errno: Errno, Around { sequence, .. }: Around) -> Vec<u8> {
    message(NLMSG_ERROR, CAPPED, sequence, &[&(-(errno as i32)).to_ne_bytes()[..], &[0; HEADER]].concat())
}

pub(crate) fn stale(datagram: &mut Vec<u8>, around: Around) {
    *datagram = failure(Errno::ERESTART, around);
}

pub(crate) fn denied(datagram: &mut Vec<u8>, around: Around) {
    *datagram = failure(Errno::EPERM, around);
}

pub(crate) fn no_memory(datagram: &mut Vec<u8>, around: Around) {
    *datagram = failure(Errno::ENOMEM, around);
}

pub(crate) fn interrupted(datagram: &mut Vec<u8>, around: Around) {
    *datagram = failure(Errno::EINTR, around);
}

/// A dump is still going on.
pub(crate) fn busy(datagram: &mut Vec<u8>, around: Around) {
    *datagram = failure(Errno::EBUSY, around);
}

pub(crate) fn overrun(_: &[u8], Around { sequence, .. }: Around) -> Vec<u8> {
    message(NLMSG_OVERRUN, 0, sequence, &[])
}

/// The end of a dump, when it has not ended.
pub(crate) fn done(_: &[u8], Around { sequence, .. }: Around) -> Vec<u8> {
    message(NLMSG_DONE, MULTI, sequence, &[0; 4])
}

/// A table whose name is no UTF-8, and much else of which the length lies.
pub(crate) fn hostile_table(_: &[u8], Around { sequence, .. }: Around) -> Vec<u8> {
    // NFTA_TABLE_NAME and NFTA_TABLE_USERDATA, which claims to be longer than it is.
    let payload = [&[2, 0, 0, 0][..], &[8, 0, 1, 0, 0xff, 0xfe, 0x80, 0], &[5, 0, 6, 0, 0xff, 0, 0, 0]].concat();
    message(NEW_TABLE, MULTI, sequence, &payload)
}

/// An answer to a request that was not put.
pub(crate) fn of_another_request(datagram: &[u8], around: Around) -> Vec<u8> {
    let mut copy = if datagram.is_empty() { hostile_table(&[], around) } else { datagram.to_vec() };
    renumber(&mut copy);
    copy
}

pub(crate) fn of_another_subsystem(_: &[u8], Around { sequence, .. }: Around) -> Vec<u8> {
    message(NEW_CONNECTION, MULTI, sequence, &[2, 0, 0, 0, 0xff, 0xff])
}

pub(crate) fn empty(_: &[u8], _: Around) -> Vec<u8> {
    Vec::new()
}

/// Gives all messages another sequence number.
pub(crate) fn misnumbered(datagram: &mut Vec<u8>, _: Around) {
    renumber(datagram);
}

fn renumber(datagram: &mut [u8]) {
    for start in starts(datagram) {
        let other = sequence(&datagram[start..]).wrapping_add(77);
        datagram[start + 8..start + 12].copy_from_slice(&other.to_ne_bytes());
    }
}

pub(crate) fn misdirected(datagram: &mut Vec<u8>, _: Around) {
    for start in starts(datagram) {
        datagram[start + 4..start + 6].copy_from_slice(&NEW_CONNECTION.to_ne_bytes());
    }
}

pub(crate) fn inconsistent(datagram: &mut Vec<u8>, _: Around) {
    datagram[6] |= DUMP_INTR;
}

pub(crate) fn huge(datagram: &mut Vec<u8>, _: Around) {
    datagram[..4].copy_from_slice(&0xffff_fff1_u32.to_ne_bytes());
}

pub(crate) fn without_length(datagram: &mut Vec<u8>, _: Around) {
    datagram[..4].fill(0);
}

pub(crate) fn cut_in_its_header(datagram: &mut Vec<u8>, _: Around) {
    datagram.truncate(HEADER - 9);
}

pub(crate) fn cut_behind_its_header(datagram: &mut Vec<u8>, _: Around) {
    datagram.truncate(HEADER + 2);
}

pub(crate) fn cut_in_an_attribute(datagram: &mut Vec<u8>, _: Around) {
    datagram.truncate(HEADERS + 3);
}

pub(crate) fn cut_in_half(datagram: &mut Vec<u8>, _: Around) {
    // Not between two messages, where the first half is a datagram as it should be.
    let half = datagram.len() / 2;
    let between = starts(datagram).contains(&half);
    datagram.truncate(half + usize::from(between));
}

pub(crate) fn cut_at_its_end(datagram: &mut Vec<u8>, _: Around) {
    datagram.pop();
}

/// Turns up to three bits around.
pub(crate) fn flipped(datagram: &mut Vec<u8>, Around { seed, .. }: Around) {
    let mut probability = Probability(seed);
    for _ in 0..=probability.below(3) {
        let bit = probability.below(datagram.len() * 8);
        datagram[bit / 8] ^= 1 << (bit % 8);
    }
}

/// Makes the length of one attribute a lie, at whatever depth.
pub(crate) fn with_a_lying_length(datagram: &mut Vec<u8>, Around { seed, .. }: Around) {
    let mut probability = Probability(seed);
    let mut places = Vec::new();
    for start in starts(datagram) {
        let len = u32::from_ne_bytes(datagram[start..start + 4].try_into().unwrap()) as usize;
        attributes(datagram, start + HEADERS, start + len, &mut places);
    }
    if places.is_empty() {
        return without_length(datagram, Around { sequence: 0, seed });
    }
    let place = places[probability.below(places.len())];
    let len = u16::from_ne_bytes([datagram[place], datagram[place + 1]]);
    let lie = [0, 3, 4, len.wrapping_sub(4), len.wrapping_add(4), len.wrapping_add(1), u16::MAX][probability.below(7)];
    datagram[place..place + 2].copy_from_slice(&lie.to_ne_bytes());
}

/// Where what looks like attributes stands between two places, at every depth.
fn attributes(datagram: &[u8], from: usize, to: usize, places: &mut Vec<usize>) {
    let mut at = from;
    while at + 4 <= to {
        let len = usize::from(u16::from_ne_bytes([datagram[at], datagram[at + 1]]));
        if len < 4 || at + len > to {
            return;
        }
        places.push(at);
        attributes(datagram, at + 4, at + len, places);
        at += len.next_multiple_of(4);
    }
}

/// Gives the first thing of a datagram a name that is no UTF-8.
pub(crate) fn renamed(datagram: &mut Vec<u8>, _: Around) {
    datagram.iter_mut().skip(HEADERS + 4).take(4).for_each(|byte| *byte = 0xff);
}

fn starts(datagram: &[u8]) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut at = 0;
    while let Some(len) = datagram.get(at..at + 4) {
        starts.push(at);
        let len = u32::from_ne_bytes(len.try_into().unwrap()) as usize;
        at += len.max(HEADER).next_multiple_of(4);
    }
    starts
}

/// Numbers that only depend on where they begin (Steele and others, `SplitMix64`).
struct Probability(u64);

impl Probability {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((bits ^ bits >> 31) % u64::try_from(end).unwrap()).unwrap()
    }
}
