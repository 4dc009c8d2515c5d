//! Tables (`enum nft_table_attributes`) and their families.

use std::fmt;

use crate::backend::nftables::Unrecognised;
use crate::net::Family;
use crate::netlink::{Attributes, FamilyHeader, Kind, Malformed, Writer, nfnetlink};
use crate::rules::Protection;

use super::kind;

/// `NFT_MSG_NEWTABLE`.
pub(crate) const NEW: Kind = kind(0);
/// `NFT_MSG_GETTABLE`.
pub(crate) const GET: Kind = kind(1);
/// `NFT_MSG_DELTABLE`.
pub(crate) const DELETE: Kind = kind(2);

const NFTA_TABLE_NAME: u16 = 1;
const NFTA_TABLE_FLAGS: u16 = 2;
const NFTA_TABLE_OWNER: u16 = 7;
/// `NFT_TABLE_F_DORMANT`: its base chains are not registered with their hooks.
const DORMANT: u32 = 0x1;
/// `NFT_TABLE_F_OWNER`: the socket that created or adopted it owns it. Only dumped while that socket is open.
const OWNER: u32 = 0x2;
/// `NFT_TABLE_F_PERSIST`: it outlives its owner (Linux 6.9).
const PERSIST: u32 = 0x4;

/// `NFPROTO_INET` (`linux/netfilter.h`).
const NFPROTO_INET: u8 = 1;

/// The families in which nf_tables keeps tables that can translate the sources of IPv4 or IPv6 packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableFamily {
    /// `ip` or `ip6`.
    Of(Family),
    /// `inet`: its chains see the packets of both.
    Inet,
}

/// A table that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableInfo {
    /// The name.
    pub name: String,
    /// Whether only its owner may change it, or how the table differs from one of ours. While a protected table has no owner,
    /// every process may change it.
    pub protection: Result<Protection, Unrecognised>,
    /// Whether it is switched off.
    pub dormant: bool,
    /// The port of the socket that owns it ([`Transport::port`](crate::netlink::Transport::port)), if one does.
    pub owner: Option<u32>,
}

/// A table by its name.
pub(crate) fn emit_name(writer: &mut Writer, name: &str) {
    writer.text(NFTA_TABLE_NAME, name);
}

/// A table to be created. One without protection is sent without flags, as iptables-nft does, so that those of a table
/// that exists stay.
pub(crate) fn emit(writer: &mut Writer, name: &str, protection: Protection) {
    emit_name(writer, name);
    match protection {
        Protection::Off => {}
        Protection::OwnerPersist => writer.be32(NFTA_TABLE_FLAGS, OWNER | PERSIST),
    }
}

/// A table that was dumped.
pub(crate) fn parse(attributes: Attributes<'_>) -> Result<TableInfo, Malformed> {
    let (mut name, mut flags, mut owner) = (None, 0, None);
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            NFTA_TABLE_NAME => name = Some(attribute.text()),
            NFTA_TABLE_FLAGS => flags = attribute.be32()?,
            NFTA_TABLE_OWNER => owner = Some(attribute.be32()?),
            _ => {}
        }
    }
    let dormant = flags & DORMANT != 0;
    let protection = match flags & !DORMANT {
        0 => Ok(Protection::Off),
        // The kernel clears the owner's flag when the socket of the owner is closed.
        PERSIST => Ok(Protection::OwnerPersist),
        flags if flags == OWNER | PERSIST => Ok(Protection::OwnerPersist),
        flags => Err(Unrecognised(format!("has the flags {:#x}", flags | if dormant { DORMANT } else { 0 }))),
    };
    Ok(TableInfo { name: name.ok_or(Malformed("a table has no name"))?, protection, dormant, owner })
}

impl TableFamily {
    /// The families whose tables are read.
    pub(crate) const ALL: [Self; 3] = [Self::Of(Family::Ipv4), Self::Of(Family::Ipv6), Self::Inet];

    /// Whether its chains see packets of this family.
    pub(crate) fn has(self, family: Family) -> bool {
        self == Self::Inet || self == Self::Of(family)
    }

    /// The one with this number, unless its tables are not read.
    pub(crate) fn of_number(nfproto: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.number() == nfproto)
    }

    /// The header of messages about its tables.
    pub(crate) const fn header(self) -> FamilyHeader {
        nfnetlink::header(self.number())
    }

    /// `NFPROTO_*`.
    const fn number(self) -> u8 {
        match self {
            Self::Of(family) => nfnetlink::nfproto(family),
            Self::Inet => NFPROTO_INET,
        }
    }
}

impl From<Family> for TableFamily {
    fn from(family: Family) -> Self {
        Self::Of(family)
    }
}

impl fmt::Display for TableFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(family) => family.fmt(f),
            Self::Inet => f.write_str("inet"),
        }
    }
}
