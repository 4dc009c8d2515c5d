//! What stands in the way of our rules and is not ours to remove.

use thiserror::Error;

use crate::net::{ChainName, Family};
use crate::rules::{TableId, TableName};

/// Something of somebody else stands where ours would have to stand, and it is not ours to remove. The table stays as it is.
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
    /// The chain of our name is a base chain: the kernel enters it by itself.
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

impl Conflict {
    /// Where it is.
    #[must_use]
    pub const fn table(&self) -> TableId {
        match self {
            Self::Postrouting { table, .. }
            | Self::OurName { table, .. }
            | Self::Dormant(table)
            | Self::Owned(table) => *table,
        }
    }

    /// The family whose rules it concerns.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.table().family
    }

    /// Does it hinder rules in iptables' table only, so that the same policy could stand in tables of our own?
    #[must_use]
    pub const fn is_of_the_layout(&self) -> bool {
        match self {
            Self::Postrouting { .. } | Self::OurName { .. } | Self::Dormant(_) => true,
            Self::Owned(_) => false,
        }
    }

    /// The table that another process owns, if that is what is in the way.
    #[must_use]
    pub const fn owned_by_another(&self) -> Option<TableId> {
        if let Self::Owned(table) = self { Some(*table) } else { None }
    }

    /// May it end without anybody having mended anything? An owner may end at any moment, as an agent does that is being
    /// replaced.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        self.owned_by_another().is_some()
    }
}

const fn whose(table: TableId) -> &'static str {
    match table.name {
        TableName::Own => "(flags owner, persist); a running agent does that: stop it first, or let it do the change",
        TableName::Nat => "(flag owner); find that process, and have it give the table up",
    }
}
