//! The elements of sets (`enum nft_set_elem_list_attributes`, `enum nft_set_elem_attributes`).
//!
//! An interval is two elements: its first address, and the address behind its last one with a flag that says so. One
//! that ends with the address space has no second element.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::backend::nftables::Unrecognised;
use crate::net::{AddressRange, Family};
use crate::netlink::{Attribute, Attributes, Kind, Malformed, Writer};
use crate::rules::SetKind;

use super::kind;

/// `NFT_MSG_NEWSETELEM`.
pub(crate) const NEW: Kind = kind(12);
/// `NFT_MSG_GETSETELEM`.
pub(crate) const GET: Kind = kind(13);
/// `NFT_MSG_DELSETELEM`.
pub(crate) const DELETE: Kind = kind(14);

const NFTA_SET_ELEM_LIST_TABLE: u16 = 1;
const NFTA_SET_ELEM_LIST_SET: u16 = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_SET_ELEM_FLAGS: u16 = 3;
const NFTA_SET_ELEM_USERDATA: u16 = 6;
const NFTA_SET_ELEM_PAD: u16 = 8;
const NFTA_DATA_VALUE: u16 = 1;
/// `NFT_SET_ELEM_INTERVAL_END`
const INTERVAL_END: u32 = 1;

/// How many elements a message carries at most. Of the longest, IPv6 intervals, each takes 64 bytes, and the list has to
/// stay below 64 KiB.
pub(crate) const PER_MESSAGE: usize = 1_000;

/// The first address of an interval, or the first behind one. At the same address, an end sorts before a beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Boundary {
    /// An address of the set's family, as a number, because a hundred thousand of them are sorted at a time.
    address: u128,
    is_first: bool,
}

/// Writes the set whose elements are meant.
pub(crate) fn emit_set(writer: &mut Writer, table: &str, set: &str) {
    writer.text(NFTA_SET_ELEM_LIST_TABLE, table);
    writer.text(NFTA_SET_ELEM_LIST_SET, set);
}

/// Writes at most [`PER_MESSAGE`] elements to be added or deleted.
pub(crate) fn emit(
    writer: &mut Writer,
    family: Family,
    table: &str,
    set: &str,
    kind: SetKind,
    elements: &[AddressRange],
) {
    emit_set(writer, table, set);
    writer.nested(NFTA_SET_ELEM_LIST_ELEMENTS, |writer| {
        let [first, end] = [None, Some(INTERVAL_END)].map(|flags| template(family, flags));
        for element in elements {
            emit_boundary(writer, &first, element.first());
            if let (SetKind::Intervals, Some(next)) = (kind, element.next()) {
                emit_boundary(writer, &end, next);
            }
        }
    });
}

/// The bytes of an element before its address, which is the last of its attributes. They are the same for all elements of
/// a message.
fn template(family: Family, flags: Option<u32>) -> Vec<u8> {
    let address_len = usize::from(family.address_len());
    let mut writer = Writer::new();
    writer.nested(NFTA_LIST_ELEM, |writer| {
        if let Some(flags) = flags {
            writer.be32(NFTA_SET_ELEM_FLAGS, flags);
        }
        writer.nested(NFTA_SET_ELEM_KEY, |writer| writer.attribute(NFTA_DATA_VALUE, &vec![0; address_len]));
    });
    let mut bytes = writer.into_bytes();
    bytes.truncate(bytes.len() - address_len);
    bytes
}

fn emit_boundary(writer: &mut Writer, template: &[u8], address: IpAddr) {
    writer.raw(template);
    match address {
        IpAddr::V4(address) => writer.raw(&address.octets()),
        IpAddr::V6(address) => writer.raw(&address.octets()),
    }
}

/// The elements in one message of a dump, or why the set cannot be one of ours; `None` if they are of another set.
pub(crate) fn parse(
    attributes: Attributes<'_>,
    family: Family,
    table: &str,
    set: &str,
) -> Result<Option<Result<Vec<Boundary>, Unrecognised>>, Malformed> {
    let mut boundaries = Vec::new();
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            NFTA_SET_ELEM_LIST_TABLE if !attribute.is(table) => return Ok(None),
            NFTA_SET_ELEM_LIST_SET if !attribute.is(set) => return Ok(None),
            NFTA_SET_ELEM_LIST_ELEMENTS => {
                // The shortest element, an IPv4 address, takes 16 bytes.
                boundaries.reserve(attribute.payload.len() / 16);
                for element in attribute.nested() {
                    match parse_element(element?.nested(), family)? {
                        Ok(boundary) => boundaries.push(boundary),
                        Err(unrecognised) => return Ok(Some(Err(unrecognised))),
                    }
                }
            }
            _ => {}
        }
    }
    Ok(Some(Ok(boundaries)))
}

