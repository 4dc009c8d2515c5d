//! What large sets hold, known without listing them: because nobody has committed anything since we did, or because
//! nobody but us can have changed the table.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Change, Generation, Observed, Owner, Plan, Protection, TableId};
use crate::net::AddressRange;

/// The elements of sets in a generation. While the generation lasts, so do they; and those of a table that our socket owns
/// last for as long as it does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    generation: Generation,
    /// The tables that were ours alone when their sets were as they are here.
    owned: BTreeSet<TableId>,
    sets: BTreeMap<(TableId, String), Vec<AddressRange>>,
}

impl Known {
    /// What was listed.
    #[must_use]
    pub fn of(observed: Observed) -> Self {
        let owned =
            observed.tables.iter().filter(|table| table.owner == Some(Owner::Us)).map(|table| table.id).collect();
        let sets = observed.tables.into_iter().flat_map(|table| {
            let sets = table.sets.into_iter().filter(|set| set.kind.is_ok());
            sets.map(move |set| ((table.id, set.name), set.elements))
        });
        Self { generation: observed.generation, owned, sets: sets.collect() }
    }

    /// What is there after a plan was committed on top of what was listed. The kernel took it only because the generation
    /// was still the same, and made it the next one.
    #[must_use]
    pub fn after(observed: Observed, plan: &Plan) -> Self {
        let mut known = Self::of(observed);
        known.generation = known.generation.next();
        for Change { table, action } in &plan.changes {
            known.apply(*table, action);
        }
        known
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
    ) -> Option<&[AddressRange]> {
        let is_ours_alone = owner == Some(Owner::Us) && self.owned.contains(&table);
        let known = (self.generation == generation || is_ours_alone).then_some(&self.sets)?;
        known.get(&(table, set.to_owned())).map(Vec::as_slice)
    }

    fn apply(&mut self, table: TableId, action: &Action) {
        match action {
            Action::CreateTable { protection: Protection::OwnerPersist } => _ = self.owned.insert(table),
            Action::DeleteTable => {
                self.owned.remove(&table);
                self.sets.retain(|(of, _), _| *of != table);
            }
            Action::CreateSet { set, .. } => {
                self.sets.insert((table, set.clone()), Vec::new());
            }
            Action::DeleteSet { set } => {
                self.sets.remove(&(table, set.clone()));
            }
            Action::AddElements { set, elements, .. } => {
                let present = self.sets.entry((table, set.clone())).or_default();
                present.extend(elements);
                // Two sorted runs, which is what this sort is quickest at.
                present.sort();
            }
            Action::DeleteElements { set, elements, .. } => {
                let present = self.sets.entry((table, set.clone())).or_default();
                present.retain(|element| elements.binary_search(element).is_err());
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
            let count = |generation| known.elements(generation, TABLE, is, SET).map(<[_]>::len);
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
            let plan = plan(&desired, &observed).unwrap();
            let next = observed.generation.next();
            let known = Known::after(observed, &plan);
            let elements = |generation| known.elements(generation, TABLE, Some(Owner::Us), SET);
            let wanted = desired.table(TABLE).unwrap().set(SET).map(|set| set.elements.as_slice());
            assert_eq!(elements(next), wanted, "{plan:?}");
            assert_eq!(elements(LATER), wanted.filter(|_| lasts), "{plan:?}");
        }
    }
}
