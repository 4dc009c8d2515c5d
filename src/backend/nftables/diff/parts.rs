//! Large sets in several commits.
//!
//! The kernel looks whether a process shall end before each message of a transaction, but finishes one whose messages are
//! through, which takes it as long as making room for them did. So a commit is small: a set that no rule looks up yet is
//! filled part by part, a rule looks it up once it is full, and one that no rule looks up any more is emptied part by part.
//! What changes much is a new set beside the old one, under the other of two names, so that no packet meets half of a change.

use std::borrow::Cow;

use super::Differ;
use super::step::{Delta, can_be_compared, can_hold, is_looked_up};
use crate::backend::nftables::{Action, Observed, ObservedSet, ObservedTable};
use crate::rules::{Elements, Ruleset, Set, SetKind, Table};

/// So many elements are added or removed in one commit, of one table. With somebody who listens to every change, as the agent itself
/// does, the kernel takes 5 µs for each. In unit tests so few that random lists are large.
pub(in crate::backend::nftables) const PART: usize = if cfg!(test) { 100 } else { 8_192 };

/// What a set's other name has at its end.
const OTHER: &str = "-b";

/// Are there more elements in the table than one commit adds?
pub(super) fn is_large(desired: &Table) -> bool {
    desired.sets.iter().map(|set| set.elements.len()).sum::<usize>() > PART
}

/// Of how many commits that are only the next part of a large change it takes at most: as many as it takes to make each set
/// anew, and to empty those that are there.
pub(in crate::backend::nftables) fn most_parts(desired: &Ruleset, observed: &Observed) -> usize {
    let wanted = desired.tables.iter().flat_map(|table| &table.sets).map(|set| set.elements.len());
    let present = observed.tables.iter().flat_map(|table| &table.sets).map(|set| set.elements.len());
    wanted.chain(present).map(|elements| elements.div_ceil(PART)).sum::<usize>()
}

/// Is it to be emptied part by part before it is deleted? An interval set is rebuilt for each part, and never that large.
pub(super) fn is_emptied_first(set: &ObservedSet) -> bool {
    matches!(set.kind, Ok(SetKind::Addresses { .. })) && set.elements.len() > PART
}

/// The table with each set under that of its two names under which it is to be found, or to be filled. A set that rules
/// look up is changed in place if that takes one commit; else it is made anew under its other name.
pub(super) fn under_present_names<'t>(present: &ObservedTable, desired: &'t Table) -> Cow<'t, Table> {
    let sets: Vec<(&Set, Option<InUse<'_>>)> = desired.sets.iter().map(|set| (set, InUse::of(present, set))).collect();
    let changes: usize = sets.iter().filter_map(|(_, in_use)| in_use.as_ref()).map(|in_use| in_use.delta.len()).sum();
    let is_large = is_large(desired);
    // Where sets cannot be compared a change in place takes all sets and rules anew, of a large table in one commit.
    let in_place = changes <= PART && (changes == 0 || !is_large || can_be_compared(present, desired));
    let mut table = Cow::Borrowed(desired);
    for (set, in_use) in sets {
        let [name, other] = names(set);
        let name = match in_use {
            // A small table is made anew as a whole where a set has no room.
            Some(in_use) if in_use.serves(set, in_place) && (!is_large || in_use.has_room(set)) => in_use.name,
            Some(in_use) => {
                if in_use.name == name {
                    other
                } else {
                    name
                }
            }
            None => {
                let serves = |name: &&String| {
                    present.set(name).is_some_and(|present| can_hold(present, set.kind, set.elements.len()))
                };
                [&name, &other].into_iter().find(serves).unwrap_or(&name).clone()
            }
        };
        if name != set.name {
            rename(table.to_mut(), &set.name, &name);
        }
    }
    table
}

/// What rules look up for a set that is desired.
struct InUse<'a> {
    name: String,
    standing: &'a ObservedSet,
    /// What differs, or as much of it as is too much for one commit.
    delta: Delta,
}

impl<'a> InUse<'a> {
    fn of(present: &'a ObservedTable, set: &Set) -> Option<Self> {
        let name = names(set).into_iter().find(|name| is_looked_up(present, name))?;
        let standing = present.set(&name)?;
        Some(Self { name, standing, delta: Delta::of_at_most(PART + 1, Some(standing), set) })
    }

    fn serves(&self, set: &Set, in_place: bool) -> bool {
        in_place || self.standing.elements == set.elements
    }

