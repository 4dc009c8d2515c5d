//! In which layout the rules of a table are written, which follows from whose table it is.

use crate::backend::nftables::Unrecognised;
use crate::rules::{Rule, TableId, TableName};

use super::{RuleInfo, compat, native};

/// The layout of the rules in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend::nftables) enum Encoding {
    /// [`compat`]: iptables has to read it.
    Compat,
    /// [`native`].
    Native,
}

pub(in crate::backend::nftables) const fn encoding(table: TableName) -> Encoding {
    match table {
        TableName::Nat => Encoding::Compat,
        TableName::Own => Encoding::Native,
    }
}

/// What a rule of this table, as it was dumped, means.
///
/// # Errors
///
/// What cannot be said in our types, in words that follow on “the rule”.
pub fn decode(table: TableId, rule: &RuleInfo) -> Result<Rule, Unrecognised> {
    match encoding(table.name) {
        Encoding::Compat => compat::decode(table.family, &rule.expressions, rule.comment.as_deref()),
        Encoding::Native => native::decode(table.family, &rule.expressions, rule.comment.as_deref()),
    }
}
