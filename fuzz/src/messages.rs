//! Netlink messages (`netlink(7)`), no further than a kernel in memory needs them.

/// `struct nlmsghdr` and, after it, `struct nfgenmsg`.
const HEADER_LEN: usize = 16;
const NFGENMSG_LEN: usize = 4;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `NLM_F_MULTI`
const MULTI: u16 = 2;
/// `NLM_F_CAPPED`
const CAPPED: u16 = 0x100;
/// `NLM_F_ACK`
pub const ACK: u16 = 4;

/// One message of netfilter.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its type.
    pub kind: u16,
    /// `NLM_F_*`
    pub flags: u16,
    /// Its sequence number.
    pub sequence: u32,
    /// The address family.
    pub family: u8,
    /// The attributes, encoded.
    pub attributes: Vec<u8>,
}

impl Message {
    /// The bytes, as an answer to the request with this sequence number.
    #[must_use]
    pub fn answering(&self, sequence: u32) -> Vec<u8> {
        let payload = [&[self.family, 0, 0, 0][..], &self.attributes].concat();
        encoded(self.kind, MULTI, sequence, &payload)
    }
}

/// The messages in what the agent sends. It writes no wrong ones.
#[must_use]
pub fn messages(mut datagram: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    while !datagram.is_empty() {
        let len = u32_at(datagram, 0) as usize;
        let (message, rest) = datagram.split_at(len);
        messages.push(Message {
            kind: u16_at(message, 4),
            flags: u16_at(message, 6),
            sequence: u32_at(message, 8),
            family: message[HEADER_LEN],
            attributes: message[HEADER_LEN + NFGENMSG_LEN..].to_vec(),
        });
        datagram = rest;
    }
    messages
}

/// The end of a dump.
#[must_use]
pub fn done(sequence: u32) -> Vec<u8> {
    encoded(NLMSG_DONE, MULTI, sequence, &[0; 4])
}

/// An acknowledgement.
#[must_use]
pub fn acknowledgement(sequence: u32) -> Vec<u8> {
    encoded(NLMSG_ERROR, CAPPED, sequence, &[0; 4 + HEADER_LEN])
}

/// An attribute whose length needs no padding.
#[must_use]
pub fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(4 + payload.len()).expect("a short attribute");
    [&len.to_ne_bytes()[..], &kind.to_ne_bytes(), payload].concat()
}

/// Writes the sequence number into every message, as far as their lengths tell where these begin.
pub fn number(datagram: &mut [u8], sequence: u32) {
    let mut at = 0;
    while let Some(place) = datagram.get_mut(at + 8..at + 12) {
        place.copy_from_slice(&sequence.to_ne_bytes());
        let len = u32_at(datagram, at) as usize;
        at += len.max(HEADER_LEN).min(datagram.len()).next_multiple_of(4);
    }
}

fn encoded(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(HEADER_LEN + payload.len()).expect("a short message");
    let header = [&len.to_ne_bytes()[..], &kind.to_ne_bytes(), &flags.to_ne_bytes(), &sequence.to_ne_bytes(), &[0; 4]];
    [&header.concat(), payload].concat()
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
