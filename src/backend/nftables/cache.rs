//! What is known without reading it: because nobody has committed anything since it was read or written by us, or because
//! nobody but us can have changed the table. And what is remembered, to see what others changed.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Change, Generation, Handle, Observed, ObservedTable, Owner, Plan, Rules, our_jump};
use crate::rules::{BaseChain, Elements, Protection, TableId};

/// What there is in a generation. While the generation lasts, so does it; and the elements of sets in a table that our socket
/// owns last for as long as it does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cache {
    generation: Generation,
    /// Were long lists in that generation themselves taken to be what they were before?
    is_assumption: bool,
    /// The tables that were ours alone when their sets were as they are here.
    owned: BTreeSet<TableId>,
    extent: Extent,
    /// By table and name, the rules of long chains, and how many uses of the chain go with them.
    chains: BTreeMap<(TableId, String), (u32, Rules)>,
    /// Do long lists count as known in later generations too, as long as the kernel says that they are as long?
    assumes: bool,
    /// By table, other people's rules of POSTROUTING in front of our jump.
    preceding: BTreeMap<TableId, Vec<Handle>>,
}

/// From so many elements or rules on a list is not read again if it is known. The kernel takes a millisecond to list 1,000
/// of them, and for each further part of the list begins again at its start.
pub(crate) const LONG: usize = 1_000;

/// How much is known.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Extent {
    /// All that was read.
    Whole(Observed),
    /// The elements of sets.
    Sets(BTreeMap<(TableId, String), Elements>),
}

impl Cache {
    /// What was read.
    #[must_use]
    pub fn of(observed: Observed) -> Self {
        let (owned, preceding, chains) = (owned(&observed), preceding(&observed), long_chains(&observed));
        let generation = observed.generation;
        let is_assumption = observed.is_partly_assumed;
        Self { generation, is_assumption, owned, chains, assumes: false, preceding, extent: Extent::Whole(observed) }
    }

    /// The same, with long lists taken to be in later generations what they were: as long as the kernel says that they have
    /// as many entries. Then what others may have changed in them is found only by reading them without that.
    #[must_use]
    pub fn assuming(mut self, assumes: bool) -> Self {
        self.assume(assumes);
        self
    }

    /// Shall long lists count as known in later generations?
    pub const fn assume(&mut self, assumes: bool) {
        self.assumes = assumes;
    }

    /// Do long lists count as known in later generations?
    #[must_use]
    pub const fn assumes(&self) -> bool {
        self.assumes
    }

    /// Is a list known by now that takes long to read?
    #[must_use]
    pub fn has_long_lists(&self) -> bool {
        let is_long = |elements: &Elements| elements.len() >= LONG;
        !self.chains.is_empty()
            || match &self.extent {
                Extent::Whole(observed) => {
                    observed.tables.iter().flat_map(|table| &table.sets).any(|set| is_long(&set.elements))
                }
                Extent::Sets(sets) => sets.values().any(is_long),
            }
    }

    /// What is there after a plan was committed on top of what was read. The kernel took it only because the generation was
    /// still the same, and made it the next one. What became of the rules is not known before they are read.
    #[must_use]
    pub fn after(observed: Observed, plan: &Plan) -> Self {
        let (generation, mut owned) = (observed.generation.next(), owned(&observed));
        let is_assumption = observed.is_partly_assumed;
        let (preceding, mut chains) = (preceding(&observed), long_chains(&observed));
        let sets = observed.tables.into_iter().flat_map(|table| {
            let sets = table.sets.into_iter().filter(|set| set.kind.is_ok());
            sets.map(move |set| ((table.id, set.name), set.elements))
        });
        let mut sets = sets.collect();
        for Change { table, action } in &plan.changes {
            if let Action::CreateTable { protection: Protection::OwnerPersist } = action
                && !is_assumption
            {
                owned.insert(*table);
            }
            apply(&mut owned, &mut sets, *table, action);
            chains.retain(|(of, chain), _| of != table || !changes(action, chain));
        }
        Self { generation, is_assumption, owned, chains, assumes: false, preceding, extent: Extent::Sets(sets) }
    }

    /// All that was read, if it was in this generation. After that only what is remembered is left.
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

    /// What there is is not known any more; what is remembered stays.
    pub fn forget(&mut self) {
        let preceding = std::mem::take(&mut self.preceding);
        *self = Self { preceding, assumes: self.assumes, ..Self::default() };
    }

