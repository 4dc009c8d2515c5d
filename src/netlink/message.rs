//! Netlink messages (`struct nlmsghdr`), and the reports that end their answers (`netlink(7)`, `linux/netlink.h`).

use nix::errno::Errno;

use super::wire::{Attributes, Malformed, Writer};

/// `struct nlmsghdr`: length, type, flags, sequence number, port id; all in host order.
const HEADER_LEN: usize = 16;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_OVERRUN: u16 = 4;
/// `NLMSG_MIN_TYPE`: the types below are the same for all protocols.
const MIN_TYPE: u16 = 0x10;

/// `NLM_F_*` (linux/netlink.h).
pub(crate) mod flag {
    pub(crate) const REQUEST: u16 = 0x1;
    pub(crate) const ACK: u16 = 0x4;
    /// The kernel sends what it announces of the request to who made it, too.
    pub(crate) const ECHO: u16 = 0x8;
    pub(crate) const DUMP: u16 = 0x300;
    pub(crate) const CREATE: u16 = 0x400;
    pub(crate) const APPEND: u16 = 0x800;
    /// What was dumped changed in the meantime: the answer is not a consistent state.
    pub(crate) const DUMP_INTR: u16 = 0x10;
    /// In an error: the request is not repeated after its header.
    pub(crate) const CAPPED: u16 = 0x100;
    /// In an error: attributes of the extended acknowledgement follow.
    pub(crate) const ACK_TLVS: u16 = 0x200;
}

/// The type of a message. Each protocol numbers its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind(u16);

impl Kind {
    pub(crate) const fn new(number: u16) -> Self {
        Self(number)
    }

    /// The type as it stands in the header of a message.
    pub(crate) const fn bytes(self) -> [u8; 2] {
        self.0.to_ne_bytes()
    }
}

/// What a protocol has between the header of a message and its attributes, such as `struct nfgenmsg`. An answer has there
/// as many bytes as its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FamilyHeader {
    Four([u8; 4]),
    Eight([u8; 8]),
}

impl FamilyHeader {
    const fn bytes(&self) -> &[u8] {
        match self {
            Self::Four(bytes) => bytes,
            Self::Eight(bytes) => bytes,
        }
    }
}

/// What a message is, apart from its attributes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    /// `NLM_F_*`; [`flag::REQUEST`] is always added.
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) family: FamilyHeader,
}

impl Writer {
    /// Appends a message to the kernel whose attributes are written by `content`.
    pub(crate) fn message(&mut self, head: Head, content: impl FnOnce(&mut Self)) {
        let start = self.len();
        self.raw(&[0; 4]);
        self.raw(&head.kind.bytes());
        self.raw(&(head.flags | flag::REQUEST).to_ne_bytes());
        self.raw(&head.sequence.to_ne_bytes());
        self.raw(&[0; 4]);
        self.raw(head.family.bytes());
        content(self);
        // A buffer of 4 GiB is refused by the kernel (EMSGSIZE) long before this matters.
        let len = u32::try_from(self.len() - start).unwrap_or(u32::MAX);
        self.patch(start, &len.to_ne_bytes());
    }

    /// Numbers the message that starts at `start`.
    pub(super) fn set_sequence(&mut self, start: usize, sequence: u32) {
        self.patch(start + 8, &sequence.to_ne_bytes());
    }

    /// Adds flags to the message that starts at `start`.
    pub(super) fn add_flags(&mut self, start: usize, flags: u16) {
        let old = self.bytes().get(start + 6..start + 8).and_then(|bytes| bytes.try_into().ok());
        if let Some(old) = old.map(u16::from_ne_bytes) {
            self.patch(start + 6, &(old | flags).to_ne_bytes());
        }
    }
}

impl<'a> Attributes<'a> {
    /// The attributes of a message whose protocol has a header as long as this one before them.
    pub(crate) fn behind(header: &FamilyHeader, payload: &'a [u8]) -> Result<Self, Malformed> {
        let attributes = payload.get(header.bytes().len()..);
        attributes.map(Self::new).ok_or(Malformed("a message ends inside the header of its protocol"))
    }
}

/// A message from the kernel.
#[derive(Clone, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) sequence: u32,
    /// In an answer: our own address. In an announcement: that of the socket over which the change was made.
    pub(crate) port: u32,
    /// The dump of which this is a part has to be repeated ([`flag::DUMP_INTR`]).
    pub(crate) interrupted: bool,
    pub(crate) content: Content<'a>,
}

