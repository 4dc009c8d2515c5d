//! The cache of what need not be read again: because nobody has committed anything since we read or wrote it, or because
//! nobody but us can have changed the table. It also has the rules that stood before our jump, which shows whether others
//! moved it.

use std::collections::{BTreeMap, BTreeSet};

use super::echo::Echoes;
use super::{Action, Change, Generation, Handle, Observed, ObservedChain, ObservedTable, Owner, Plan, Rules, our_jump};
use crate::rules::{BaseChain, Elements, Protection, TableId};

/// What is there in a generation. It is valid as long as that is the current generation; the elements of sets in a table that
/// our socket owns are valid as long as it owns the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cache {
    generation: Generation,
    /// Whether long lists were themselves assumed, and not read, in that generation.
    is_assumption: bool,
    /// The tables that our socket owned when their sets were as they are here.
    owned: BTreeSet<TableId>,
    extent: Extent,
    /// By table and name, how many uses each long chain had, and its rules.
    chains: BTreeMap<(TableId, String), (u32, Rules)>,
    /// The same of the long chains that our last commit changed. They are valid in the generation that it made, and are never
    /// assumed to be unchanged in a later one before they were read back in that one.
    echoed: BTreeMap<(TableId, String), (u32, Rules)>,
    /// Whether long lists are assumed to be unchanged in later generations, as long as the kernel says that their lengths
    /// are.
    assumes: bool,
    /// By table, the rules of others before our jump in POSTROUTING.
    preceding: BTreeMap<TableId, Vec<Handle>>,
}

/// From this many elements or rules on a list is long, and is not read again while it is cached. The kernel takes a
/// millisecond to list 1,000 of them, and for each further part of the list it begins again at the start.
pub(crate) const LONG: usize = 1_000;

/// How much is cached.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Extent {
    /// All that was read.
    Whole(Observed),
    /// The elements of sets.
    Sets(BTreeMap<(TableId, String), Elements>),
}

impl Cache {
    /// Caches what was read.
    #[must_use]
    pub fn of(observed: Observed) -> Self {
        let (owned, preceding, chains) = (owned(&observed), preceding(&observed), long_chains(&observed));
        let generation = observed.generation;
        let is_assumption = observed.is_partly_assumed;
        let extent = Extent::Whole(observed);
        Self { generation, is_assumption, owned, extent, chains, preceding, ..Self::default() }
    }

    /// Caches lists that were as long as this in this generation.
    #[must_use]
    pub(super) fn of_lists(
        generation: Generation,
        sets: BTreeMap<(TableId, String), Elements>,
        chains: BTreeMap<(TableId, String), (u32, Rules)>,
    ) -> Self {
        Self { generation, chains, extent: Extent::Sets(sets), ..Self::default() }
    }

    /// Whether it has all that was read last.
    #[must_use]
    pub(super) const fn is_whole(&self) -> bool {
        matches!(self.extent, Extent::Whole(_))
    }

    /// All that was read last, if it was, and nothing of it was assumed.
    #[must_use]
    pub(super) const fn read_in_full(&self) -> Option<&Observed> {
        match &self.extent {
            Extent::Whole(observed) if !self.is_assumption => Some(observed),
            _ => None,
        }
    }

    /// The same cache, which assumes long lists to be unchanged in later generations as long as the kernel says that they
    /// have as many entries. Changes of others in them are found only by reading without this assumption.
    #[must_use]
    pub fn assuming(mut self, assumes: bool) -> Self {
        self.assume(assumes);
        self
    }

    /// Sets whether long lists are assumed to be unchanged in later generations.
    pub const fn assume(&mut self, assumes: bool) {
        self.assumes = assumes;
    }

    /// Whether long lists are assumed to be unchanged in later generations.
    #[must_use]
    pub const fn assumes(&self) -> bool {
        self.assumes
    }

    /// Whether any list is cached that takes long to read.
    #[must_use]
    pub fn has_long_lists(&self) -> bool {
        let is_long = |elements: &Elements| elements.len() >= LONG;
        !self.chains.is_empty()
            || !self.echoed.is_empty()
            || match &self.extent {
                Extent::Whole(observed) => {
                    observed.tables.iter().flat_map(|table| &table.sets).any(|set| is_long(&set.elements))
                }
                Extent::Sets(sets) => sets.values().any(is_long),
            }
    }

