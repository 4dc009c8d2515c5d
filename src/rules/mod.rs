//! The rules that shall be in the kernel, as values: compiled from a policy, traced, and written for their readers.
//!
//! Everything in this room is a pure function over plain values. Equality is of what the rules do.

mod compile;
mod elements;
mod matching;
mod probability;
pub mod render;
mod rule;
mod table;
mod trace;

pub use compile::{Layout, compile, jump};
pub(crate) use compile::{OUR_COMMENTS, SetPart, sets_of_addresses};
pub use elements::Elements;
pub use matching::{Field, Lookup, Match, Test};
pub use probability::Probability;
pub use rule::{Masquerade, Rule, Verdict};
pub use table::{BaseChain, Chain, Protection, Set, SetKind, Table, TableId, TableName};
pub use trace::{Outcome, Trace, TracedRule, trace};

use crate::net::ChainName;

/// The rules that shall be in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruleset {
    /// The chain that carries our rules in iptables' table. A chain of this name is ours there. In tables of our own
    /// everything is ours, and the names are fixed.
    pub chain: ChainName,
    /// IPv4 before IPv6; a family that is not here shall hold nothing of ours.
    pub tables: Vec<Table>,
}

impl Ruleset {
    /// Nothing shall be left of the rules in chains of this name.
    #[must_use]
    pub const fn nothing(chain: ChainName) -> Self {
        Self { chain, tables: Vec::new() }
    }

    /// The table of this name and family, if something of ours shall be in it.
    #[must_use]
    pub fn table(&self, id: TableId) -> Option<&Table> {
        self.tables.iter().find(|table| table.id == id)
    }
}

#[cfg(test)]
pub(crate) mod tests;
