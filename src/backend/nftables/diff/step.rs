//! How far a table of our own can be changed in one commit, so that every packet on its way meets the old answer or the new.
//!
//! For its whole way through a base chain a packet meets the rules of one moment, but each set in the moment in which it is
//! looked up (`nft_do_chain`, `nft_set_elem_active`). So it can meet the rules and the first sets as they were before a
//! commit, and the other sets as they are after it. A set that is deleted keeps its elements for those who still look.
//! An interval set is for a moment after a commit what it was before it, and empty if it is new: a change counts once the
//! set's tree has become an array, which is the last thing that a commit does. No rule may begin to look it up before.

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
    /// What is missing in the sets comes. Nothing goes, and the rules stay.
    Additions,
    /// What is missing comes, the rules change, and sets that they do not look up any more go. Elements of other sets stay.
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
        let is_late = |(set, delta): (&Set, &Delta)| {
            is_late(set) && !is_looked_up(present, &set.name) && !(delta.come.is_empty() && delta.gone.is_empty())
        };
        if desired.sets.iter().zip(deltas).any(is_late) || moves_between_sets(present, desired, deltas) {
            return if can_hold_both(present, desired, deltas) { Self::Additions } else { Self::Exchange };
        }
        if lookups_of(present) != desired_lookups(desired) && leaves_a_set_for_another(present, desired, deltas) {
            return Self::Rules;
        }
        Self::All
    }
}

/// Do the elements of such a set count only a moment after the commit that brings them?
pub(super) fn is_late(set: &Set) -> bool {
    set.kind == SetKind::Intervals && !set.elements.is_empty()
}

/// The table with sets of addresses instead of those that are late. Each such set becomes one for each prefix length, and each
/// rule that looks it up becomes one for each of these.
pub(super) fn prompt(desired: &Table) -> Cow<'_, Table> {
    if !desired.sets.iter().any(is_late) {
        return Cow::Borrowed(desired);
    }
    let mut table = desired.clone();
    for late in desired.sets.iter().filter(|set| is_late(set)) {
        let (sets, parts) = sets_of_addresses(first_name(&late.name), &late.elements);
        table.sets.retain(|set| set.name != late.name);
        table.sets.extend(sets);
        for chain in &mut table.chains {
            chain.rules = chain.rules.iter().flat_map(|rule| rule.looking_up_instead(&late.name, &parts)).collect();
        }
    }
    Cow::Owned(table)
}

/// Does a rule that is there look the set up?
pub(super) fn is_looked_up(present: &ObservedTable, set: &str) -> bool {
    lookups_of(present).iter().any(|(name, _)| *name == set)
}

/// What comes into a set and what goes from it.
#[derive(Default)]
pub(super) struct Delta {
    /// What comes, sorted.
    pub(super) come: Elements,
    /// What goes, sorted.
    pub(super) gone: Elements,
}

impl Delta {
    pub(super) fn of(present: Option<&ObservedSet>, desired: &Set) -> Self {
        match present {
            None => Self { come: desired.elements.clone(), gone: Elements::default() },
            Some(present) if present.elements == desired.elements => Self::default(),
            Some(present) => Self::of_at_most(usize::MAX, Some(present), desired),
        }
    }

    /// The first elements of each list, at most so many.
    pub(super) fn of_at_most(most: usize, present: Option<&ObservedSet>, desired: &Set) -> Self {
        let present = present.map_or(&[][..], |present| &present.elements);
        let same = present.iter().zip(&desired.elements).take_while(|(is, wanted)| is == wanted).count();
        let (present, desired) =
            (present.get(same..).unwrap_or_default(), desired.elements.get(same..).unwrap_or_default());
        Self { come: missing(desired, present, most), gone: missing(present, desired, most) }
    }

    pub(super) fn len(&self) -> usize {
        self.come.len() + self.gone.len()
    }
}