/// What a message from the kernel says.
#[derive(Clone, Debug)]
pub(crate) enum Content<'a> {
    /// The request with this sequence number succeeded, or failed.
    Answer(Report<'a>),
    /// The dump is complete, or ended early.
    Done(Report<'a>),
    /// Messages were lost.
    Overrun,
    /// A message of the protocol that the socket is for, such as a thing that was asked for.
    Object { kind: Kind, payload: &'a [u8] },
    /// Anything else, such as `NLMSG_NOOP`.
    Other,
}

/// How a request or a dump ended.
#[derive(Clone, Debug)]
pub(crate) struct Report<'a> {
    /// 0 for success.
    errno: i32,
    /// The extended acknowledgement (`NLMSGERR_ATTR_*`), if there is one.
    extended: Attributes<'a>,
}

impl Report<'_> {
    pub(crate) fn error(&self) -> Option<Errno> {
        (self.errno != 0).then(|| Errno::from_raw(self.errno))
    }

    /// The kernel's own words about the error.
    pub(crate) fn text(&self) -> Option<String> {
        const NLMSGERR_ATTR_MSG: u16 = 1;
        let message =
            self.extended.clone().filter_map(Result::ok).find(|attribute| attribute.kind == NLMSGERR_ATTR_MSG);
        message.map(|attribute| attribute.text()).filter(|text| !text.is_empty())
    }
}

/// The messages of a datagram. After a malformed one there is no next.
#[derive(Clone, Debug)]
pub(crate) struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    pub(crate) const fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let (message, rest) = match split_message(self.rest) {
            Ok((message, rest)) => (parse(message), rest),
            Err(malformed) => (Err(malformed), &[][..]),
        };
        self.rest = if message.is_ok() { rest } else { &[] };
        Some(message)
    }
}

fn split_message(bytes: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let len = u32_at(bytes, 0).ok_or(Malformed("a message ends inside its header"))?;
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    let message = bytes.get(..len).ok_or(Malformed("a message is longer than what was received"))?;
    let rest = len.checked_next_multiple_of(4).and_then(|next| bytes.get(next..)).unwrap_or_default();
    Ok((message, rest))
}

fn parse(bytes: &[u8]) -> Result<Message<'_>, Malformed> {
    let (header, payload) =
        bytes.split_first_chunk::<HEADER_LEN>().ok_or(Malformed("a message is shorter than its header"))?;
    let [_, _, _, _, kind_0, kind_1, flags_0, flags_1, s0, s1, s2, s3, p0, p1, p2, p3] = *header;
    let kind = u16::from_ne_bytes([kind_0, kind_1]);
    let flags = u16::from_ne_bytes([flags_0, flags_1]);
    let content = match kind {
        NLMSG_ERROR => Content::Answer(error_report(payload, flags)?),
        NLMSG_DONE => Content::Done(done_report(payload, flags)?),
        NLMSG_OVERRUN => Content::Overrun,
        MIN_TYPE.. => Content::Object { kind: Kind(kind), payload },
        _ => Content::Other,
    };
    Ok(Message {
        sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
        port: u32::from_ne_bytes([p0, p1, p2, p3]),
        interrupted: flags & flag::DUMP_INTR != 0,
        content,
    })
}

/// `struct nlmsgerr`: the negative error number and the header of the request, then the rest of the request unless it
/// was capped, then the extended acknowledgement.
fn error_report(payload: &[u8], flags: u16) -> Result<Report<'_>, Malformed> {
    let errno = errno_at_start(payload).ok_or(Malformed("an error ends inside its number"))?;
    let request = payload.get(4..).unwrap_or_default();
    let request_len = if flags & flag::CAPPED != 0 {
        HEADER_LEN
    } else {
        u32_at(request, 0).and_then(|len| usize::try_from(len).ok()).unwrap_or(usize::MAX)
    };
    let extended = request_len.checked_next_multiple_of(4).and_then(|len| request.get(len..)).unwrap_or_default();
    Ok(Report { errno, extended: Attributes::new(if flags & flag::ACK_TLVS != 0 { extended } else { &[] }) })
}

/// The end of a dump carries its result as a number; very old kernels leave it out.
fn done_report(payload: &[u8], flags: u16) -> Result<Report<'_>, Malformed> {
    if payload.is_empty() {
        return Ok(Report { errno: 0, extended: Attributes::new(&[]) });
    }
    let errno = errno_at_start(payload).ok_or(Malformed("the end of a dump ends inside its result"))?;
    let extended = if flags & flag::ACK_TLVS != 0 { payload.get(4..).unwrap_or_default() } else { &[] };
    Ok(Report { errno, extended: Attributes::new(extended) })
}

fn errno_at_start(payload: &[u8]) -> Option<i32> {
    // The kernel writes the negative of the number; a positive one is a count, as some dumps end with it.
    u32_at(payload, 0).map(|bits| bits.cast_signed().min(0).saturating_neg())
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}
