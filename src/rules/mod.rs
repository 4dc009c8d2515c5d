//! The rules that should be in the kernel, as values: compiled from a policy, traced, and written for their readers.
//!
//! Everything in this room is a pure function over plain values. Two values are equal if they have the same effect.

mod compile;
mod elements;
mod matching;
mod probability;
pub mod render;
mod rule;
mod table;
mod trace;

pub use compile::{Layout, compile, jump};
pub(crate) use compile::{OUR_COMMENTS, RETURN_COMMENT, SetPart, sets_of_addresses};
pub use elements::Elements;
pub use matching::{Field, Lookup, Match, Test};
pub use probability::Probability;
pub use rule::{Masquerade, Rule, Verdict};
pub use table::{BaseChain, Chain, Protection, Set, SetKind, Table, TableId, TableName};
pub use trace::{Outcome, Trace, TracedRule, trace};

use crate::net::ChainName;

/// The rules that should be in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruleset {
    /// The chain that carries our rules in iptables' table. A chain of this name is ours there. In tables of our own
    /// everything is ours, and the names are fixed.
    pub chain: ChainName,
    /// IPv4 before IPv6; a family that is not here should hold nothing of ours.
    pub tables: Vec<Table>,
}

impl Ruleset {
    /// No rules at all: what is in chains of this name is to be removed.
    #[must_use]
    pub const fn nothing(chain: ChainName) -> Self {
        Self { chain, tables: Vec::new() }
    }

    /// The table of this name and family, if something of ours should be in it.
    #[must_use]
    pub fn table(&self, id: TableId) -> Option<&Table> {
        self.tables.iter().find(|table| table.id == id)
    }
}

#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod value_tests;
