//! Random policies and packets that are worth trying, as they are close together.

use std::collections::BTreeSet;
use std::net::IpAddr;

use proptest::prelude::*;

use crate::net::{AddressRange, Cidr};
use crate::policy::{AddressField, Policy};
use crate::rules::tests::policy;
use crate::rules::{Layout, Lookup, Protection, Rule, Ruleset, compile};

/// How many addresses are tried at most.
const MOST_ADDRESSES: usize = 150;

/// Rules in either layout, or none.
pub(super) fn any_ruleset() -> impl Strategy<Value = Option<Ruleset>> {
    let layout = proptest::sample::select(vec![
        Layout::IptablesNat,
        Layout::OwnTable(Protection::Off),
        Layout::OwnTable(Protection::Off),
        Layout::OwnTable(Protection::OwnerPersist),
    ]);
    proptest::option::weighted(0.9, (layout, any_policy()).prop_map(|(layout, policy)| compile(&policy, layout)))
}

/// Ranges so close together that they overlap, touch and contain each other; of few prefix lengths, of many, and more than
/// there is room for in a set that a short list made.
fn any_policy() -> impl Strategy<Value = Policy> {
    let few = (proptest::sample::select(vec![&[8_u8, 24][..], &[8, 24, 32], &[0, 1, 32]]), 0..10_usize);
    let many_lengths = (Just(&[9_u8, 10, 12, 15, 16, 20, 24, 30, 31, 32][..]), 10..30_usize);
    let many_ranges = (proptest::sample::select(vec![&[32_u8][..], &[31, 32]]), 120..200_usize);
    prop_oneof![8 => few, 3 => many_lengths, 2 => many_ranges].prop_flat_map(|(lengths, count)| {
        let range = (proptest::sample::select(lengths), any::<bool>(), 10..12_u32, 0..256_u32, 0..256_u32);
        proptest::collection::vec(range, count).prop_map(|ranges| {
            let texts: Vec<String> = ranges.into_iter().map(range_text).collect();
            policy(&texts.iter().map(String::as_str).collect::<Vec<_>>(), "")
        })
    })
}

fn range_text((len, v6, a, b, c): (u8, bool, u32, u32, u32)) -> String {
    // Long prefixes lie in few shorter ones.
    let bits = if len > 16 { a << 24 | (b % 4) << 16 | (c % 4) << 8 | c } else { a << 24 | b << 16 };
    let address: IpAddr =
        if v6 { IpAddr::V6((u128::from(bits | 0xf000_0000) << 96).into()) } else { IpAddr::V4(bits.into()) };
    Cidr::around(address, len).unwrap().to_string()
}

/// The first and the last address of each range, and their neighbours.
pub(super) fn interesting(rulesets: &[&Ruleset]) -> BTreeSet<IpAddr> {
    let mut ranges: Vec<AddressRange> = Vec::new();
    for table in rulesets.iter().flat_map(|ruleset| &ruleset.tables) {
        let rules = table.chains.iter().flat_map(|chain| &chain.rules).flat_map(Rule::matches);
        for condition in rules {
            ranges.extend(condition.destinations().map(AddressRange::from));
            if let Some(Lookup { field: AddressField::Destination, set, prefix_len }) = condition.lookup() {
                ranges.extend(table.set(set).unwrap().elements.iter().map(|element| match prefix_len {
                    Some(len) => Cidr::around(element.first(), len).unwrap().into(),
                    None => *element,
                }));
            }
        }
    }
    let previous = |address: IpAddr| match address {
        IpAddr::V4(address) => address.to_bits().checked_sub(1).map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(address) => address.to_bits().checked_sub(1).map(|bits| IpAddr::V6(bits.into())),
    };
    let of_range =
        |range: AddressRange| [Some(range.first()), Some(range.last()), previous(range.first()), range.next()];
    let all: BTreeSet<IpAddr> = ranges.into_iter().flat_map(of_range).flatten().collect();
    // If there are very many, only a sample.
    let step = all.len().div_ceil(MOST_ADDRESSES).max(1);
    all.into_iter().step_by(step).collect()
}
