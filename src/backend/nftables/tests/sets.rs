//! Sets, their elements, and tables of our own, without a kernel.

use proptest::prelude::*;
use std::net::IpAddr;

use super::{any_family, own_batch};
use crate::backend::nftables::codec::{element, set, table};
use crate::backend::nftables::{Action, Unrecognised};
use crate::net::{AddressRange, Family};
use crate::netlink::{Attributes, Malformed, Writer};
use crate::netlink::{Content, Messages, nfnetlink};
use crate::rules::{Protection, SetKind};

const SET: &str = "exempt";
const NEW_ELEMENTS: u8 = 12;
const DEL_ELEMENTS: u8 = 14;

/// Any family and kind with elements of such a set.
fn any_elements() -> impl Strategy<Value = (Family, SetKind, Vec<AddressRange>)> {
    let kind = prop::sample::select(vec![SetKind::Addresses { size: 64 }, SetKind::Intervals]);
    // Near both ends of the address space as well as anywhere.
    let address = prop_oneof![any::<u128>(), 0..4_u128, (0..4_u128).prop_map(|below| u128::MAX - below)];
    let pairs = prop::collection::vec((address.clone(), address), 0..40);
    (any_family(), kind, pairs).prop_map(|(family, kind, pairs)| {
        let ranges = pairs.into_iter().map(|(a, b)| match kind {
            SetKind::Addresses { .. } => AddressRange::single(ip(family, a)),
            SetKind::Intervals => {
                let (a, b) = (ip(family, a), ip(family, b));
                AddressRange::new(a.min(b), a.max(b)).unwrap()
            }
        });
        (family, kind, disjoint(ranges.collect()))
    })
}

fn ip(family: Family, bits: u128) -> IpAddr {
    match family {
        Family::Ipv4 => IpAddr::V4(u32::try_from(bits & 0xffff_ffff).unwrap().into()),
        Family::Ipv6 => IpAddr::V6(bits.into()),
    }
}

/// Sorts the ranges, and leaves out those that overlap an earlier one. Those that only touch stay separate.
fn disjoint(mut ranges: Vec<AddressRange>) -> Vec<AddressRange> {
    ranges.sort_unstable();
    ranges.dedup_by(|later, earlier| later.overlaps(earlier));
    ranges
}

fn read(bytes: &[u8], family: Family, kind: SetKind) -> Option<Result<Vec<AddressRange>, Unrecognised>> {
    let mut boundaries = Vec::new();
    for message in Messages::new(bytes) {
        if let Content::Object { kind: element::NEW, payload } = message.unwrap().content {
            let attributes = nfnetlink::attributes(payload).unwrap();
            match element::parse(attributes, family, "ip-masq-agent", SET).unwrap().unwrap() {
                Ok(part) => boundaries.extend(part),
                Err(unrecognised) => return Some(Err(unrecognised)),
            }
        }
    }
    element::ranges(boundaries, family, kind)
}

fn add(kind: SetKind, elements: &[AddressRange]) -> Action {
    Action::AddElements { set: SET.to_owned(), kind, elements: elements.to_vec().into() }
}

proptest! {
    #[test]
    fn elements_survive_encoding_and_decoding((family, kind, elements) in any_elements()) {
        let batch = own_batch(family, [add(kind, &elements)]);
        prop_assert_eq!(read(batch.as_bytes(), family, kind), Some(Ok(elements)));
    }
}

#[test]
fn many_elements_go_into_several_messages_that_stand_for_one_change() {
    for family in Family::ALL {
        let elements: Vec<_> = (0..2_500).map(|at| AddressRange::single(ip(family, at * 2))).collect();
        let delete =
            Action::DeleteElements { set: SET.to_owned(), kind: SetKind::Intervals, elements: elements.clone().into() };
        let batch = own_batch(family, [Action::DeleteTable, add(SetKind::Intervals, &elements), delete]);
        let sequences_and_kinds: Vec<_> = messages(batch.as_bytes())
            .iter()
            .map(|message| (u32::from_ne_bytes(message[8..12].try_into().unwrap()), message[4]))
            .filter(|(_, kind)| [NEW_ELEMENTS, DEL_ELEMENTS].contains(kind))
            .collect();
        let changes: Vec<_> = sequences_and_kinds.iter().map(|(sequence, _)| batch.change(*sequence)).collect();
        assert_eq!(changes, [Some(1), Some(1), Some(1), Some(2), Some(2), Some(2)]);
        let kinds: Vec<_> = sequences_and_kinds.iter().map(|(_, kind)| *kind).collect();
        assert_eq!(kinds, [[NEW_ELEMENTS; 3], [DEL_ELEMENTS; 3]].concat());
        assert_eq!(read(batch.as_bytes(), family, SetKind::Intervals), Some(Ok(elements)));
    }
}

fn messages(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while let Some(len) = bytes.first_chunk().map(|len| u32::from_ne_bytes(*len)) {
        let (message, rest) = bytes.split_at(usize::try_from(len).unwrap());
        messages.push(message);
        bytes = rest;
    }
    messages
}

