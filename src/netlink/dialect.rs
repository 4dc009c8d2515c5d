//! In which shape the rules of a table are written, which follows from whose table it is.

use crate::ruleset::{Opaque, Rule, TableId, TableName};

use super::{RuleInfo, compat, native};

/// The shape of the rules in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// [`compat`]: iptables has to read it.
    Compat,
    /// [`native`].
    Native,
}

pub(super) const fn dialect(table: TableName) -> Dialect {
    match table {
        TableName::Nat => Dialect::Compat,
        TableName::Own => Dialect::Native,
    }
}

/// What a rule of this table, as it was dumped, means.
///
/// # Errors
///
/// What cannot be said in our types, in words that follow on “the rule”.
pub fn raise(table: TableId, rule: &RuleInfo) -> Result<Rule, Opaque> {
    match dialect(table.name) {
        Dialect::Compat => compat::raise(table.family, &rule.expressions),
        Dialect::Native => native::raise(table.family, &rule.expressions, rule.comment.as_deref()),
    }
}
