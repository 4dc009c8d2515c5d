//! What all subsystems of netfilter have in common (`linux/netfilter/nfnetlink.h`): how their messages are numbered, the
//! header `nfgenmsg` before the attributes, and the two messages that frame a batch.

use crate::net::Family;

use super::message::{FamilyHeader, Kind};
use super::wire::{Attributes, Malformed};

/// `NFNL_MSG_BATCH_BEGIN` (`NLMSG_MIN_TYPE`).
pub(super) const BATCH_BEGIN: Kind = Kind::new(0x10);
/// `NFNL_MSG_BATCH_END` (`NLMSG_MIN_TYPE + 1`).
pub(super) const BATCH_END: Kind = Kind::new(0x11);
/// In the message that begins a batch: the generation in which the kernel is to commit it.
pub(super) const NFNL_BATCH_GENID: u16 = 1;

/// The header of messages that are about no family (`NFPROTO_UNSPEC`).
pub(crate) const NO_FAMILY: FamilyHeader = header(0);

/// A part of netfilter that has messages of its own (`NFNL_SUBSYS_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subsystem(pub(crate) u8);

impl Subsystem {
    /// Its messages of a kind. The high byte of their type is the subsystem.
    pub(crate) const fn kind(self, number: u8) -> Kind {
        Kind::new(u16::from_be_bytes([self.0, number]))
    }

    /// The header of the messages that frame a batch for it. Nothing else uses the resource id.
    pub(super) const fn batch_header(self) -> FamilyHeader {
        let [high, low] = [0, self.0];
        FamilyHeader::Four([0, 0, high, low])
    }
}

/// `struct nfgenmsg`: family (`NFPROTO_*`), version, big-endian resource id.
pub(crate) const fn header(nfproto: u8) -> FamilyHeader {
    FamilyHeader::Four([nfproto, 0, 0, 0])
}

/// `NFPROTO_IPV4` and `NFPROTO_IPV6` (`linux/netfilter.h`), which are also the address families of sockets.
pub(crate) const fn nfproto(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 2,
        Family::Ipv6 => 10,
    }
}

/// The family (`NFPROTO_*`) that a message from a subsystem of netfilter is about, and its attributes.
pub(crate) fn family_and_attributes(payload: &[u8]) -> Result<(u8, Attributes<'_>), Malformed> {
    Ok((payload.first().copied().unwrap_or_default(), attributes(payload)?))
}

/// The attributes of a message from a subsystem of netfilter.
pub(crate) fn attributes(payload: &[u8]) -> Result<Attributes<'_>, Malformed> {
    Attributes::behind(&NO_FAMILY, payload)
}
