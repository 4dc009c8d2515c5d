//! Large sets in several commits.
//!
//! The kernel checks before each message of a transaction whether the process is to end. Once it has handled all messages
//! it finishes the transaction, which takes as long again. So that the agent can end at any time, each commit is small: a
//! set that no rule looks up yet is filled part by part, a rule looks it up once it is full, and a set that no rule looks
//! up any more is emptied part by part. A set that changes much is made anew beside the old one, under the other of two
//! names, so that no packet meets half of a change.

use std::borrow::Cow;

use super::Differ;
use super::step::{Delta, can_be_compared, can_hold, is_looked_up};
use crate::backend::nftables::{Action, Observed, ObservedSet, ObservedTable};
use crate::rules::{Elements, Ruleset, Set, SetKind, Table};

/// How many elements one commit adds to one table or removes from it. While another process listens to every change, the
/// kernel takes 5 µs for each and keeps 8 KiB until the end of the commit. In unit tests it is so low that random lists are
/// large.
pub(in crate::backend::nftables) const PART: usize = if cfg!(test) { 100 } else { 4_096 };

/// The suffix of a set's other name.
const OTHER: &str = "-b";

/// Whether there are more elements in the table than one commit adds.
pub(super) fn is_large(desired: &Table) -> bool {
    desired.sets.iter().map(|set| set.elements.len()).sum::<usize>() > PART
}

/// The largest number of commits that each add or remove only the next part of large sets: as many as it takes to make each
/// set anew, and to empty those that are there.
pub(in crate::backend::nftables) fn most_parts(desired: &Ruleset, observed: &Observed) -> usize {
    let wanted = desired.tables.iter().flat_map(|table| &table.sets).map(|set| set.elements.len());
    let present = observed.tables.iter().flat_map(|table| &table.sets).map(|set| set.elements.len());
    wanted.chain(present).map(|elements| elements.div_ceil(PART)).sum::<usize>()
}

/// Whether the set is to be emptied part by part before it is deleted. An interval set would be rebuilt for each part, and
/// is never that large.
pub(super) fn is_emptied_first(set: &ObservedSet) -> bool {
    matches!(set.kind, Ok(SetKind::Addresses { .. })) && set.elements.len() > PART
}

/// The table with each set under that one of its two names under which it is present or is to be filled. A set that rules
/// look up is changed in place if that takes one commit; otherwise it is made anew under its other name.
pub(super) fn under_present_names<'t>(present: &ObservedTable, desired: &'t Table) -> Cow<'t, Table> {
    let sets: Vec<(&Set, Option<InUse<'_>>)> = desired.sets.iter().map(|set| (set, InUse::of(present, set))).collect();
    let changes: usize = sets.iter().filter_map(|(_, in_use)| in_use.as_ref()).map(|in_use| in_use.delta.len()).sum();
    let is_large = is_large(desired);
    // If the sets cannot be compared, a change in place would make all sets and rules anew, those of a large table in one
    // commit.
    let in_place = changes <= PART && (changes == 0 || !is_large || can_be_compared(present, desired));
    let mut table = Cow::Borrowed(desired);
    for (set, in_use) in sets {
        let [name, other] = names(set);
        let name = match in_use {
            // A small table is made anew as a whole if a set has no room.
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

/// The present set that rules look up in the place of a desired set.
struct InUse<'a> {
    name: String,
    standing: &'a ObservedSet,
    /// What differs; if that is too much for one commit, only the first part of it.
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

    /// Whether it has room for what is added while what is removed is still there.
    fn has_room(&self, set: &Set) -> bool {
        can_hold(self.standing, set.kind, self.standing.elements.len() + self.delta.added.len())
    }
}

/// The name without the suffix of the other name.
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
    /// Adds the next part of what is missing in sets that no rule looks up, if that takes more than one commit. Returns
    /// whether it does.
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
            let Idle { set: Set { name, kind, .. }, is_usable, delta, .. } = idle;
            if idle.is_misfit() {
                self.push(Action::DeleteSet { set: name.clone() });
            }
            if !is_usable {
                self.push(Action::CreateSet { set: name.clone(), kind: *kind });
            }
            // In an interval set an added interval may overlap a removed one, so that the removal has to be first.
            for (elements, added) in [(&delta.removed, false), (&delta.added, true)] {
                let part = elements.part(0..room);
                room -= part.len();
                self.elements(idle.set, &part, added);
            }
        }
        self.more = true;
        true
    }

    /// Removes the next part from large sets that no rule will look up any more. Returns whether there are any such sets.
    pub(super) fn empty(&mut self, present: &ObservedTable, sets: &[&ObservedSet]) -> bool {
        let mut room = PART;
        for set in sets.iter().filter(|set| is_emptied_first(set)) {
            self.more = true;
            let (Ok(kind), false) = (set.kind.clone(), is_looked_up(present, &set.name)) else { continue };
            // From the end, so that what is left is the beginning of a list that is cached.
            let (_, part) = set.elements.split_at(set.elements.len() - room.min(set.elements.len()));
            room -= part.len();
            if !part.is_empty() {
                let elements: Elements = part.to_vec().into();
                self.push(Action::DeleteElements { set: set.name.clone(), kind, elements });
            }
        }
        sets.iter().any(|set| is_emptied_first(set))
    }

    /// Removes the table; before that, its rules, and its large sets part by part, because a process that closes a netlink
    /// socket has to wait until the kernel has freed what was deleted.
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

/// A desired set that no rule looks up.
struct Idle<'a> {
    set: &'a Set,
    is_present: bool,
    /// Whether the present set can become the desired one.
    is_usable: bool,
    /// What differs; if that is too much for one commit, only the first part of it.
    delta: Delta,
}

impl<'a> Idle<'a> {
    fn of(table: &ObservedTable, set: &'a Set) -> Self {
        let present = table.set(&set.name);
        let usable = present.filter(|present| can_hold(present, set.kind, set.elements.len()));
        let delta = Delta::of_at_most(PART + 1, usable, set);
        Self { set, is_present: present.is_some(), is_usable: usable.is_some(), delta }
    }

    fn is_misfit(&self) -> bool {
        self.is_present && !self.is_usable
    }
}
