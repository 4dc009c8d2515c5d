//! Addresses that stay in an interval set while its intervals change around them.
//!
//! Where an interval gives way to another that shares addresses with it, kernels before the one whose interval sets are
//! arrays (6.12 and 6.1 were seen, 6.18 not) lose sight of these addresses while they commit: a lookup takes the nearest
//! beginning of an interval, be it of one that does not count yet, and looks no further (`nft_rbtree_lookup`). So for that
//! time the addresses are also in sets of single addresses, which a rule next to the other looks up.

use std::net::IpAddr;

use super::step::{Delta, is_looked_up};
use crate::net::AddressRange;
use crate::ruleset::compile::sets_of_addresses;
use crate::ruleset::{Elements, Match, ObservedSet, ObservedTable, Rule, Set, SetKind, Table};

/// The table on the way to the desired one, as long as intervals with shared addresses have to change; `None` if none have.
pub(super) fn meanwhile(present: &ObservedTable, desired: &Table) -> Option<Table> {
    let mut table = desired.clone();
    let mut changes = false;
    for set in desired.sets.iter().filter(|set| set.kind == SetKind::Intervals && is_looked_up(present, set)) {
        let Some(before) = present.set(&set.name) else { continue };
        let Delta { come, gone } = Delta::of(Some(before), set);
        let both = shared(&come, &gone);
        if both.is_empty() {
            continue;
        }
        changes = true;
        let sets = sets_of_addresses(&both).into_iter().map(|(other, lookup)| named(&set.name, other, &lookup));
        let (sets, lookups): (Vec<Set>, Vec<Match>) = sets.unzip();
        let stand = sets.iter().all(|set| {
            let stands = |present: &ObservedSet| Delta::of(Some(present), set).come.is_empty();
            is_looked_up(present, set) && present.set(&set.name).is_some_and(stands)
        });
        if !stand {
            // First they come, and nothing else changes in the interval set.
            table.sets.iter_mut().filter(|other| other.name == set.name).for_each(|set| {
                set.elements = before.elements.clone();
            });
        }
        table.sets.extend(sets);
        look_up_as_well(&mut table, &set.name, &lookups);
    }
    changes.then_some(table)
}

/// The set under a name that none of the others has.
fn named(of: &str, mut set: Set, lookup: &Match) -> (Set, Match) {
    let prefix_len = match lookup {
        Match::DestinationIn { prefix_len, .. } => *prefix_len,
        _ => None,
    };
    set.name = format!("{of}-meanwhile-{}", prefix_len.unwrap_or_default());
    let lookup = Match::DestinationIn { set: set.name.clone(), prefix_len };
    (set, lookup)
}

/// Each rule that looks the set up comes after others that do the same by these lookups.
fn look_up_as_well(table: &mut Table, set: &str, lookups: &[Match]) {
    let is_lookup = |condition: &Match| matches!(condition, Match::DestinationIn { set: other, .. } if other == set);
    for chain in &mut table.chains {
        let with_others = |rule: &Rule| {
            let is_one = rule.matches().iter().any(is_lookup);
            let others = lookups.iter().filter(|_| is_one).map(|lookup| rule.with(&is_lookup, lookup));
            others.chain([rule.clone()]).collect::<Vec<_>>()
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
