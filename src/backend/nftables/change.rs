//! What has to change in the kernel: a list of changes that is committed as a whole or not at all.

use super::{ForeignObject, Handle, ObservedRule};
use crate::rules::{BaseChain, Elements, Protection, Rule, SetKind, TableId};

/// The changes that turn what is there into what shall be there, in the order in which they are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Empty if there is nothing to do.
    pub changes: Vec<Change>,
    /// Is this the first of several plans? The next one is made from what is there then.
    pub more: bool,
}

/// One change, in one table. It never names a chain or rule of somebody else as its object.
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
    /// The table goes, with all that is in it.
    DeleteTable,
    /// An empty set is created.
    CreateSet {
        /// Its name.
        set: String,
        /// How the kernel keeps it.
        kind: SetKind,
    },
    /// A set goes, with its elements. No rule looks it up any more.
    DeleteSet {
        /// Its name.
        set: String,
    },
    /// Elements come into a set.
    AddElements {
        /// The set.
        set: String,
        /// How the kernel keeps it.
        kind: SetKind,
        /// The elements, none of which touches one that is there then.
        elements: Elements,
    },
    /// Elements go from a set.
    DeleteElements {
        /// The set.
        set: String,
        /// How the kernel keeps it.
        kind: SetKind,
        /// The elements, as they were found.
        elements: Elements,
    },
    /// What has no place in a table of ours goes. No rule uses it any more.
    DeleteForeignObject {
        /// What it is.
        foreign_object: ForeignObject,
    },
    /// A chain is created, or, if it is there, lets pass from then on what none of its rules decides.
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
    /// A rule comes right before another, or becomes the first of its chain.
    Insert {
        /// The chain.
        chain: String,
        /// The rule.
        rule: Rule,
        /// The rule before which it comes.
        before: Handle,
    },
    /// A rule goes.
    Delete {
        /// The chain.
        chain: String,
        /// The rule, as it was found.
        was: ObservedRule,
    },
    /// All rules of a chain go.
    Flush {
        /// The chain.
        chain: String,
    },
    /// An empty chain goes.
    DeleteChain {
        /// The chain.
        chain: String,
    },
}

/// Among so many of the last changes one is sought that goes on with the next: that of the same set in the commit before.
const MERGED_NEAR: usize = 256;

impl Change {
    /// Takes in another one, if that brings more elements into the same set, or takes more out of it.
    fn goes_on_with(&mut self, next: &Self) -> bool {
        let ((Action::AddElements { set, elements, .. }, Action::AddElements { set: of, elements: more, .. })
        | (Action::DeleteElements { set, elements, .. }, Action::DeleteElements { set: of, elements: more, .. })) =
            (&mut self.action, &next.action)
        else {
            return false;
        };
        let goes_on = self.table == next.table && set == of;
        if goes_on {
            elements.to_mut().extend(more);
        }
        goes_on
    }
}

impl Plan {
    /// Is what shall be there already there?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Adds what was done after it. What comes into a set part by part is one change.
    pub fn append(&mut self, changes: Vec<Change>) {
        for change in changes {
            if !self.changes.iter_mut().rev().take(MERGED_NEAR).any(|earlier| earlier.goes_on_with(&change)) {
                self.changes.push(change);
            }
        }
    }

    /// Can packets fare otherwise after it? To come to own a table that exists is no change to them, nor is a new one by
    /// itself.
    #[must_use]
    pub fn concerns_packets(&self) -> bool {
        self.changes.iter().any(|change| !matches!(change.action, Action::CreateTable { .. }))
    }
}
