//! Netlink messages (`struct nlmsghdr`), those of netfilter and the few of rtnetlink that are used here, and the errors
//! that answer them.

use nix::errno::Errno;

use crate::net::Family;
use crate::netlink::TableFamily;

use super::wire::{Attributes, Malformed, Writer};

/// `struct nlmsghdr`: length, type, flags, sequence number, port id; all in host order.
const HEADER_LEN: usize = 16;
/// `struct nfgenmsg`: family, version, big-endian resource id.
const NFGENMSG_LEN: usize = 4;
/// `struct ifaddrmsg` (`linux/if_addr.h`): family, prefix length, flags, scope, interface.
const IFADDRMSG_LEN: usize = 8;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_OVERRUN: u16 = 4;
/// `NFNL_SUBSYS_NFTABLES`, the high byte of every type of `nf_tables`.
const NF_TABLES: u16 = 10;
/// `NFNL_SUBSYS_CTNETLINK`, that of conntrack.
const CTNETLINK: u16 = 1;

/// `NLM_F_*` (linux/netlink.h).
pub(crate) mod flag {
    pub(crate) const REQUEST: u16 = 0x1;
    pub(crate) const ACK: u16 = 0x4;
    pub(crate) const DUMP: u16 = 0x300;
    pub(crate) const CREATE: u16 = 0x400;
    pub(crate) const APPEND: u16 = 0x800;
    /// What was dumped changed meanwhile: the answer is no picture of any one moment.
    pub(crate) const DUMP_INTR: u16 = 0x10;
    /// In an error: the request is not repeated behind its header.
    pub(crate) const CAPPED: u16 = 0x100;
    /// In an error: attributes of the extended acknowledgement follow.
    pub(crate) const ACK_TLVS: u16 = 0x200;
}

/// The message types used here (`enum nf_tables_msg_types`, `NFNL_MSG_BATCH_*`, `enum cntl_msg_types`, `RTM_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind(u16);

impl Kind {
    pub(crate) const BATCH_BEGIN: Self = Self(0x10);
    pub(crate) const BATCH_END: Self = Self(0x11);
    pub(crate) const NEW_TABLE: Self = Self::nf_tables(0);
    pub(crate) const GET_TABLE: Self = Self::nf_tables(1);
    pub(crate) const DEL_TABLE: Self = Self::nf_tables(2);
    pub(crate) const NEW_CHAIN: Self = Self::nf_tables(3);
    pub(crate) const GET_CHAIN: Self = Self::nf_tables(4);
    pub(crate) const DEL_CHAIN: Self = Self::nf_tables(5);
    pub(crate) const NEW_RULE: Self = Self::nf_tables(6);
    pub(crate) const GET_RULE: Self = Self::nf_tables(7);
    pub(crate) const DEL_RULE: Self = Self::nf_tables(8);
    pub(crate) const NEW_SET: Self = Self::nf_tables(9);
    pub(crate) const GET_SET: Self = Self::nf_tables(10);
    pub(crate) const DEL_SET: Self = Self::nf_tables(11);
    pub(crate) const NEW_ELEMENTS: Self = Self::nf_tables(12);
    pub(crate) const GET_ELEMENTS: Self = Self::nf_tables(13);
    pub(crate) const DEL_ELEMENTS: Self = Self::nf_tables(14);
    pub(crate) const NEW_GEN: Self = Self::nf_tables(15);
    pub(crate) const GET_GEN: Self = Self::nf_tables(16);
    pub(crate) const NEW_OBJECT: Self = Self::nf_tables(18);
    pub(crate) const GET_OBJECT: Self = Self::nf_tables(19);
    pub(crate) const DEL_OBJECT: Self = Self::nf_tables(20);
    pub(crate) const NEW_FLOWTABLE: Self = Self::nf_tables(22);
    pub(crate) const GET_FLOWTABLE: Self = Self::nf_tables(23);
    pub(crate) const DEL_FLOWTABLE: Self = Self::nf_tables(24);
    pub(crate) const NEW_FLOW: Self = Self::ctnetlink(0);
    pub(crate) const GET_FLOW: Self = Self::ctnetlink(1);
    pub(crate) const DEL_FLOW: Self = Self::ctnetlink(2);
    pub(crate) const NEW_ADDRESS: Self = Self(20);
    pub(crate) const GET_ADDRESS: Self = Self(22);