    /// Caches what is there after a plan was committed on top of what was read. The kernel accepted it only because the
    /// generation was still the same, and made the next one. Rules that the plan changed are not cached before they are
    /// read, unless the kernel sent back all that are new in a long chain.
    #[must_use]
    pub(super) fn after(observed: Observed, plan: &Plan, sent_back: Echoes) -> Self {
        let (generation, mut owned) = (observed.generation.next(), owned(&observed));
        let is_assumption = observed.is_partly_assumed;
        let (preceding, mut chains) = (preceding(&observed), long_chains(&observed));
        let sets = observed.tables.into_iter().flat_map(|table| {
            let sets = table.sets.into_iter().filter(|set| set.kind.is_ok());
            sets.map(move |set| ((table.id, set.name), set.elements))
        });
        let mut sets = sets.collect();
        let echoed = sent_back.chains_after(plan, &mut chains);
        for Change { table, action } in &plan.changes {
            if let Action::CreateTable { protection: Protection::OwnerPersist } = action
                && !is_assumption
            {
                owned.insert(*table);
            }
            apply(&mut owned, &mut sets, *table, action);
            chains.retain(|(of, chain), _| of != table || !changes(action, chain));
        }
        let extent = Extent::Sets(sets);
        Self { generation, is_assumption, owned, extent, chains, echoed, assumes: false, preceding }
    }

    /// Takes out all that was read, if it was in this generation. After that only the rules before our jump are left.
    pub fn take(&mut self, generation: Generation) -> Option<Observed> {
        match std::mem::take(self) {
            Self { generation: of, extent: Extent::Whole(observed), preceding, assumes, .. } if of == generation => {
                (self.preceding, self.assumes) = (preceding, assumes);
                Some(observed)
            }
            less => {
                *self = less;
                None
            }
        }
    }

    /// Forgets everything but the rules before our jump.
    pub fn forget(&mut self) {
        let preceding = std::mem::take(&mut self.preceding);
        *self = Self { preceding, assumes: self.assumes, ..Self::default() };
    }

    /// The rules of others before our jump in POSTROUTING. The kernel never reuses a handle.
    #[must_use]
    pub fn preceding(&self, table: TableId) -> &[Handle] {
        self.preceding.get(&table).map_or(&[], Vec::as_slice)
    }

    /// Whether what [`Cache::elements`] and [`Cache::rules`] return is certain, and not an assumption.
    ///
    /// A table that our socket owned then and owns now was its own all the time: only the owner can give a table up, and our
    /// socket comes to own one only in a commit of ours, after which the cache is made anew (`Cache::after`).
    #[must_use]
    pub fn is_certain(&self, generation: Generation, table: TableId, owner: Option<Owner>) -> bool {
        (self.generation == generation && !self.is_assumption)
            || owner == Some(Owner::Us) && self.owned.contains(&table)
    }

    /// The rules of a long chain of a shared table, if they are cached; `uses` are those in [`ObservedChain`] without the
    /// jumps in POSTROUTING.
    #[must_use]
    pub fn rules(&self, generation: Generation, table: TableId, chain: &str, uses: u32) -> Option<&Rules> {
        let (with, rules) = self.chains.get(&(table, chain.to_owned()))?;
        (*with == uses && (self.assumes || self.is_certain(generation, table, None))).then_some(rules)
    }

    /// The same of a chain that our last commit changed, if it made this generation.
    #[must_use]
    pub(super) fn echoed(&self, generation: Generation, table: TableId, chain: &str, uses: u32) -> Option<&Rules> {
        let (with, rules) = self.echoed.get(&(table, chain.to_owned()))?;
        (*with == uses && self.is_certain(generation, table, None)).then_some(rules)
    }

    /// The chains whose rules are known from what the kernel sent back, if this is the generation that the commit made.
    #[cfg(test)]
    pub(super) fn echoed_in(&self, generation: Generation) -> impl Iterator<Item = (&(TableId, String), &Rules)> {
        let is_valid = self.generation == generation;
        self.echoed.iter().filter(move |_| is_valid).map(|(of, (_, rules))| (of, rules))
    }

    /// Forgets the rules of the chains that the last commit changed, as the other cache has them, because another process
    /// committed before all was read back.
    pub(super) fn forget_echoed(&mut self, by: &Self) {
        self.chains.retain(|chain, _| !by.echoed.contains_key(chain));
    }