    /// Can it take what is added while what is removed is still there?
    fn has_room(&self, set: &Set) -> bool {
        can_hold(self.standing, set.kind, self.standing.elements.len() + self.delta.added.len())
    }
}

/// The name without what the other name has at its end.
pub(super) fn first_name(set: &str) -> &str {
    set.strip_suffix(OTHER).unwrap_or(set)
}

fn names(set: &Set) -> [String; 2] {
    [set.name.clone(), format!("{}{OTHER}", set.name)]
}

fn rename(table: &mut Table, from: &str, to: &str) {
    table.sets.iter_mut().filter(|set| set.name == from).for_each(|set| to.clone_into(&mut set.name));
    for rule in table.chains.iter_mut().flat_map(|chain| &mut chain.rules) {
        if rule.lookups().any(|lookup| lookup.set == from) {
            *rule = rule.with_set_named(from, to);
        }
    }
}

impl Differ<'_> {
    /// Adds the next part of what is missing in sets that no rule looks up, if that takes more than one commit.
    pub(super) fn fill(&mut self, present: &ObservedTable, desired: &Table) -> bool {
        let is_large = is_large(desired);
        let idle: Vec<Idle<'_>> = desired
            .sets
            .iter()
            .filter(|set| !is_looked_up(present, &set.name))
            .map(|set| Idle::of(present, set))
            .collect();
        let changes: usize = idle.iter().map(|idle| idle.delta.len()).sum();
        if changes <= PART && !(is_large && idle.iter().any(Idle::is_misfit)) {
            return false;
        }
        let mut room = PART;
        for idle in &idle {
            let Idle { set: Set { name, kind, .. }, present, selection, delta } = idle;
            if idle.is_misfit() {
                self.push(Action::DeleteSet { set: name.clone() });
            }
            if !(*present && *selection) {
                self.push(Action::CreateSet { set: name.clone(), kind: *kind });
            }
            // In an interval set what is added may lie where something is removed, which has to be done first.
            for (elements, added) in [(&delta.removed, false), (&delta.added, true)] {
                let (part, _) = elements.split_at(room.min(elements.len()));
                room -= part.len();
                self.elements(idle.set, &part.to_vec().into(), added);
            }
        }
        self.more = true;
        true
    }

    /// Takes the next part out of sets that no rule looks up any more. Are there any of that size?
    pub(super) fn empty(&mut self, present: &ObservedTable, sets: &[&ObservedSet]) -> bool {
        let mut room = PART;
        for set in sets.iter().filter(|set| is_emptied_first(set)) {
            self.more = true;
            let (Ok(kind), false) = (set.kind.clone(), is_looked_up(present, &set.name)) else { continue };
            // From the end, so that what is left is the beginning of a list that is known.
            let (_, part) = set.elements.split_at(set.elements.len() - room.min(set.elements.len()));
            room -= part.len();
            if !part.is_empty() {
                let elements: Elements = part.to_vec().into();
                self.push(Action::DeleteElements { set: set.name.clone(), kind, elements });
            }
        }
        sets.iter().any(|set| is_emptied_first(set))
    }

    /// The table is removed; before it its rules, and its large sets part by part: whoever closes a netlink socket has to wait
    /// until the kernel has freed what was deleted.
    pub(super) fn remove_table(&mut self, present: &ObservedTable) {
        let sets: Vec<&ObservedSet> = present.sets.iter().collect();
        if !sets.iter().any(|set| is_emptied_first(set)) {
            return self.push(Action::DeleteTable);
        }
        for chain in present.chains.iter().filter(|chain| !chain.rules.is_empty()) {
            self.push(Action::Flush { chain: chain.name.clone() });
        }
        self.empty(present, &sets);
    }
}

/// A set that is desired and that no rule looks up.
struct Idle<'a> {
    set: &'a Set,
    present: bool,
    /// Is what is there one that can become the desired one?
    selection: bool,
    /// What differs, or as much of it as is too much for one commit.
    delta: Delta,
}

impl<'a> Idle<'a> {
    fn of(table: &ObservedTable, set: &'a Set) -> Self {
        let present = table.set(&set.name);
        let selection = present.filter(|present| can_hold(present, set.kind, set.elements.len()));
        let delta = Delta::of_at_most(PART + 1, selection, set);
        Self { set, present: present.is_some(), selection: selection.is_some(), delta }
    }

    fn is_misfit(&self) -> bool {
        self.present && !self.selection
    }
}
