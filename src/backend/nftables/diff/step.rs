//! How far one commit can change a table of our own, so that every packet on its way gets either the old answer or the new
//! one.
//!
//! On its whole way through a base chain a packet meets the rules of one moment, but each set as it is at the moment of the
//! lookup (`nft_do_chain`, `nft_set_elem_active`). So it can meet the rules and the first sets as they were before a
//! commit, and the other sets as they are after it. A deleted set keeps its elements for packets that still look it up.
//!
//! An interval set stays for a moment after a commit what it was before, or empty if it is new: changes become effective
//! when the kernel has made an array of the set's tree, which is the last thing that a commit does. No rule may begin to
//! look the set up before that. So it is staged: one commit fills it, and only the next one has rules look it up.

use std::borrow::Cow;

use crate::backend::nftables::{ObservedSet, ObservedTable};
use crate::net::{AddressRange, Cidr};
use crate::policy::AddressField;
use crate::rules::{Elements, Lookup, Rule, Set, SetKind, Table, Verdict, sets_of_addresses};

use super::parts::first_name;

/// What the next commit does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Everything.
    All,
    /// What is missing in the sets is added. Nothing is removed, and the rules stay.
    Additions,
    /// What is missing is added, the rules change, and sets that they no longer look up are removed. In other sets no
    /// element is removed.
    Rules,
    /// All sets and all rules are made anew.
    Exchange,
}

impl Step {
    pub(super) fn next(present: &ObservedTable, desired: &Table, deltas: &[Delta]) -> Self {
        let can_hold =
            |set: &Set| present.set(&set.name).is_none_or(|present| can_hold(present, set.kind, set.elements.len()));
        if !desired.sets.iter().all(can_hold) {
            return Self::Exchange;
        }
        let changes_in_use = |(set, delta): (&Set, &Delta)| delta.len() > 0 && is_looked_up(present, &set.name);
        if !can_be_compared(present, desired) && desired.sets.iter().zip(deltas).any(changes_in_use) {
            return Self::Exchange;
        }
        let is_to_be_filled = |(set, delta): (&Set, &Delta)| {
            is_staged(set) && !is_looked_up(present, &set.name) && !(delta.added.is_empty() && delta.removed.is_empty())
        };
        if desired.sets.iter().zip(deltas).any(is_to_be_filled) || moves_between_sets(present, desired, deltas) {
            return if can_hold_both(present, desired, deltas) { Self::Additions } else { Self::Exchange };
        }
        if lookups_of(present) != desired_lookups(desired) && leaves_a_set_for_another(present, desired, deltas) {
            return Self::Rules;
        }
        Self::All
    }
}

/// Whether a set is staged, because its elements become effective only a moment after the commit that adds them.
pub(super) fn is_staged(set: &Set) -> bool {
    set.kind == SetKind::Intervals && !set.elements.is_empty()
}

/// The table with sets of addresses, which are effective at once, instead of staged ones. Each staged set becomes one set
/// for each prefix length, and each rule that looks it up becomes one rule for each of these.
pub(super) fn without_staged_sets(desired: &Table) -> Cow<'_, Table> {
    if !desired.sets.iter().any(is_staged) {
        return Cow::Borrowed(desired);
    }
    let mut table = desired.clone();
    for staged in desired.sets.iter().filter(|set| is_staged(set)) {
        let (sets, parts) = sets_of_addresses(first_name(&staged.name), &staged.elements);
        table.sets.retain(|set| set.name != staged.name);
        table.sets.extend(sets);
        for chain in &mut table.chains {
            chain.rules = chain.rules.iter().flat_map(|rule| rule.looking_up_instead(&staged.name, &parts)).collect();
        }
    }
    Cow::Owned(table)
}

/// Whether a present rule looks the set up.
pub(super) fn is_looked_up(present: &ObservedTable, set: &str) -> bool {
    lookups_of(present).iter().any(|(name, _)| *name == set)
}

/// What is added to a set and what is removed from it.
#[derive(Default)]
pub(super) struct Delta {
    /// Sorted.
    pub(super) added: Elements,
    /// Sorted.
    pub(super) removed: Elements,
}

impl Delta {
    pub(super) fn of(present: Option<&ObservedSet>, desired: &Set) -> Self {
        match present {
            None => Self { added: desired.elements.clone(), removed: Elements::default() },
            Some(present) if present.elements == desired.elements => Self::default(),
            Some(present) => Self::of_at_most(usize::MAX, Some(present), desired),
        }
    }

    /// The first elements of each list, at most this many.
    pub(super) fn of_at_most(most: usize, present: Option<&ObservedSet>, desired: &Set) -> Self {
        let nothing = Elements::default();
        let present = present.map_or(&nothing, |present| &present.elements);
        let same = present.same_as_in(&desired.elements);
        let [present, desired] = [present, &desired.elements].map(|elements| elements.part(same..elements.len()));
        Self { added: missing(&desired, &present, most), removed: missing(&present, &desired, most) }
    }

    pub(super) fn len(&self) -> usize {
        self.added.len() + self.removed.len()
    }
}

/// The first elements of a sorted list that another does not have, at most this many.
fn missing(of: &Elements, from: &Elements, most: usize) -> Elements {
    if from.is_empty() {
        return of.part(0..most);
    }
    let mut from = from.iter().peekable();
    let is_missing = |element: &&AddressRange| {
        while from.next_if(|other| *other < *element).is_some() {}
        from.peek() != Some(element)
    };
    of.iter().filter(is_missing).take(most).copied().collect::<Vec<_>>().into()
}

