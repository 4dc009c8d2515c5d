//! What is remembered of the last look at the kernel's rules.

use std::collections::BTreeMap;

use super::{Action, BaseChain, Change, Generation, Handle, Observed, ObservedTable, Plan, TableId, our_jump};
use crate::net::AddressRange;

/// What large sets hold, known without listing them while the generation lasts, because nobody has committed anything; and
/// where our jumps stood, to see when somebody has moved them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    generation: Generation,
    sets: BTreeMap<(TableId, String), Vec<AddressRange>>,
    /// By table, other people's rules of POSTROUTING in front of our jump.
    preceding: BTreeMap<TableId, Vec<Handle>>,
}

impl Known {
    /// What was listed.
    #[must_use]
    pub fn of(observed: Observed) -> Self {
        let preceding = observed.tables.iter().map(|table| (table.id, preceding(table))).collect();
        let sets = observed.tables.into_iter().flat_map(|table| {
            let sets = table.sets.into_iter().filter(|set| set.kind.is_ok());
            sets.map(move |set| ((table.id, set.name), set.elements))
        });
        Self { generation: observed.generation, sets: sets.collect(), preceding }
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

    /// What sets hold is not known any more.
    pub fn forget_elements(&mut self) {
        self.sets.clear();
    }

    /// The elements of a set in this generation, if they are known.
    #[must_use]
    pub fn elements(&self, generation: Generation, table: TableId, set: &str) -> Option<&[AddressRange]> {
        let known = (self.generation == generation).then_some(&self.sets)?;
        known.get(&(table, set.to_owned())).map(Vec::as_slice)
    }

    /// The rules of others behind which our jump stood in POSTROUTING. The kernel never gives a handle to another rule.
    #[must_use]
    pub fn preceding(&self, table: TableId) -> &[Handle] {
        self.preceding.get(&table).map_or(&[], Vec::as_slice)
    }

    fn apply(&mut self, table: TableId, action: &Action) {
        match action {
            Action::DeleteTable => self.sets.retain(|(of, _), _| *of != table),
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
            Action::CreateTable { .. }
            | Action::CreateChain { .. }
            | Action::Append { .. }
            | Action::Insert { .. }
            | Action::Delete { .. }
            | Action::Flush { .. }
            | Action::DeleteChain { .. } => {}
        }
    }
}

fn preceding(table: &ObservedTable) -> Vec<Handle> {
    let rules = table.chain(BaseChain::POSTROUTING).map_or(&[][..], |chain| &chain.rules);
    let is_ours = |index: &usize| rules.get(*index).and_then(|rule| our_jump(rule.rule.as_ref().ok()?)).is_some();
    let Some(jump) = (0..rules.len()).find(is_ours) else { return Vec::new() };
    rules.iter().take(jump).map(|rule| rule.handle).collect()
}