fn parse_element(attributes: Attributes<'_>, family: Family) -> Result<Result<Boundary, Unrecognised>, Malformed> {
    let (mut address, mut flags) = (None, 0);
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            NFTA_SET_ELEM_KEY => address = parse_key(&attribute, family)?,
            NFTA_SET_ELEM_FLAGS => flags = attribute.be32()?,
            NFTA_SET_ELEM_USERDATA if is_without_comment(attribute.payload) => {}
            NFTA_SET_ELEM_PAD => {}
            NFTA_SET_ELEM_USERDATA => return Ok(Err(unrecognised("has an element with a comment"))),
            // Data of a map, a timeout, a counter or another expression, the second key of an interval of several fields.
            _ => return Ok(Err(unrecognised("has an element that is more than an address"))),
        }
    }
    let is_first = match flags {
        0 => true,
        INTERVAL_END => false,
        _ => return Ok(Err(unrecognised("has an element for all that is in no other"))),
    };
    Ok(address
        .map(|address| Boundary { address, is_first })
        .ok_or_else(|| unrecognised("has an element without an address of its family")))
}

fn parse_key(key: &Attribute<'_>, family: Family) -> Result<Option<u128>, Malformed> {
    let mut address = None;
    for attribute in key.nested() {
        let attribute = attribute?;
        address = match (attribute.kind, family) {
            (NFTA_DATA_VALUE, Family::Ipv4) => {
                attribute.payload.try_into().ok().map(u32::from_be_bytes).map(u128::from)
            }
            (NFTA_DATA_VALUE, Family::Ipv6) => attribute.payload.try_into().ok().map(u128::from_be_bytes),
            _ => None,
        };
    }
    Ok(address)
}

/// The elements of a set, sorted, or why they cannot be those of a set of ours; `None` if one was dumped twice, so that
/// others may be missing.
///
/// The kernel dumps a hash table in parts, and for each part skips as many elements as it has dumped already. A table that
/// grew recently still moves its elements to other places (`rhashtable`), so that some are dumped twice and others not at
/// all. As a dump has as many elements as the set, none is missing if none was dumped twice.
pub(crate) fn ranges(
    mut boundaries: Vec<Boundary>,
    family: Family,
    kind: SetKind,
) -> Option<Result<Vec<AddressRange>, Unrecognised>> {
    boundaries.sort_unstable();
    if boundaries.is_sorted_by(|earlier, later| earlier < later) {
        Some(match kind {
            SetKind::Addresses { .. } => addresses(&boundaries, family),
            SetKind::Intervals => intervals(&boundaries, family),
        })
    } else {
        None
    }
}

fn addresses(boundaries: &[Boundary], family: Family) -> Result<Vec<AddressRange>, Unrecognised> {
    boundaries
        .iter()
        .map(|boundary| range(family, boundary.address, boundary.address).filter(|_| boundary.is_first))
        .collect::<Option<_>>()
        .ok_or_else(|| unrecognised("has the end of an interval among single addresses"))
}

fn intervals(boundaries: &[Boundary], family: Family) -> Result<Vec<AddressRange>, Unrecognised> {
    let mut ranges = Vec::with_capacity(boundaries.len() / 2 + 1);
    let mut first = None;
    for boundary in boundaries {
        match (first, boundary.is_first) {
            (None, true) => first = Some(boundary.address),
            (Some(start), false) => {
                ranges.extend(range(family, start, boundary.address - 1));
                first = None;
            }
            // nft adds such an end at the first of all addresses if no interval begins there.
            (None, false) => {}
            // The kernel accepts such an interval, and takes it to end before the next one.
            (Some(_), true) => return Err(unrecognised("has an interval without an end before the next one")),
        }
    }
    ranges
        .extend(first.and_then(|start| range(family, start, u128::MAX >> (128 - 8 * u32::from(family.address_len())))));
    Ok(ranges)
}

fn range(family: Family, first: u128, last: u128) -> Option<AddressRange> {
    let address = |bits: u128| match family {
        Family::Ipv4 => u32::try_from(bits).ok().map(|bits| IpAddr::from(Ipv4Addr::from_bits(bits))),
        Family::Ipv6 => Some(Ipv6Addr::from_bits(bits).into()),
    };
    AddressRange::new(address(first)?, address(last)?)
}

/// The kernel gives userdata no meaning. By convention of libnftnl it is a list of a type byte, a length byte and a value;
/// type 0 is a comment (`NFTNL_UDATA_SET_ELEM_COMMENT`), type 1 says that the interval ends with the address space.
fn is_without_comment(mut userdata: &[u8]) -> bool {
    const FLAGS: u8 = 1;
    while let [FLAGS, len, rest @ ..] = userdata {
        let Some(next) = rest.get(usize::from(*len)..) else { return false };
        userdata = next;
    }
    userdata.is_empty()
}

fn unrecognised(why: &str) -> Unrecognised {
    Unrecognised(why.to_owned())
}