    /// The rules of others behind which our jump stood in POSTROUTING. The kernel never gives a handle to another rule.
    #[must_use]
    pub fn preceding(&self, table: TableId) -> &[Handle] {
        self.preceding.get(&table).map_or(&[], Vec::as_slice)
    }

    /// Is nothing assumed where [`Cache::elements`] or [`Cache::rules`] know something?
    ///
    /// A table that was ours alone then and is now was so all the while: only its owner can give it up, and only we can come
    /// to own it by our socket, in a commit of ours, after which it is known anew ([`Cache::after`]).
    #[must_use]
    pub fn is_certain(&self, generation: Generation, table: TableId, owner: Option<Owner>) -> bool {
        (self.generation == generation && !self.is_assumption)
            || owner == Some(Owner::Us) && self.owned.contains(&table)
    }

    /// The rules of a long chain of a shared table, if they are known; `uses` are those in [`ObservedChain`] but for the
    /// jumps in POSTROUTING.
    ///
    /// [`ObservedChain`]: super::ObservedChain
    #[must_use]
    pub fn rules(&self, generation: Generation, table: TableId, chain: &str, uses: u32) -> Option<&Rules> {
        let (with, rules) = self.chains.get(&(table, chain.to_owned()))?;
        (*with == uses && (self.assumes || self.is_certain(generation, table, None))).then_some(rules)
    }

    /// The elements of a set, if they are known, in a table that is found in this generation with this owner.
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

fn long_chains(observed: &Observed) -> BTreeMap<(TableId, String), (u32, Rules)> {
    let long = |table: &'_ ObservedTable| -> Vec<_> {
        let chains = table.chains.iter().filter(|chain| chain.base.is_none() && chain.rules.len() >= LONG);
        let known = |chain: &super::ObservedChain| (table.uses_but_for_our_jump(chain), chain.rules.clone());
        chains.map(|chain| ((table.id, chain.name.clone()), known(chain))).collect()
    };
    observed.tables.iter().flat_map(long).collect()
}

/// Are the rules of the chain others afterwards, or in another chain of that name?
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