    const fn nf_tables(number: u16) -> Self {
        Self(NF_TABLES << 8 | number)
    }

    const fn ctnetlink(number: u16) -> Self {
        Self(CTNETLINK << 8 | number)
    }

    /// How many bytes stand between the header and the attributes; `None` for messages that are not of use here.
    fn fixed_len(self) -> Option<usize> {
        match self {
            Self::NEW_ADDRESS | Self::GET_ADDRESS => Some(IFADDRMSG_LEN),
            Self::BATCH_BEGIN | Self::BATCH_END => Some(NFGENMSG_LEN),
            Self(kind) if matches!(kind >> 8, NF_TABLES | CTNETLINK) => Some(NFGENMSG_LEN),
            Self(_) => None,
        }
    }

    /// The type as it stands in the header of a message.
    pub(crate) const fn bytes(self) -> [u8; 2] {
        self.0.to_ne_bytes()
    }
}

/// What a message is, apart from its attributes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    /// `NLM_F_*`; [`flag::REQUEST`] is always added.
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    /// `None` for messages that belong to no family.
    pub(crate) family: Option<TableFamily>,
}

impl Writer {
    /// Appends a message to the kernel whose attributes are written by `content`.
    pub(crate) fn message(&mut self, head: Head, content: impl FnOnce(&mut Self)) {
        let start = self.len();
        self.raw(&[0; 4]);
        self.raw(&head.kind.0.to_ne_bytes());
        self.raw(&(head.flags | flag::REQUEST).to_ne_bytes());
        self.raw(&head.sequence.to_ne_bytes());
        self.raw(&[0; 4]);
        self.raw(&[head.family.map_or(0, nfproto), 0]);
        // The frame of a batch names its subsystem here; nothing else uses the field.
        let is_batch = head.kind == Kind::BATCH_BEGIN || head.kind == Kind::BATCH_END;
        self.raw(&if is_batch { NF_TABLES } else { 0 }.to_be_bytes());
        // What other families of messages have there begins as `nfgenmsg` does, and is longer.
        let longer = head.kind.fixed_len().unwrap_or(NFGENMSG_LEN).saturating_sub(NFGENMSG_LEN);
        self.raw([0; IFADDRMSG_LEN].get(..longer).unwrap_or_default());
        content(self);
        // A buffer of 4 GiB is refused by the kernel (EMSGSIZE) long before this matters.
        let len = u32::try_from(self.len() - start).unwrap_or(u32::MAX);
        self.patch(start, &len.to_ne_bytes());
    }

    /// Adds flags to the message that starts at `start`.
    pub(crate) fn add_flags(&mut self, start: usize, flags: u16) {
        let old = self.bytes().get(start + 6..start + 8).and_then(|bytes| bytes.try_into().ok());
        if let Some(old) = old.map(u16::from_ne_bytes) {
            self.patch(start + 6, &(old | flags).to_ne_bytes());
        }
    }
}

/// `NFPROTO_*` (linux/netfilter.h), which are also the address families of sockets.
const fn nfproto(family: TableFamily) -> u8 {
    match family {
        TableFamily::Inet => 1,
        TableFamily::Of(Family::Ipv4) => 2,
        TableFamily::Of(Family::Ipv6) => 10,
    }
}

/// A message from the kernel.
#[derive(Clone, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) sequence: u32,
    /// In an answer: our own address. In an announcement: that of the socket whose doing is announced.
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
    /// A thing that was asked for.
    Object { kind: Kind, attributes: Attributes<'a> },
    /// Anything else, such as `NLMSG_NOOP`.
    Other,
}

/// How something ended.
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
        kind => match Kind(kind).fixed_len() {
            Some(fixed_len) => {
                let attributes = payload.get(fixed_len..).ok_or(Malformed("a message ends inside its family"))?;
                Content::Object { kind: Kind(kind), attributes: Attributes::new(attributes) }
            }
            None => Content::Other,
        },
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