#[test]
fn an_interval_up_to_the_last_address_has_no_end_element() {
    for (family, text, len) in [
        (Family::Ipv4, "255.0.0.0/8", 16),
        (Family::Ipv4, "254.0.0.0/8", 40),
        (Family::Ipv6, "ff00::/8", 28),
        (Family::Ipv6, "fe00::/8", 64),
    ] {
        let range: AddressRange = text.parse::<crate::net::Cidr>().unwrap().into();
        let batch = own_batch(family, [add(SetKind::Intervals, &[range])]);
        let message = messages(batch.as_bytes())[1].to_vec();
        let elements = Attributes::new(&message[20..]).map(Result::unwrap).find(|attribute| attribute.kind == 3);
        assert_eq!(elements.unwrap().payload.len(), len, "{text}");
    }
}

/// A list of elements as a kernel might dump it.
fn elements(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.text(1, "ip-masq-agent");
    writer.text(2, SET);
    writer.nested(3, write);
    writer.into_bytes()
}

fn element(writer: &mut Writer, address: &[u8], rest: impl FnOnce(&mut Writer)) {
    writer.nested(1, |writer| {
        writer.nested(1, |writer| writer.attribute(1, address));
        rest(writer);
    });
}

fn first(writer: &mut Writer, last_byte: u8) {
    element(writer, &[10, 0, 0, last_byte], |_| {});
}

fn end(writer: &mut Writer, last_byte: u8) {
    element(writer, &[10, 0, 0, last_byte], |writer| writer.be32(3, 1));
}

fn parsed(bytes: &[u8], kind: SetKind) -> Result<Option<String>, Malformed> {
    let parsed = element::parse(Attributes::new(bytes), Family::Ipv4, "ip-masq-agent", SET)?.unwrap();
    let ranges = match parsed {
        Ok(boundaries) => element::ranges(boundaries, Family::Ipv4, kind),
        Err(unrecognised) => Some(Err(unrecognised)),
    };
    Ok(ranges.map(|ranges| ranges.map_or_else(|unrecognised| unrecognised.0, |ranges| format!("{ranges:?}"))))
}

#[test]
fn intervals_are_read_in_any_order_with_what_nft_adds_and_nothing_else() {
    type Write = fn(&mut Writer);
    let cases: &[(Write, &str)] = &[
        (|_| {}, "[]"),
        (
            |w| {
                end(w, 8);
                first(w, 4);
                end(w, 2);
                first(w, 1);
            },
            "[10.0.0.1, 10.0.0.4/30]",
        ),
        (
            |w| {
                first(w, 1);
                end(w, 4);
                first(w, 4);
                end(w, 5);
            },
            "[10.0.0.1-10.0.0.3, 10.0.0.4]",
        ),
        (
            |w| {
                first(w, 4);
                end(w, 4);
                first(w, 1);
                end(w, 5);
            },
            "[10.0.0.1-10.0.0.3, 10.0.0.4]",
        ),
        (
            |w| {
                element(w, &[0; 4], |w| w.be32(3, 1));
                first(w, 1);
                end(w, 2);
            },
            "[10.0.0.1]",
        ),
        (|w| element(w, &[255; 4], |w| w.attribute(6, &[1, 4, 1, 0, 0, 0])), "[255.255.255.255]"),
        (|w| element(w, &[254, 0, 0, 0], |_| {}), "[254.0.0.0/7]"),
        (
            |w| {
                first(w, 1);
                first(w, 4);
                end(w, 5);
            },
            "has an interval without an end before the next one",
        ),
        (|w| element(w, &[10; 4], |w| w.attribute(6, b"\x00\x02x\x00")), "has an element with a comment"),
        (|w| element(w, &[10; 4], |w| w.attribute(6, b"\x01\x09x")), "has an element with a comment"),
        (|w| element(w, &[10; 4], |w| w.be64(4, 1)), "has an element that is more than an address"),
        (|w| element(w, &[10; 4], |w| w.nested(7, |_| {})), "has an element that is more than an address"),
        (|w| w.nested(1, |w| w.be32(3, 2)), "has an element for all that is in no other"),
        (|w| element(w, &[10; 4], |w| w.be32(3, 4)), "has an element for all that is in no other"),
        (|w| element(w, &[10; 16], |_| {}), "has an element without an address of its family"),
        (|w| w.nested(1, |_| {}), "has an element without an address of its family"),
        (|w| w.nested(1, |w| w.nested(1, |w| w.nested(2, |_| {}))), "has an element without an address of its family"),
    ];
    for (write, read) in cases {
        let bytes = elements(write);
        assert_eq!(parsed(&bytes, SetKind::Intervals), Ok(Some((*read).to_owned())), "{bytes:?}");
    }
    let cut = elements(|writer| writer.raw(&[9, 0, 1, 0]));
    let malformed = Malformed("an attribute's length is not that of its bytes");
    assert_eq!(parsed(&cut, SetKind::Intervals), Err(malformed));
}

