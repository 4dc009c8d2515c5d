//! A table of our own: everything in it is ours, so everything in it that is not desired is removed.

use std::borrow::Cow;

use super::Differ;
use super::bridge::with_bridge_sets;
use super::parts::{is_emptied_first, is_large, under_present_names};
use super::step::{Delta, Step, is_looked_up, is_staged, without_staged_sets};
use crate::backend::nftables::{Action, ObservedChain, ObservedSet, ObservedTable};
use crate::rules::{Chain, Elements, Protection, Set, Table};

impl Differ<'_> {
    pub(super) fn own_table(&mut self, desired: Option<&Table>, hold: bool) {
        match (desired, self.observed) {
            (None, None) => {}
            (None, Some(present)) => self.remove_table(present),
            (Some(desired), None) => self.create(desired),
            (Some(desired), Some(present)) if !can_become(present, desired) => {
                self.push(Action::DeleteTable);
                // A table without rules decides about no packet, so nothing has to take its place at once.
                if present.chains.iter().all(|chain| chain.rules.is_empty()) {
                    self.create(desired);
                } else {
                    let first = self.without_staged_sets(desired);
                    self.create_at_once(&first);
                }
            }
            (Some(desired), Some(present)) => {
                if hold && desired.protection == Protection::OwnerPersist && present.owner.is_none() {
                    self.push(Action::CreateTable { protection: desired.protection });
                    // The commit that adopts a table must not add a base chain: EINVAL (`nf_tables_addchain`, for a table in
                    // `__NFT_TABLE_F_UPDATE`).
                    if lacks_a_base_chain(present, desired) {
                        self.more = true;
                        return;
                    }
                }
                let desired = &under_present_names(present, desired);
                if self.fill(present, desired) {
                    return;
                }
                match with_bridge_sets(present, desired) {
                    Some(on_the_way) => {
                        self.change(present, &on_the_way);
                        self.more = true;
                    }
                    None => self.change(present, desired),
                }
            }
        }
    }

    fn create(&mut self, desired: &Table) {
        let is_large = is_large(desired);
        if !is_large && !desired.sets.iter().any(is_staged) {
            return self.create_at_once(desired);
        }
        self.push(Action::CreateTable { protection: desired.protection });
        // A large set is created empty, and is filled by the next commits.
        for set in desired.sets.iter().filter(|_| !is_large) {
            self.create_set(set);
        }
        self.more = true;
    }

    fn create_at_once(&mut self, desired: &Table) {
        self.push(Action::CreateTable { protection: desired.protection });
        for set in &desired.sets {
            self.create_set(set);
        }
        self.create_chains(desired, None);
        for chain in &desired.chains {
            self.append_all(chain);
        }
    }

    /// What can replace other rules in one commit: the desired table, with sets of addresses instead of staged ones. Staged
    /// sets, if there are any, follow in later commits.
    fn without_staged_sets<'t>(&mut self, desired: &'t Table) -> Cow<'t, Table> {
        let table = without_staged_sets(desired);
        self.more |= matches!(table, Cow::Owned(_));
        table
    }

    fn change(&mut self, present: &ObservedTable, desired: &Table) {
        let deltas: Vec<Delta> = desired.sets.iter().map(|set| Delta::of(present.set(&set.name), set)).collect();
        let step = Step::next(present, desired, &deltas);
        if step == Step::Exchange {
            let first = self.without_staged_sets(desired);
            return self.exchange(present, &first);
        }
        self.more = step != Step::All;
        for (set, delta) in desired.sets.iter().zip(&deltas) {
            if present.set(&set.name).is_none() {
                self.push(Action::CreateSet { set: set.name.clone(), kind: set.kind });
            }
            // In an interval set an added interval may overlap a removed one, so that the removal has to be first.
            if step == Step::All || !is_looked_up(present, &set.name) {
                self.elements(set, &delta.removed, false);
            }
            self.elements(set, &delta.added, true);
        }
        if step == Step::Additions {
            return;
        }
        self.create_chains(desired, Some(present));
        for chain in &desired.chains {
            self.own_chain(chain);
        }
        let is_undesired = |chain: &&ObservedChain| desired.chain(&chain.name).is_none();
        for chain in present.chains.iter().filter(is_undesired).filter(|chain| !chain.rules.is_empty()) {
            self.push(Action::Flush { chain: chain.name.clone() });
        }
        let removed: Vec<&ObservedSet> = present.sets.iter().filter(|set| desired.set(&set.name).is_none()).collect();
        self.empty(present, &removed);
        for set in removed.into_iter().filter(|set| !is_emptied_first(set)) {
            self.push(Action::DeleteSet { set: set.name.clone() });
        }
        self.delete_the_rest(present, desired);
    }

    /// All sets and the rules that look them up are made anew. A packet meets either the old rules with the old sets or the
    /// new rules with the new sets, because a deleted set keeps its elements for packets that still look them up.
    fn exchange(&mut self, present: &ObservedTable, desired: &Table) {
        for chain in present.chains.iter().filter(|chain| !chain.rules.is_empty()) {
            self.push(Action::Flush { chain: chain.name.clone() });
        }
        for set in &present.sets {
            self.push(Action::DeleteSet { set: set.name.clone() });
        }
        for set in &desired.sets {
            self.create_set(set);
        }
        self.create_chains(desired, Some(present));
        for chain in &desired.chains {
            self.append_all(chain);
        }
        self.delete_the_rest(present, desired);
    }

    /// Deletes chains and foreign objects that neither a rule nor a map uses any more.
    fn delete_the_rest(&mut self, present: &ObservedTable, desired: &Table) {
        for chain in present.chains.iter().filter(|chain| desired.chain(&chain.name).is_none()) {
            self.push(Action::DeleteChain { chain: chain.name.clone() });
        }
        for foreign_object in &present.foreign_objects {
            self.push(Action::DeleteForeignObject { foreign_object: foreign_object.clone() });
        }
    }

    fn create_chains(&mut self, desired: &Table, present: Option<&ObservedTable>) {
        let stands =
            |chain: &&Chain| present.and_then(|table| table.chain(&chain.name)).is_some_and(|present| !present.drops);
        for chain in desired.chains.iter().filter(|chain| !stands(chain)) {
            self.push(Action::CreateChain { chain: chain.name.clone(), base: chain.base.clone() });
        }
    }

    fn append_all(&mut self, chain: &Chain) {
        for rule in &chain.rules {
            self.push(Action::Append { chain: chain.name.clone(), rule: rule.clone() });
        }
    }

    fn create_set(&mut self, set: &Set) {
        self.push(Action::CreateSet { set: set.name.clone(), kind: set.kind });
        self.elements(set, &set.elements, true);
    }

    pub(super) fn elements(&mut self, Set { name, kind, .. }: &Set, elements: &Elements, added: bool) {
        if elements.is_empty() {
            return;
        }
        let (set, kind, elements) = (name.clone(), *kind, elements.clone());
        self.push(if added {
            Action::AddElements { set, kind, elements }
        } else {
            Action::DeleteElements { set, kind, elements }
        });
    }
}

/// Whether the table can be changed into the desired one. The flags about its owner and the hooks of its base chains are
/// fixed when it is created. A table that is switched off decides about no packet, so that nothing is lost if it is made
/// anew.
fn can_become(present: &ObservedTable, desired: &Table) -> bool {
    let same_base = |chain: &Chain| present.chain(&chain.name).is_none_or(|present| present.base == chain.base);
    !present.dormant && present.protection == Ok(desired.protection) && desired.chains.iter().all(same_base)
}

fn lacks_a_base_chain(present: &ObservedTable, desired: &Table) -> bool {
    desired.chains.iter().any(|chain| chain.base.is_some() && present.chain(&chain.name).is_none())
}
