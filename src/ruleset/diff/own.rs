//! A table of our own: everything in it is ours, so everything in it that is not desired goes.

use super::Differ;
use crate::net::{AddressRange, Cidr};
use crate::ruleset::{Action, Match, ObservedSet, ObservedTable, Protection, Rule, Set, SetKind, Table};

impl Differ<'_> {
    pub(super) fn own_table(&mut self, desired: Option<&Table>, hold: bool) {
        match (desired, self.observed) {
            (None, None) => {}
            (None, Some(_)) => self.push(Action::DeleteTable),
            (Some(desired), None) => self.create(desired),
            (Some(desired), Some(present)) if !can_become(present, desired) => {
                self.push(Action::DeleteTable);
                self.create(desired);
            }
            (Some(desired), Some(present)) => self.change(present, desired, hold),
        }
    }

    fn create(&mut self, desired: &Table) {
        self.push(Action::CreateTable { protection: desired.protection });
        for set in &desired.sets {
            self.create_set(set);
        }
        for chain in &desired.chains {
            self.push(Action::CreateChain { chain: chain.name.clone(), base: chain.base.clone() });
        }
        for chain in &desired.chains {
            for rule in &chain.rules {
                self.push(Action::Append { chain: chain.name.clone(), rule: rule.clone() });
            }
        }
    }

    fn change(&mut self, present: &ObservedTable, desired: &Table, hold: bool) {
        if hold && desired.protection == Protection::OwnerPersist && present.owner.is_none() {
            self.push(Action::CreateTable { protection: desired.protection });
        }
        let deltas: Vec<Delta> = desired.sets.iter().map(|set| Delta::of(present.set(&set.name), set)).collect();
        let additions_first = moves_between_sets(present, desired, &deltas);
        for (set, delta) in desired.sets.iter().zip(&deltas) {
            if present.set(&set.name).is_none() {
                self.push(Action::CreateSet { set: set.name.clone(), kind: set.kind });
            }
            // In an interval set what comes may lie where something goes, which has to go first.
            if !additions_first {
                self.elements(set, &delta.gone, false);
            }
            self.elements(set, &delta.come, true);
        }
        if additions_first {
            return;
        }
        for chain in &desired.chains {
            if self.chain(&chain.name).is_none() {
                self.push(Action::CreateChain { chain: chain.name.clone(), base: chain.base.clone() });
            }
        }
        for chain in &desired.chains {
            self.own_chain(chain);
        }
        for chain in present.chains.iter().filter(|chain| desired.chain(&chain.name).is_none()) {
            if !chain.rules.is_empty() {
                self.push(Action::Flush { chain: chain.name.clone() });
            }
            self.push(Action::DeleteChain { chain: chain.name.clone() });
        }
        for set in present.sets.iter().filter(|set| desired.set(&set.name).is_none()) {
            self.push(Action::DeleteSet { set: set.name.clone() });
        }
    }

    fn create_set(&mut self, set: &Set) {
        self.push(Action::CreateSet { set: set.name.clone(), kind: set.kind });
        self.elements(set, &set.elements, true);
    }

    fn elements(&mut self, Set { name, kind, .. }: &Set, elements: &[AddressRange], come: bool) {
        if elements.is_empty() {
            return;
        }
        let (set, kind, elements) = (name.clone(), *kind, elements.to_vec());
        self.push(if come {
            Action::AddElements { set, kind, elements }
        } else {
            Action::DeleteElements { set, kind, elements }
        });
    }
}

/// What comes into a set and what goes from it.
struct Delta {
    come: Vec<AddressRange>,
    gone: Vec<AddressRange>,
}

impl Delta {
    fn of(present: Option<&ObservedSet>, desired: &Set) -> Self {
        let present = present.map_or(&[][..], |set| &set.elements);
        Self { come: missing(&desired.elements, present), gone: missing(present, &desired.elements) }
    }
}

/// The elements of a sorted list that another does not have.
fn missing(of: &[AddressRange], from: &[AddressRange]) -> Vec<AddressRange> {
    let mut from = from.iter().peekable();
    let is_missing = |element: &&AddressRange| {
        while from.next_if(|other| *other < *element).is_some() {}
        from.peek() != Some(element)
    };
    of.iter().filter(is_missing).copied().collect()
}