#[test]
fn single_addresses_have_no_ends_and_an_element_dumped_twice_is_no_answer() {
    let mixed = elements(|writer| {
        first(writer, 1);
        end(writer, 2);
    });
    let why = "has the end of an interval among single addresses".to_owned();
    assert_eq!(parsed(&mixed, SetKind::Addresses { size: 64 }), Ok(Some(why)));
    let twice = elements(|writer| {
        first(writer, 2);
        first(writer, 1);
        first(writer, 2);
    });
    for kind in [SetKind::Addresses { size: 64 }, SetKind::Intervals] {
        assert_eq!(parsed(&twice, kind), Ok(None));
    }
}

#[test]
fn a_set_that_is_made_otherwise_is_unrecognised_with_the_reason() {
    /// Flags, key type, key length, what else is said.
    type Case = (u32, u32, u32, fn(&mut Writer), Result<SetKind, &'static str>);
    let four = |flags: u32, key: u32, len: u32| {
        move |writer: &mut Writer| [(3, flags), (4, key), (5, len)].map(|(kind, value)| writer.be32(kind, value))
    };
    let cases: &[Case] = &[
        (0, 7, 4, |w| w.nested(9, |w| w.be32(1, 64)), Ok(SetKind::Addresses { size: 64 })),
        (4, 7, 4, |_| {}, Ok(SetKind::Intervals)),
        // An empty description, userdata and policy, as kernels dump them and nft writes them.
        (
            4,
            7,
            4,
            |w| {
                w.nested(9, |_| {});
                w.attribute(13, &[0, 4, 2, 0, 0, 0]);
                w.be32(8, 1);
            },
            Ok(SetKind::Intervals),
        ),
        (0, 8, 16, |_| {}, Err("has keys other than IPv4 addresses")),
        (0, 7, 8, |_| {}, Err("has keys other than IPv4 addresses")),
        (2, 7, 4, |_| {}, Err("has the flags 0x2 and room without bounds")),
        (8, 7, 4, |_| {}, Err("has the flags 0x8 and room without bounds")),
        (0x14, 7, 4, |_| {}, Err("has the flags 0x14 and room without bounds")),
        (0, 7, 4, |_| {}, Err("has the flags 0x0 and room without bounds")),
        (4, 7, 4, |w| w.nested(9, |w| w.be32(1, 100)), Err("has the flags 0x4 and room for 100")),
        (0, 7, 4, |w| w.nested(17, |_| {}), Err("does something for each element")),
    ];
    for (flags, key, len, more, kind) in cases {
        let mut writer = Writer::new();
        writer.text(1, "ip-masq-agent");
        writer.text(2, SET);
        four(*flags, *key, *len)(&mut writer);
        more(&mut writer);
        let parse = |table| set::parse(Attributes::new(writer.bytes()), Family::Ipv4, table).unwrap();
        let info = parse("ip-masq-agent").unwrap();
        let expected = kind.map_err(|why| Unrecognised(why.to_owned()));
        assert_eq!((info.name.as_str(), info.kind), (SET, expected));
        assert_eq!(parse("other"), None);
    }
    let nameless = set::parse(Attributes::new(&[]), Family::Ipv4, "ip-masq-agent");
    assert_eq!(nameless, Err(Malformed("a set has no name")));
}

#[test]
fn of_a_tables_flags_the_ones_that_protect_are_read_also_when_the_owner_has_gone_and_beside_them_whether_it_is_off() {
    for (flags, owner, protection, dormant) in [
        (0, None, Ok(Protection::Off), false),
        (6, Some(4711), Ok(Protection::OwnerPersist), false),
        (4, None, Ok(Protection::OwnerPersist), false),
        (2, Some(4711), Err(Unrecognised("has the flags 0x2".to_owned())), false),
        (1, None, Ok(Protection::Off), true),
        (7, Some(4711), Ok(Protection::OwnerPersist), true),
        (3, Some(4711), Err(Unrecognised("has the flags 0x3".to_owned())), true),
        (8, None, Err(Unrecognised("has the flags 0x8".to_owned())), false),
    ] {
        let mut writer = Writer::new();
        writer.text(1, "ip-masq-agent");
        writer.be32(2, flags);
        if let Some(owner) = owner {
            writer.be32(7, owner);
        }
        let info = table::parse(Attributes::new(writer.bytes())).unwrap();
        assert_eq!((info.name.as_str(), info.protection, info.owner), ("ip-masq-agent", protection, owner));
        assert_eq!(info.dormant, dormant, "{flags:#x}");
    }
}

#[test]
fn only_a_protected_table_is_sent_with_flags() {
    let flags = |protection| {
        let batch = own_batch(Family::Ipv4, [Action::CreateTable { protection }]);
        let message = messages(batch.as_bytes())[1].to_vec();
        let flags = Attributes::new(&message[20..]).map(Result::unwrap).find(|attribute| attribute.kind == 2);
        flags.map(|flags| flags.be32().unwrap())
    };
    assert_eq!(flags(Protection::Off), None);
    assert_eq!(flags(Protection::OwnerPersist), Some(6));
}
