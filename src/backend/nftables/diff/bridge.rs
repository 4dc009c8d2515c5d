//! Bridge sets. They hold the addresses that stay in an interval set while its intervals change around them.
//!
//! If an interval is replaced with another that shares addresses with it, older kernels, whose interval sets are trees and
//! not arrays (6.1 and 6.12 do this, 6.18 does not), fail to find the shared addresses during the commit: a lookup takes
//! the interval with the nearest beginning, even if that interval is not active yet, and looks no further
//! (`nft_rbtree_lookup`). So for that time the addresses are also in sets of single addresses, which an additional rule
//! looks up.

use std::net::IpAddr;

use super::step::{Delta, can_be_compared, is_looked_up};
use crate::backend::nftables::{ObservedSet, ObservedTable};
use crate::net::AddressRange;
use crate::rules::{Elements, Rule, SetKind, SetPart, Table, sets_of_addresses};

/// The table on the way to the desired one, with bridge sets, as long as intervals that share addresses have to be replaced;
/// `None` if there are none.
pub(super) fn with_bridge_sets(present: &ObservedTable, desired: &Table) -> Option<Table> {
    if !can_be_compared(present, desired) {
        return None;
    }
    let mut table = desired.clone();
    let mut changes = false;
    for set in desired.sets.iter().filter(|set| set.kind == SetKind::Intervals && is_looked_up(present, &set.name)) {
        let Some(before) = present.set(&set.name) else { continue };
        let Delta { added, removed } = Delta::of(Some(before), set);
        let both = shared(&added, &removed);
        if both.is_empty() {
            continue;
        }
        changes = true;
        let (sets, parts) = sets_of_addresses(&format!("{}-bridge", set.name), &both);
        let stand = sets.iter().all(|set| {
            let stands = |present: &ObservedSet| Delta::of(Some(present), set).added.is_empty();
            is_looked_up(present, &set.name) && present.set(&set.name).is_some_and(stands)
        });
        if !stand {
            // The bridge sets are added first; the interval set stays as it is in that commit.
            table.sets.iter_mut().filter(|other| other.name == set.name).for_each(|set| {
                set.elements = before.elements.clone();
            });
        }
        table.sets.extend(sets);
        look_up_as_well(&mut table, &set.name, &parts);
    }
    changes.then_some(table)
}

/// Adds rules before each rule that looks the set up, which look up the bridge sets and decide the same.
fn look_up_as_well(table: &mut Table, set: &str, parts: &[SetPart]) {
    for chain in &mut table.chains {
        let with_others = |rule: &Rule| {
            let looks_it_up = rule.lookups().any(|lookup| lookup.set == set);
            let others = if looks_it_up { rule.looking_up_instead(set, parts) } else { Vec::new() };
            others.into_iter().chain([rule.clone()]).collect::<Vec<_>>()
        };
        chain.rules = chain.rules.iter().flat_map(with_others).collect();
    }
}

/// The addresses that are in ranges of both lists.
fn shared(one: &Elements, other: &Elements) -> Vec<AddressRange> {
    let (mut one, mut other) = (one.iter().peekable(), other.iter().peekable());
    let mut shared = Vec::new();
    while let (Some(a), Some(b)) = (one.peek(), other.peek()) {
        let (first, last): (IpAddr, IpAddr) = (a.first().max(b.first()), a.last().min(b.last()));
        shared.extend(AddressRange::new(first, last));
        if a.last() < b.last() {
            one.next();
        } else {
            other.next();
        }
    }
    shared
}

#[cfg(test)]
mod tests {
    use super::super::tests::SEVEN_LENGTHS;
    use super::*;
    use crate::backend::nftables::tests::plans::standing;
    use crate::net::Cidr;
    use crate::rules::tests::policy;
    use crate::rules::{Layout, Match, Protection, Ruleset, compile};

    fn range(text: &str) -> AddressRange {
        text.parse::<Cidr>().unwrap().into()
    }

    fn elements(texts: &[&str]) -> Elements {
        texts.iter().map(|text| range(text)).collect::<Vec<_>>().into()
    }