/// Whether the present set has room for this many elements. A hash table may have more room than a new one would be given.
pub(super) fn can_hold(present: &ObservedSet, kind: SetKind, elements: usize) -> bool {
    match (&present.kind, kind) {
        (Ok(SetKind::Addresses { size }), SetKind::Addresses { .. }) => {
            u32::try_from(elements).is_ok_and(|elements| elements <= *size)
        }
        (present, desired) => *present == Ok(desired),
    }
}

/// Whether the sets that are looked up have room for what is added while what is removed is still there.
fn can_hold_both(present: &ObservedTable, desired: &Table, deltas: &[Delta]) -> bool {
    desired.sets.iter().zip(deltas).all(|(set, Delta { added, removed })| match (present.set(&set.name), set.kind) {
        (None, _) => true,
        (Some(_), _) if !is_looked_up(present, &set.name) => true,
        (Some(present), SetKind::Addresses { .. }) => can_hold(present, set.kind, present.elements.len() + added.len()),
        (Some(_), SetKind::Intervals) => added.is_empty() || removed.is_empty(),
    })
}

/// Whether an address is removed from one set that is looked up and added to another. A packet that looks up one before a
/// commit and the other after it could find the address in neither.
fn moves_between_sets(present: &ObservedTable, desired: &Table, deltas: &[Delta]) -> bool {
    let (before, after) = (lookups_of(present), desired_lookups(desired));
    let (mut added, mut removed) = (Vec::new(), Vec::new());
    for (set, delta) in desired.sets.iter().zip(deltas) {
        added.extend(covered(&delta.added, &set.name, &after));
        removed.extend(covered(&delta.removed, &set.name, &before));
    }
    if added.is_empty() {
        return false;
    }
    for set in present.sets.iter().filter(|set| desired.set(&set.name).is_none()) {
        removed.extend(covered(&set.elements, &set.name, &before));
    }
    meet(added, removed)
}

/// Whether an address is removed from a set that stays, and is in another set that the new rules look up.
fn leaves_a_set_for_another(present: &ObservedTable, desired: &Table, deltas: &[Delta]) -> bool {
    let (before, after) = (lookups_of(present), desired_lookups(desired));
    let mut removed = Vec::new();
    for (set, delta) in desired.sets.iter().zip(deltas) {
        removed.extend(covered(&delta.removed, &set.name, &before));
    }
    if removed.is_empty() {
        return false;
    }
    // All desired elements, which can be a million.
    let there = desired.sets.iter().flat_map(|set| covered(&set.elements, &set.name, &after));
    meet(there.collect(), removed)
}

/// Whether both lists have an address in common, in different sets. No two ranges of `added` share an address.
fn meet(mut added: Vec<(AddressRange, &str)>, mut removed: Vec<(AddressRange, &str)>) -> bool {
    added.sort_unstable();
    removed.sort_unstable();
    let mut added = added.iter().peekable();
    removed.iter().any(|(removed, from)| {
        while added.next_if(|(added, _)| added.last() < removed.first()).is_some() {}
        let near = added.clone().take_while(|(added, _)| added.first() <= removed.last());
        near.into_iter().any(|(added, to)| added.overlaps(removed) && to != from)
    })
}

/// The addresses that the elements of a set cover, given how the set is looked up; none if it is not looked up.
fn covered<'a>(
    elements: &'a [AddressRange],
    set: &'a str,
    lookups: &[(&str, Option<u8>)],
) -> impl Iterator<Item = (AddressRange, &'a str)> + use<'a> {
    let lookup = lookups.iter().find(|(name, _)| *name == set).map(|(_, prefix_len)| *prefix_len);
    elements.iter().filter_map(move |element| {
        let masked = lookup?.and_then(|len| Cidr::around(element.first(), len));
        Some((masked.map_or(*element, AddressRange::from), set))
    })
}

fn lookups_of(table: &ObservedTable) -> Vec<(&str, Option<u8>)> {
    lookups(present_rules(table))
}

fn desired_lookups(table: &Table) -> Vec<(&str, Option<u8>)> {
    lookups(desired_rules(table))
}

fn lookups<'a>(rules: impl Iterator<Item = &'a Rule>) -> Vec<(&'a str, Option<u8>)> {
    rules.flat_map(Rule::lookups).map(|lookup| (lookup.set, lookup.prefix_len)).collect()
}

fn present_rules(table: &ObservedTable) -> impl Iterator<Item = &Rule> {
    table.chains.iter().flat_map(|chain| &chain.rules).filter_map(|rule| rule.rule.as_ref().ok())
}

fn desired_rules(table: &Table) -> impl Iterator<Item = &Rule> {
    table.chains.iter().flat_map(|chain| &chain.rules)
}

/// Whether sets can be compared with each other, to find out which answers a packet may get that looks one up before a
/// commit and another after it. That is possible if each rule with a lookup has no other condition, looks up the
/// destination and returns, and if each set is looked up in one way only. With more conditions, such as a source in another
/// set, an address is exempt by a pair of sets, and an old set together with a new one may give an answer that neither the
/// old nor the new rules give.
pub(super) fn can_be_compared(present: &ObservedTable, desired: &Table) -> bool {
    fn of_destinations<'a>(rules: impl Iterator<Item = &'a Rule>) -> bool {
        let mut ways: Vec<Lookup<'_>> = Vec::new();
        for rule in rules.filter(|rule| rule.lookups().next().is_some()) {
            let ([_], Some(lookup), Verdict::Return) = (rule.matches(), rule.lookups().next(), rule.verdict()) else {
                return false;
            };
            let is_another_way = |way: &Lookup<'_>| way.set == lookup.set && *way != lookup;
            if lookup.field != AddressField::Destination || ways.iter().any(is_another_way) {
                return false;
            }
            ways.push(lookup);
        }
        true
    }
    of_destinations(present_rules(present)) && of_destinations(desired_rules(desired))
}