/// The tables of which nobody else can have changed what is known. Where lists were assumed, others may have.
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
            let is_behind = present.last() < elements.first();
            let present = present.to_mut();
            present.extend(elements);
            if !is_behind {
                // Two sorted runs, which is what this sort is quickest at.
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
            // A list that was long once is to cost nothing when it is short.
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
mod tests {
    use super::*;
    use crate::backend::nftables::tests::plans::standing;
    use crate::backend::nftables::{Planned, plan_for};
    use crate::net::Family;
    use crate::rules::tests::policy;
    use crate::rules::{Layout, compile};

    const TABLE: TableId = TableId::own(Family::Ipv4);
    const SET: &str = "exempt-8";
    const LATER: Generation = Generation(7);

    fn kernel(owner: Option<Owner>) -> Observed {
        let mut observed = standing(&compile(&policy(&["10.0.0.0/8"], ""), Layout::OwnTable(Protection::OwnerPersist)));
        observed.tables.iter_mut().for_each(|table| table.owner = owner);
        observed
    }

    #[test]
    fn elements_outlast_the_generation_only_while_the_table_was_and_is_ours_alone() {
        let (us, nobody) = (Some(Owner::Us), None);
        let other = Some(Owner::Other(7));
        for (was, is, lasts) in [
            (us, us, true),
            (us, nobody, false),
            (us, other, false),
            (nobody, us, false),
            (nobody, nobody, false),
            (other, us, false),
            (other, other, false),
        ] {
            let observed = kernel(was);
            let generation = observed.generation;
            let cache = Cache::of(observed);
            let count = |generation| cache.elements(generation, TABLE, is, SET).map(|elements| elements.len());
            assert_eq!(count(generation), Some(1), "{was:?} {is:?}");
            assert_eq!(count(LATER), lasts.then_some(1), "{was:?} {is:?}");
            assert_eq!(cache.elements(generation, TABLE, is, "exempt-9"), None);
        }
    }

    #[test]
    fn a_long_list_that_is_as_long_as_before_may_be_assumed_and_is_never_certain_from_that() {
        let mut observed = kernel(None);
        for certain in [true, false] {
            observed.is_partly_assumed = !certain;
            let cache = Cache::of(observed.clone());
            let is_certain = |generation| cache.is_certain(generation, TABLE, None);
            assert_eq!((is_certain(observed.generation), is_certain(LATER)), (certain, false));
            let is_known = |cache: &Cache, generation| cache.elements(generation, TABLE, None, SET).is_some();
            assert_eq!((is_known(&cache, observed.generation), is_known(&cache, LATER)), (certain, false));
            let after = Cache::after(observed.clone(), &Plan::default());
            assert_eq!(after.is_certain(observed.generation.next(), TABLE, None), certain);
            assert!(is_known(&cache.assuming(true), LATER));
        }
    }

    #[test]
    fn what_was_assumed_is_not_certain_either_once_the_table_is_ours() {
        let adoption = Action::CreateTable { protection: Protection::OwnerPersist };
        let plan = Plan { changes: vec![Change { table: TABLE, action: adoption }], more: false };
        for certain in [true, false] {
            let is_partly_assumed = !certain;
            let adopted = Cache::after(Observed { is_partly_assumed, ..kernel(None) }, &plan);
            let read_back = Cache::of(Observed { is_partly_assumed, ..kernel(Some(Owner::Us)) });
            for cache in [adopted, read_back] {
                assert_eq!(cache.is_certain(LATER, TABLE, Some(Owner::Us)), certain, "{cache:?}");
            }
        }
    }

    #[test]
    fn a_long_chain_is_known_while_it_has_as_many_uses_and_nothing_of_ours_changes_it() {
        const NAT: TableId = TableId::nat(Family::Ipv4);
        let ranges: Vec<String> = (0..LONG).map(|index| format!("10.{}.{}.0/24", index / 200, index % 200)).collect();
        let ranges: Vec<&str> = ranges.iter().map(String::as_str).collect();
        let desired = compile(&policy(&ranges, ""), Layout::IptablesNat);
        let mut observed = standing(&desired);
        let uses = u32::try_from(LONG).unwrap() + 1;
        for chain in observed.tables.iter_mut().flat_map(|table| &mut table.chains).filter(|chain| chain.base.is_none())
        {
            // The jump in POSTROUTING, and somebody else's elsewhere.
            chain.uses = uses + 2;
        }
        let chain = desired.chain.as_str();
        let cache = Cache::of(observed.clone()).assuming(true);
        for (uses, is_known) in [(uses + 1, true), (uses, false), (uses + 2, false)] {
            assert_eq!(cache.rules(LATER, NAT, chain, uses).is_some(), is_known, "{uses}");
        }
        let of_the_jump = |table: &ObservedTable| table.chain(BaseChain::POSTROUTING).unwrap().rules.first().cloned();
        let was = observed.table(NAT).and_then(of_the_jump).unwrap();
        let jump = Action::Delete { chain: BaseChain::POSTROUTING.to_owned(), was };
        let flush = Action::Flush { chain: chain.to_owned() };
        for (action, is_known) in [(jump, true), (flush, false), (Action::DeleteTable, false)] {
            let plan = Plan { changes: vec![Change { table: NAT, action }], more: false };
            let cache = Cache::after(observed.clone(), &plan);
            assert_eq!(cache.rules(observed.generation.next(), NAT, chain, uses + 1).is_some(), is_known, "{plan:?}");
        }
    }

    #[test]
    fn what_we_commit_is_known_and_a_table_is_ours_from_the_commit_that_makes_it_so() {
        let desired = |exempt: &[&str], protection| compile(&policy(exempt, ""), Layout::OwnTable(protection));
        for (observed, desired, lasts) in [
            (Observed::default(), desired(&["10.0.0.0/8", "20.0.0.0/8"], Protection::OwnerPersist), true),
            (kernel(None), desired(&["10.0.0.0/8", "20.0.0.0/8"], Protection::OwnerPersist), true),
            (kernel(Some(Owner::Us)), desired(&["20.0.0.0/8", "30.0.0.0/8"], Protection::OwnerPersist), true),
            (kernel(Some(Owner::Us)), desired(&["10.0.0.0/8", "20.0.0.0/8"], Protection::Off), false),
        ] {
            let Planned { plan, .. } = plan_for(&Family::ALL, &desired, &observed, &Cache::default(), true);
            let next = observed.generation.next();
            let cache = Cache::after(observed, &plan);
            let elements = |generation| cache.elements(generation, TABLE, Some(Owner::Us), SET);
            let wanted = desired.table(TABLE).unwrap().set(SET).map(|set| &set.elements);
            assert_eq!(elements(next), wanted, "{plan:?}");
            assert_eq!(elements(LATER), wanted.filter(|_| lasts), "{plan:?}");
        }
    }
}
