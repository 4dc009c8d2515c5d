//! What is known without reading it: because nobody has committed anything since it was read or written by us, or because
//! nobody but us can have changed the table. And what is remembered, to see what others changed.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Action, BaseChain, Change, Elements, Generation, Handle, Observed, ObservedTable, Owner, Plan, Protection, TableId,
    our_jump,
};

/// What there is in a generation. While the generation lasts, so does it; and the elements of sets in a table that our socket
/// owns last for as long as it does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    generation: Generation,
    /// The tables that were ours alone when their sets were as they are here.
    owned: BTreeSet<TableId>,
    extent: Extent,
    /// By table, other people's rules of POSTROUTING in front of our jump.
    preceding: BTreeMap<TableId, Vec<Handle>>,
}

/// How much is known.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Extent {
    /// All that was read.
    Whole(Observed),
    /// The elements of sets.
    Sets(BTreeMap<(TableId, String), Elements>),
}

impl Known {
    /// What was read.
    #[must_use]
    pub fn of(observed: Observed) -> Self {
        let (owned, preceding) = (owned(&observed), preceding(&observed));
        Self { generation: observed.generation, owned, preceding, extent: Extent::Whole(observed) }
    }

    /// What is there after a plan was committed on top of what was read. The kernel took it only because the generation was
    /// still the same, and made it the next one. What became of the rules is not known before they are read.
    #[must_use]
    pub fn after(observed: Observed, plan: &Plan) -> Self {
        let (generation, mut owned) = (observed.generation.next(), owned(&observed));
        let preceding = preceding(&observed);
        let sets = observed.tables.into_iter().flat_map(|table| {
            let sets = table.sets.into_iter().filter(|set| set.kind.is_ok());
            sets.map(move |set| ((table.id, set.name), set.elements))
        });
        let mut sets = sets.collect();
        for Change { table, action } in &plan.changes {
            apply(&mut owned, &mut sets, *table, action);
        }
        Self { generation, owned, preceding, extent: Extent::Sets(sets) }
    }

    /// All that was read, if it was in this generation. After that only what is remembered is left.
    pub fn take(&mut self, generation: Generation) -> Option<Observed> {
        match std::mem::take(self) {
            Self { generation: known, extent: Extent::Whole(observed), preceding, .. } if known == generation => {
                self.preceding = preceding;
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
        *self = Self { preceding: std::mem::take(&mut self.preceding), ..Self::default() };
    }

    /// The rules of others behind which our jump stood in POSTROUTING. The kernel never gives a handle to another rule.
    #[must_use]
    pub fn preceding(&self, table: TableId) -> &[Handle] {
        self.preceding.get(&table).map_or(&[], Vec::as_slice)
    }

    /// The elements of a set, if they are known, in a table that is found in this generation with this owner.
    ///
    /// A table that was ours alone then and is now was so all the while: only its owner can give it up, and only we can come
    /// to own it by our socket, in a commit of ours, after which it is known anew ([`Known::after`]).
    #[must_use]
    pub fn elements(
        &self,
        generation: Generation,
        table: TableId,
        owner: Option<Owner>,
        set: &str,
    ) -> Option<&Elements> {
        let is_ours_alone = owner == Some(Owner::Us) && self.owned.contains(&table);
        if self.generation != generation && !is_ours_alone {
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

fn in_front_of_our_jump(table: &ObservedTable) -> Vec<Handle> {
    let rules = table.chain(BaseChain::POSTROUTING).map_or(&[][..], |chain| &chain.rules);
    let is_ours = |index: &usize| rules.get(*index).and_then(|rule| our_jump(rule.rule.as_ref().ok()?)).is_some();
    let Some(jump) = (0..rules.len()).find(is_ours) else { return Vec::new() };
    rules.iter().take(jump).map(|rule| rule.handle).collect()
}

fn owned(observed: &Observed) -> BTreeSet<TableId> {
    observed.tables.iter().filter(|table| table.owner == Some(Owner::Us)).map(|table| table.id).collect()
}

fn apply(
    owned: &mut BTreeSet<TableId>,
    sets: &mut BTreeMap<(TableId, String), Elements>,
    table: TableId,
    action: &Action,
) {
    match action {
        Action::CreateTable { protection: Protection::OwnerPersist } => _ = owned.insert(table),
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
        Action::CreateTable { protection: Protection::Off }
        | Action::DeleteStray { .. }
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
    use crate::net::Family;
    use crate::ruleset::tests::{policy, standing};
    use crate::ruleset::{Ruleset, Shape, compile, plan};

    const TABLE: TableId = TableId::own(Family::Ipv4);
    const SET: &str = "exempt-8";
    const LATER: Generation = Generation(7);

    fn kernel(owner: Option<Owner>) -> Observed {
        let mut observed = standing(&compile(&policy(&["10.0.0.0/8"], ""), Shape::Native(Protection::OwnerPersist)));
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
            let known = Known::of(observed);
            let count = |generation| known.elements(generation, TABLE, is, SET).map(|elements| elements.len());
            assert_eq!(count(generation), Some(1), "{was:?} {is:?}");
            assert_eq!(count(LATER), lasts.then_some(1), "{was:?} {is:?}");
            assert_eq!(known.elements(generation, TABLE, is, "exempt-9"), None);
        }
    }

    #[test]
    fn what_we_commit_is_known_and_a_table_is_ours_from_the_commit_that_makes_it_so() {
        let desired = |exempt: &[&str], protection| Ruleset {
            hold: true,
            ..compile(&policy(exempt, ""), Shape::Native(protection))
        };
        for (observed, desired, lasts) in [
            (Observed::default(), desired(&["10.0.0.0/8", "20.0.0.0/8"], Protection::OwnerPersist), true),
            (kernel(None), desired(&["10.0.0.0/8", "20.0.0.0/8"], Protection::OwnerPersist), true),
            (kernel(Some(Owner::Us)), desired(&["20.0.0.0/8", "30.0.0.0/8"], Protection::OwnerPersist), true),
            (kernel(Some(Owner::Us)), desired(&["10.0.0.0/8", "20.0.0.0/8"], Protection::Off), false),
        ] {
            let plan = plan(&desired, &observed, &Known::default()).unwrap();
            let next = observed.generation.next();
            let known = Known::after(observed, &plan);
            let elements = |generation| known.elements(generation, TABLE, Some(Owner::Us), SET);
            let wanted = desired.table(TABLE).unwrap().set(SET).map(|set| &set.elements);
            assert_eq!(elements(next), wanted, "{plan:?}");
            assert_eq!(elements(LATER), wanted.filter(|_| lasts), "{plan:?}");
        }
    }
}