/// Can the table be changed into the desired one? Its flags and its base chains' hooks are fixed when it is created, and
/// so is how a set is kept. And where an address is looked up by other rules in another set than before, only a new table
/// lets no packet see the sets of one moment with the rules of another.
fn can_become(present: &ObservedTable, desired: &Table) -> bool {
    let fits = |set: &Set| present.set(&set.name).is_none_or(|present| can_hold(present, set));
    let same_chains =
        desired.chains.iter().all(|chain| present.chain(&chain.name).is_none_or(|present| present.base == chain.base));
    let deltas: Vec<Delta> = desired.sets.iter().map(|set| Delta::of(present.set(&set.name), set)).collect();
    present.protection == Ok(desired.protection)
        && same_chains
        && desired.sets.iter().all(fits)
        && (same_lookups(present, desired) || !moves_between_sets(present, desired, &deltas))
}

/// Can the set take the desired elements? A hash table may have more room than it would be given today.
fn can_hold(present: &ObservedSet, desired: &Set) -> bool {
    match (&present.kind, desired.kind) {
        (Ok(SetKind::Addresses { size }), SetKind::Addresses { .. }) => {
            u32::try_from(desired.elements.len()).is_ok_and(|elements| elements <= *size)
        }
        (present, desired) => *present == Ok(desired),
    }
}

fn same_lookups(present: &ObservedTable, desired: &Table) -> bool {
    present_lookups(present) == desired_lookups(desired)
}

/// Does an address that one set loses come into another? A packet looks one set up after the other, and may see the first
/// before a commit and the second after it: it would find the address in neither.
fn moves_between_sets(present: &ObservedTable, desired: &Table, deltas: &[Delta]) -> bool {
    let mut come: Vec<(AddressRange, &str)> = Vec::new();
    let mut gone: Vec<(AddressRange, &str)> = Vec::new();
    let (before, after) = (present_lookups(present), desired_lookups(desired));
    for (set, delta) in desired.sets.iter().zip(deltas) {
        come.extend(covered(&delta.come, &set.name, &after));
        gone.extend(covered(&delta.gone, &set.name, &before));
    }
    for set in present.sets.iter().filter(|set| desired.set(&set.name).is_none()) {
        gone.extend(covered(&set.elements, &set.name, &before));
    }
    come.sort_unstable();
    gone.sort_unstable();
    let mut come = come.iter().peekable();
    gone.iter().any(|(gone, from)| {
        while come.next_if(|(come, _)| come.last() < gone.first()).is_some() {}
        come.clone()
            .take_while(|(come, _)| come.first() <= gone.last())
            .any(|(come, to)| come.overlaps(gone) && to != from)
    })
}

/// The addresses that elements of a set stand for, by how the set is looked up.
fn covered<'a>(
    elements: &'a [AddressRange],
    set: &'a str,
    lookups: &'a [(&str, Option<u8>)],
) -> impl Iterator<Item = (AddressRange, &'a str)> {
    let prefix_len = lookups.iter().find(|(name, _)| *name == set).and_then(|(_, prefix_len)| *prefix_len);
    elements.iter().map(move |element| {
        let masked = prefix_len.and_then(|len| Cidr::around(element.first(), len));
        (masked.map_or(*element, AddressRange::from), set)
    })
}

fn present_lookups(table: &ObservedTable) -> Vec<(&str, Option<u8>)> {
    lookups(table.chains.iter().flat_map(|chain| &chain.rules).filter_map(|rule| rule.rule.as_ref().ok()))
}

fn desired_lookups(table: &Table) -> Vec<(&str, Option<u8>)> {
    lookups(table.chains.iter().flat_map(|chain| &chain.rules))
}

fn lookups<'a>(rules: impl Iterator<Item = &'a Rule>) -> Vec<(&'a str, Option<u8>)> {
    let lookup = |condition: &'a Match| match condition {
        Match::DestinationIn { set, prefix_len } => Some((set.as_str(), *prefix_len)),
        _ => None,
    };
    rules.flat_map(Rule::matches).filter_map(lookup).collect()
}
