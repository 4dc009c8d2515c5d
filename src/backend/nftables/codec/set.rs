//! Sets of addresses (`enum nft_set_attributes`).

use crate::backend::nftables::Unrecognised;
use crate::net::Family;
use crate::netlink::{Attributes, Kind, Malformed, Writer};
use crate::rules::SetKind;

use super::kind;

/// `NFT_MSG_NEWSET`.
pub(crate) const NEW: Kind = kind(9);
/// `NFT_MSG_GETSET`.
pub(crate) const GET: Kind = kind(10);
/// `NFT_MSG_DELSET`.
pub(crate) const DELETE: Kind = kind(11);

const NFTA_SET_TABLE: u16 = 1;
const NFTA_SET_NAME: u16 = 2;
const NFTA_SET_FLAGS: u16 = 3;
const NFTA_SET_KEY_TYPE: u16 = 4;
const NFTA_SET_KEY_LEN: u16 = 5;
const NFTA_SET_DESC: u16 = 9;
const NFTA_SET_ID: u16 = 10;
const NFTA_SET_EXPR: u16 = 17;
const NFTA_SET_EXPRESSIONS: u16 = 18;
const NFTA_SET_COUNT: u16 = 20;
const NFTA_SET_DESC_SIZE: u16 = 1;
const NO_FLAGS: u32 = 0;
/// `NFT_SET_ANONYMOUS`
const ANONYMOUS: u32 = 1;
/// `NFT_SET_INTERVAL`
const INTERVAL: u32 = 4;

/// A set that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetInfo {
    /// The name.
    pub name: String,
    /// How the kernel stores it, or how it differs from a set of ours, in words that follow on “the set”.
    pub kind: Result<SetKind, Unrecognised>,
    /// How many elements it has, an interval being one; `None` if the kernel does not say.
    pub count: Option<u32>,
}

/// All sets of a table.
pub(crate) fn emit_table(writer: &mut Writer, table: &str) {
    writer.text(NFTA_SET_TABLE, table);
}

/// A set by its name.
pub(crate) fn emit_name(writer: &mut Writer, table: &str, name: &str) {
    emit_table(writer, table);
    writer.text(NFTA_SET_NAME, name);
}

/// A set to be created, empty. The kernel demands an `id` that no other set of the transaction has.
pub(crate) fn emit(writer: &mut Writer, family: Family, table: &str, name: &str, kind: SetKind, id: u32) {
    emit_name(writer, table, name);
    writer.be32(NFTA_SET_FLAGS, flags(kind));
    writer.be32(NFTA_SET_KEY_TYPE, key_type(family));
    writer.be32(NFTA_SET_KEY_LEN, u32::from(family.address_len()));
    if let SetKind::Addresses { size } = kind {
        writer.nested(NFTA_SET_DESC, |writer| writer.be32(NFTA_SET_DESC_SIZE, size));
    }
    writer.be32(NFTA_SET_ID, id);
}

/// A set of this table that was dumped; `None` if it is of another table, or anonymous: then it is part of a rule, and is
/// created and deleted with it.
///
/// nft's own notes (`NFTA_SET_USERDATA`) and the policy by which the kernel chooses between memory and speed are ignored:
/// packets are treated the same with or without them.
pub(crate) fn parse(attributes: Attributes<'_>, family: Family, table: &str) -> Result<Option<SetInfo>, Malformed> {
    let mut name = None;
    let (mut set_flags, mut key, mut len) = (0, None, None);
    let (mut size, mut count) = (None, None);
    let mut unlike_ours = None;
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            NFTA_SET_TABLE if !attribute.is(table) => return Ok(None),
            NFTA_SET_NAME => name = Some(attribute.text()),
            NFTA_SET_FLAGS => {
                set_flags = attribute.be32()?;
                if set_flags & ANONYMOUS != 0 {
                    return Ok(None);
                }
            }
            NFTA_SET_KEY_TYPE => key = Some(attribute.be32()?),
            NFTA_SET_KEY_LEN => len = Some(attribute.be32()?),
            NFTA_SET_DESC => size = parse_size(attribute.nested())?,
            NFTA_SET_COUNT => count = Some(attribute.be32()?),
            NFTA_SET_EXPR | NFTA_SET_EXPRESSIONS => unlike_ours = Some("does something for each element"),
            _ => {}
        }
    }
    let name = name.ok_or(Malformed("a set has no name"))?;
    let is_of_addresses = key == Some(key_type(family)) && len == Some(u32::from(family.address_len()));
    let kind = match (unlike_ours, is_of_addresses, set_flags, size) {
        (Some(why), ..) => Err(Unrecognised(why.to_owned())),
        (None, false, ..) => Err(Unrecognised(format!("has keys other than {} addresses", family.human()))),
        (None, true, NO_FLAGS, Some(size)) => Ok(SetKind::Addresses { size }),
        (None, true, INTERVAL, None) => Ok(SetKind::Intervals),
        (None, true, ..) => Err(Unrecognised(format!("has the flags {set_flags:#x} and {}", size_in_words(size)))),
    };
    Ok(Some(SetInfo { name, kind, count }))
}

/// `enum nft_set_flags`.
const fn flags(kind: SetKind) -> u32 {
    match kind {
        SetKind::Addresses { .. } => NO_FLAGS,
        SetKind::Intervals => INTERVAL,
    }
}

/// nft's number of a data type (`enum datatypes` of nftables): `ipv4_addr`, `ipv6_addr`. The kernel only stores it.
const fn key_type(family: Family) -> u32 {
    match family {
        Family::Ipv4 => 7,
        Family::Ipv6 => 8,
    }
}

fn size_in_words(size: Option<u32>) -> String {
    size.map_or_else(|| "room without bounds".to_owned(), |size| format!("room for {size}"))
}

fn parse_size(description: Attributes<'_>) -> Result<Option<u32>, Malformed> {
    for attribute in description {
        let attribute = attribute?;
        if attribute.kind == NFTA_SET_DESC_SIZE {
            return attribute.be32().map(Some);
        }
    }
    Ok(None)
}
