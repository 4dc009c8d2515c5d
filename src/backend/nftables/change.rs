//! Plans: lists of changes to nf_tables, each committed as a whole or not at all.

use std::collections::HashMap;

use super::{ForeignObject, Handle, ObservedRule, change_line};
use crate::backend::interface::{self, ChangeLine, Object};
use crate::rules::{BaseChain, Elements, Protection, Rule, SetKind, TableId, Verdict};

/// The changes that lead from the rules that are there to the desired ones, in the order in which they are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Empty if there is nothing to do.
    pub changes: Vec<Change>,
    /// Whether more plans have to follow this one. The next one is made from a new reading.
    pub more: bool,
}

/// One change, in one table. Its object is never a chain or a rule of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The table.
    pub table: TableId,
    /// What happens in it.
    pub action: Action,
}

/// What a change does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The table is created, or found to exist with the same protection and without an owner, and is owned from then on
    /// if it is protected.
    CreateTable {
        /// Who may change it.
        protection: Protection,
    },
    /// The table is removed, with all that is in it.
    DeleteTable,
    /// An empty set is created.
    CreateSet {
        /// Its name.
        set: String,
        /// How the kernel keeps it.
        kind: SetKind,
    },
    /// A set is removed, with its elements. No rule looks it up any more.
    DeleteSet {
        /// Its name.
        set: String,
    },
    /// Elements are added to a set.
    AddElements {
        /// The set.
        set: String,
        /// How the kernel keeps it.
        kind: SetKind,
        /// The elements, none of which touches one that is there at that time.
        elements: Elements,
    },
    /// Elements are removed from a set.
    DeleteElements {
        /// The set.
        set: String,
        /// How the kernel keeps it.
        kind: SetKind,
        /// The elements, as they were found.
        elements: Elements,
    },
    /// A foreign object is removed from a table of our own. No rule uses it any more.
    DeleteForeignObject {
        /// What it is.
        foreign_object: ForeignObject,
    },
    /// A chain is created. If it exists as a base chain, its policy becomes `accept`.
    CreateChain {
        /// Its name.
        chain: String,
        /// Where the kernel enters it, if it does.
        base: Option<BaseChain>,
    },
    /// A rule becomes the last of its chain.
    Append {
        /// The chain.
        chain: String,
        /// The rule.
        rule: Rule,
    },
    /// A rule is added right before another.
    Insert {
        /// The chain.
        chain: String,
        /// The rule.
        rule: Rule,
        /// The rule before which it is added.
        before: Handle,
    },
    /// A rule is removed.
    Delete {
        /// The chain.
        chain: String,
        /// The rule, as it was found.
        was: ObservedRule,
    },
    /// All rules of a chain are removed.
    Flush {
        /// The chain.
        chain: String,
    },
    /// An empty chain is removed.
    DeleteChain {
        /// The chain.
        chain: String,
    },
}

/// How many of the last changes are searched for one of the same set that the next change can be merged into.
const MERGED_NEAR: usize = 256;

impl Change {
    /// Merges the next change into this one, if both add elements to the same set or both remove elements from it.
    fn merge(&mut self, next: &Self) -> bool {
        let ((Action::AddElements { set, elements, .. }, Action::AddElements { set: of, elements: more, .. })
        | (Action::DeleteElements { set, elements, .. }, Action::DeleteElements { set: of, elements: more, .. })) =
            (&mut self.action, &next.action)
        else {
            return false;
        };
        let is_same_set = self.table == next.table && set == of;
        if is_same_set {
            elements.to_mut().extend(more);
        }
        is_same_set
    }
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

impl interface::Change for Plan {
    fn is_empty(&self) -> bool {
        self.is_empty()
    }

    fn is_followed(&self) -> bool {
        self.more
    }

    fn lines(&self) -> Vec<ChangeLine> {
        self.changes.iter().map(line).collect()
    }

    /// Elements that are added to a set part by part count as one change.
    fn append(&mut self, later: Self) {
        if !self.is_empty() {
            let mut again: HashMap<String, usize> = HashMap::new();
            for change in &later.changes {
                *again.entry(effect(change)).or_default() += 1;
            }
            self.changes.retain(|change| {
                let Some(count @ 1..) = again.get_mut(&effect(change)) else { return true };
                *count -= 1;
                false
            });
        }
        for change in later.changes {
            if !self.changes.iter_mut().rev().take(MERGED_NEAR).any(|earlier| earlier.merge(&change)) {
                self.changes.push(change);
            }
        }
    }
}

/// A change in words. Neither owning an existing table nor creating a table affects packets by itself.
pub(super) fn line(change: &Change) -> ChangeLine {
    ChangeLine {
        family: change.table.family,
        text: change_line(change),
        affects_packets: !matches!(change.action, Action::CreateTable { .. }),
        object: object(&change.action),
    }
}

fn object(action: &Action) -> Object {
    let of_rule = |rule: &Rule| if matches!(rule.verdict(), Verdict::Jump(_)) { Object::Jump } else { Object::Rule };
    match action {
        Action::CreateTable { .. } | Action::DeleteTable => Object::Table,
        Action::CreateSet { .. } | Action::DeleteSet { .. } => Object::Set,
        Action::AddElements { .. } | Action::DeleteElements { .. } => Object::Elements,
        Action::DeleteForeignObject { .. } => Object::Foreign,
        Action::CreateChain { .. } | Action::DeleteChain { .. } => Object::Chain,
        Action::Append { rule, .. } | Action::Insert { rule, .. } => of_rule(rule),
        Action::Delete { was, .. } => was.rule.as_ref().map_or(Object::Rule, of_rule),
        Action::Flush { .. } => Object::Rule,
    }
}

/// What a change does, without the handle of a rule that it removes.
fn effect(change: &Change) -> String {
    let mut change = change.clone();
    if let Action::Delete { was, .. } = &mut change.action {
        was.handle = Handle(0);
    }
    change_line(&change)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::interface::Change as _;
    use crate::net::Family;

    #[test]
    fn of_equal_changes_as_many_count_once_as_are_made_again() {
        let action = Action::Append { chain: "C".to_owned(), rule: Rule::new(Vec::new(), None, Verdict::Return) };
        let change = Change { table: TableId::nat(Family::Ipv4), action };
        let mut done = Plan::default();
        for (committed, reported) in [(2, 2), (1, 2), (3, 3)] {
            done.append(Plan { changes: vec![change.clone(); committed], ..Plan::default() });
            assert_eq!(done.changes.len(), reported, "after {committed} more");
        }
    }
}
