//! What stands in the way of our rules and is not ours to remove.

use thiserror::Error;

use crate::backend::interface;
use crate::net::ChainName;
use crate::rules::{TableId, TableName};

/// An object of others stands where one of ours would have to stand, and it is not ours to remove. The table stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Conflict {
    /// POSTROUTING is there, but not as iptables registers it, so that a jump in it would not see the traffic.
    #[error(
        "chain POSTROUTING of table {table} is {found}, not iptables' base chain (type nat, hook postrouting, \
         priority 100); the table was left as it is; find out who made the chain (`nft list chain {table} POSTROUTING`), \
         and delete or rename it"
    )]
    Postrouting {
        /// The table.
        table: TableId,
        /// What it is instead.
        found: String,
    },
    /// The kernel enters no chain of the table.
    #[error(
        "table {0} is switched off (flags dormant): the kernel runs none of its rules, and ours would have no effect in \
         it; the table is not the agent's alone, and was left as it is; `nft add table {0}` switches it on, with \
         everything that others have in it"
    )]
    Dormant(TableId),
    /// The chain with our name is a base chain, which the kernel enters by itself.
    #[error(
        "chain {chain} of table {table} is a base chain, not one of ours; the table was left as it is; choose another name \
         with --masq-chain, or delete that chain"
    )]
    OurName {
        /// The table.
        table: TableId,
        /// The chain.
        chain: ChainName,
    },
    /// The table is protected, and another process owns it.
    #[error("table {0} belongs to another process, which protects it {whose}", whose = whose(*.0))]
    Owned(TableId),
}

impl From<Conflict> for interface::Conflict {
    fn from(conflict: Conflict) -> Self {
        let sentence = conflict.to_string();
        match conflict {
            // These stand in the way of rules in iptables' table only, so that tables of our own could carry the same policy.
            Conflict::Postrouting { table, .. } | Conflict::OurName { table, .. } | Conflict::Dormant(table) => {
                Self::of_the_layout(table.family, sentence)
            }
            Conflict::Owned(table) => Self::owned(table, sentence),
        }
    }
}

const fn whose(table: TableId) -> &'static str {
    match table.name {
        TableName::Own => "(flags owner, persist); a running agent does that: stop it first, or let it do the change",
        TableName::Nat => "(flag owner); find that process, and have it give the table up",
    }
}
