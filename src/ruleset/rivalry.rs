//! Other programs' nat chains that can undo what ours decide.

use std::fmt;

use super::{BaseChain, Observed, Ruleset};
use crate::net::Family;

/// A base chain of type nat at the postrouting hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its family.
    pub family: Family,
    /// Its table.
    pub table: String,
    /// Its name.
    pub chain: String,
    /// Its priority.
    pub priority: i32,
}

/// A chain that our chain has to share a hook with, to the detriment of what it decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rivalry {
    neighbour: Neighbour,
    ours: i32,
}

/// The neighbours that run after our chains, or nobody knows when: what ours exempt, they may still masquerade. A chain
/// that runs before ours decides first, as a rule that stands before ours would.
#[must_use]
pub fn rivalries(desired: &Ruleset, observed: &Observed) -> Vec<Rivalry> {
    let bases = desired.tables.iter().flat_map(|table| {
        let base = table.chains.iter().filter_map(|chain| chain.base.as_ref());
        base.map(move |base: &BaseChain| (table.id, base.priority))
    });
    let of_base = |(id, ours): (super::TableId, i32)| {
        let others = observed.neighbours.iter().filter(move |neighbour| {
            neighbour.family == id.family && neighbour.table != id.name.to_string() && neighbour.priority >= ours
        });
        others.map(move |neighbour| Rivalry { neighbour: neighbour.clone(), ours })
    };
    bases.flat_map(of_base).collect()
}

impl fmt::Display for Rivalry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { neighbour: Neighbour { family, table, chain, priority }, ours } = self;
        write!(f, "chain {chain} of table {family} {table} translates sources too, at priority {priority}, ")?;
        if priority == ours {
            f.write_str("which is ours: which of the two runs first depends on which was created last; ")?;
        } else {
            write!(f, "after ours at {ours}; ")?;
        }
        write!(
            f,
            "what ours exempts it may still masquerade; look at it with `nft list chain {family} {table} {chain}`"
        )
    }
}