/// The first elements of a sorted list that another does not have, at most so many.
fn missing(of: &[AddressRange], from: &[AddressRange], most: usize) -> Elements {
    let mut from = from.iter().peekable();
    let is_missing = |element: &&AddressRange| {
        while from.next_if(|other| *other < *element).is_some() {}
        from.peek() != Some(element)
    };
    of.iter().filter(is_missing).take(most).copied().collect::<Vec<_>>().into()
}

/// Can the set take so many elements? A hash table may have more room than it would be given today.
pub(super) fn can_hold(present: &ObservedSet, kind: SetKind, elements: usize) -> bool {
    match (&present.kind, kind) {
        (Ok(SetKind::Addresses { size }), SetKind::Addresses { .. }) => {
            u32::try_from(elements).is_ok_and(|elements| elements <= *size)
        }
        (present, desired) => *present == Ok(desired),
    }
}

/// Can the sets that are looked up take what comes while what goes is still there?
fn can_hold_both(present: &ObservedTable, desired: &Table, deltas: &[Delta]) -> bool {
    desired.sets.iter().zip(deltas).all(|(set, Delta { come, gone })| match (present.set(&set.name), set.kind) {
        (None, _) => true,
        (Some(_), _) if !is_looked_up(present, &set.name) => true,
        (Some(present), SetKind::Addresses { .. }) => can_hold(present, set.kind, present.elements.len() + come.len()),
        (Some(_), SetKind::Intervals) => come.is_empty() || gone.is_empty(),
    })
}

/// Does an address that is looked up in one set go from there and come into another? A packet that looks up one before a
/// commit and the other after it would find the address in neither.
fn moves_between_sets(present: &ObservedTable, desired: &Table, deltas: &[Delta]) -> bool {
    let (before, after) = (lookups_of(present), desired_lookups(desired));
    let (mut come, mut gone) = (Vec::new(), Vec::new());
    for (set, delta) in desired.sets.iter().zip(deltas) {
        come.extend(covered(&delta.come, &set.name, &after));
        gone.extend(covered(&delta.gone, &set.name, &before));
    }
    if come.is_empty() {
        return false;
    }
    for set in present.sets.iter().filter(|set| desired.set(&set.name).is_none()) {
        gone.extend(covered(&set.elements, &set.name, &before));
    }
    meet(come, gone)
}

/// Does an address go from a set that stays, and is in another that other rules will look up?
fn leaves_a_set_for_another(present: &ObservedTable, desired: &Table, deltas: &[Delta]) -> bool {
    let (before, after) = (lookups_of(present), desired_lookups(desired));
    let mut gone = Vec::new();
    for (set, delta) in desired.sets.iter().zip(deltas) {
        gone.extend(covered(&delta.gone, &set.name, &before));
    }
    if gone.is_empty() {
        return false;
    }
    // All that shall be there, which can be a million elements.
    let there = desired.sets.iter().flat_map(|set| covered(&set.elements, &set.name, &after));
    meet(there.collect(), gone)
}

/// Is there an address of both lists, in different sets? No two ranges of `come` share an address.
fn meet(mut come: Vec<(AddressRange, &str)>, mut gone: Vec<(AddressRange, &str)>) -> bool {
    come.sort_unstable();
    gone.sort_unstable();
    let mut come = come.iter().peekable();
    gone.iter().any(|(gone, from)| {
        while come.next_if(|(come, _)| come.last() < gone.first()).is_some() {}
        let near = come.clone().take_while(|(come, _)| come.first() <= gone.last());
        near.into_iter().any(|(come, to)| come.overlaps(gone) && to != from)
    })
}

/// The addresses that elements of a set stand for, by how the set is looked up; none if it is not.
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

/// Can what one set has be compared with what another has, to find out what a packet may meet that looks one up before a
/// commit and the other after it? That is so where each lookup is all that its rule asks for, is of the destination, in
/// a set that is looked up in one way, and all rules with lookups do the same. Where a rule asks for more, a source in
/// another set for one, an address is exempt by a pair of sets, and a pair of which one is old and the other new gives
/// an answer of its own.
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