    /// The elements of a set, if they are cached, in a table that has this owner in this generation.
    #[must_use]
    pub fn elements(
        &self,
        generation: Generation,
        table: TableId,
        owner: Option<Owner>,
        set: &str,
    ) -> Option<&Elements> {
        if !self.assumes && !self.is_certain(generation, table, owner) {
            return None;
        }
        match &self.extent {
            Extent::Whole(observed) => {
                let set = observed.table(table)?.set(set)?;
                set.kind.is_ok().then_some(&set.elements)
            }
            Extent::Sets(sets) => sets.get(&(table, set.to_owned())),
        }
    }
}

impl Default for Extent {
    fn default() -> Self {
        Self::Sets(BTreeMap::new())
    }
}

fn preceding(observed: &Observed) -> BTreeMap<TableId, Vec<Handle>> {
    observed.tables.iter().map(|table| (table.id, in_front_of_our_jump(table))).collect()
}

pub(super) fn long_chains(observed: &Observed) -> BTreeMap<(TableId, String), (u32, Rules)> {
    let long = |table: &'_ ObservedTable| -> Vec<_> {
        let chains = table.chains.iter().filter(|chain| chain.base.is_none() && chain.rules.len() >= LONG);
        let cached = |chain: &ObservedChain| (table.uses_but_for_our_jump(chain), chain.rules.clone());
        chains.map(|chain| ((table.id, chain.name.clone()), cached(chain))).collect()
    };
    observed.tables.iter().flat_map(long).collect()
}

/// Whether the action changes the rules of this chain, or replaces the chain.
fn changes(action: &Action, of: &str) -> bool {
    match action {
        Action::DeleteTable => true,
        Action::CreateChain { chain, .. }
        | Action::Append { chain, .. }
        | Action::Insert { chain, .. }
        | Action::Delete { chain, .. }
        | Action::Flush { chain }
        | Action::DeleteChain { chain } => chain == of,
        Action::CreateTable { .. }
        | Action::CreateSet { .. }
        | Action::DeleteSet { .. }
        | Action::AddElements { .. }
        | Action::DeleteElements { .. }
        | Action::DeleteForeignObject { .. } => false,
    }
}

fn in_front_of_our_jump(table: &ObservedTable) -> Vec<Handle> {
    let rules = table.chain(BaseChain::POSTROUTING).map_or(&[][..], |chain| &chain.rules);
    let is_ours = |index: &usize| rules.get(*index).and_then(|rule| our_jump(rule.rule.as_ref().ok()?)).is_some();
    let Some(jump) = (0..rules.len()).find(is_ours) else { return Vec::new() };
    rules.iter().take(jump).map(|rule| rule.handle).collect()
}

/// The tables in which nobody else can have changed what is cached. Where lists were assumed, others may have changed them.
fn owned(observed: &Observed) -> BTreeSet<TableId> {
    if observed.is_partly_assumed {
        return BTreeSet::new();
    }
    observed.tables.iter().filter(|table| table.owner == Some(Owner::Us)).map(|table| table.id).collect()
}

fn apply(
    owned: &mut BTreeSet<TableId>,
    sets: &mut BTreeMap<(TableId, String), Elements>,
    table: TableId,
    action: &Action,
) {
    match action {
        Action::DeleteTable => {
            owned.remove(&table);
            sets.retain(|(of, _), _| *of != table);
        }
        Action::CreateSet { set, .. } => {
            sets.insert((table, set.clone()), Elements::default());
        }
        Action::DeleteSet { set } => {
            sets.remove(&(table, set.clone()));
        }
        Action::AddElements { set, elements, .. } => {
            let present = sets.entry((table, set.clone())).or_default();
            if present.is_empty() {
                *present = elements.clone();
                return;
            }
            if present.join(elements) {
                return;
            }
            let is_behind = present.last() < elements.first();
            let present = present.to_mut();
            present.extend(elements);
            if !is_behind {
                // This sort is quickest on two sorted runs.
                present.sort();
            }
        }
        Action::DeleteElements { set, elements, .. } => {
            let present = sets.entry((table, set.clone())).or_default();
            let present = present.to_mut();
            if present.ends_with(elements) {
                present.truncate(present.len() - elements.len());
            } else {
                present.retain(|element| elements.binary_search(element).is_err());
            }
            // A list that has become short gives its memory back.
            if present.len() < present.capacity() / 2 {
                present.shrink_to_fit();
            }
        }
        Action::CreateTable { .. }
        | Action::DeleteForeignObject { .. }
        | Action::CreateChain { .. }
        | Action::Append { .. }
        | Action::Insert { .. }
        | Action::Delete { .. }
        | Action::Flush { .. }
        | Action::DeleteChain { .. } => {}
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