    /// A table with so many prefix lengths that it has an interval set, one interval of which is given.
    fn with_interval(text: &str) -> Table {
        let exempt = [&[text], &SEVEN_LENGTHS[1..], &["80.0.0.0/15"]].concat();
        compile(&policy(&exempt, ""), Layout::OwnTable(Protection::Off)).tables.remove(0)
    }

    fn kernel_with(table: &Table) -> ObservedTable {
        let ruleset = compile(&policy(&[], ""), Layout::IptablesNat);
        standing(&Ruleset { tables: vec![table.clone()], ..ruleset }).tables.remove(0)
    }

    #[test]
    fn what_stays_of_an_interval_is_in_a_set_that_is_looked_up_before_the_interval_changes() {
        let (wide, narrow) = (with_interval("10.0.0.0/8"), with_interval("10.64.0.0/16"));
        let intervals = |table: &Table| table.set("exempt").unwrap().elements.clone();
        let first = with_bridge_sets(&kernel_with(&wide), &narrow).unwrap();
        assert_eq!(intervals(&first), intervals(&wide), "first the set is added");
        let set = first.set("exempt-bridge-16").unwrap();
        assert_eq!(set.elements, vec![AddressRange::single(range("10.64.0.0/16").first())].into());
        let lookups: Vec<&[Match]> = first.chains[1].rules.iter().map(Rule::matches).collect();
        let lookup = |set: &str, prefix_len| [Match::destination_in(set, prefix_len)];
        assert_eq!(lookups[..2], [&lookup("exempt-bridge-16", Some(16))[..], &lookup("exempt", None)]);
        assert_eq!(lookups.len(), wide.chains[1].rules.len() + 1);

        let second = with_bridge_sets(&kernel_with(&first), &narrow).unwrap();
        assert_eq!(intervals(&second), intervals(&narrow), "then the intervals change");
        assert_eq!(second.set("exempt-bridge-16"), Some(set));
        assert_eq!(with_bridge_sets(&kernel_with(&second), &narrow), None, "then the set may be removed");

        // What an agent leaves that is stopped in between: the bridge set is there, but incomplete or not looked up.
        let mut incomplete = kernel_with(&first);
        incomplete.sets.iter_mut().filter(|found| found.name == set.name).for_each(|found| {
            found.elements = Elements::default();
        });
        let mut unused = kernel_with(&first);
        unused.chains[1].rules.remove(0);
        for present in [incomplete, unused] {
            assert_eq!(with_bridge_sets(&present, &narrow), Some(first.clone()), "it is added again");
        }
    }

    #[test]
    fn there_is_no_bridge_set_where_nobody_looks_up_the_intervals_or_none_shares_an_address_with_another() {
        let (wide, narrow) = (with_interval("10.0.0.0/8"), with_interval("10.64.0.0/16"));
        let mut unused = kernel_with(&wide);
        unused.chains[1].rules.clear();
        assert_eq!(with_bridge_sets(&unused, &narrow), None);
        assert_eq!(with_bridge_sets(&kernel_with(&wide), &wide), None);
        assert_eq!(with_bridge_sets(&kernel_with(&wide), &with_interval("11.0.0.0/8")), None);
    }

    #[test]
    fn shared_is_what_is_in_ranges_of_both_lists() {
        for (one, other, expected) in [
            (&[][..], &["10.0.0.0/8"][..], &[][..]),
            (&["10.0.0.0/8"], &["11.0.0.0/8"], &[]),
            (&["10.0.0.0/8"], &["10.0.0.0/8"], &["10.0.0.0/8"]),
            (
                &["10.1.0.0/16", "10.3.0.0/16", "12.0.0.0/8"],
                &["10.0.0.0/8", "12.1.0.0/16", "12.3.0.0/16"],
                &["10.1.0.0/16", "10.3.0.0/16", "12.1.0.0/16", "12.3.0.0/16"],
            ),
            (&["10.0.0.0/16", "10.1.0.0/16"], &["10.0.0.0/15"], &["10.0.0.0/16", "10.1.0.0/16"]),
        ] {
            let expected: Vec<AddressRange> = elements(expected).to_vec();
            assert_eq!(shared(&elements(one), &elements(other)), expected, "{one:?} {other:?}");
            assert_eq!(shared(&elements(other), &elements(one)), expected, "{other:?} {one:?}");
        }
    }
}
