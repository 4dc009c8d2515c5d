//! Encoding objects of nf_tables as netlink messages, and decoding them (`linux/netfilter/nf_tables.h`).
//!
//! Every object has its emission beside its parsing, and the numbers of its messages (`enum nf_tables_msg_types`). An
//! expression that is not known here stays as it was received ([`Expression::Other`]), and its meaning is never guessed.

pub(super) mod chain;
pub mod compat;
pub(super) mod element;
mod expression;
mod field;
pub(super) mod foreign_object;
pub(super) mod generation;
pub mod native;
mod reading;
pub(super) mod rule;
pub(super) mod set;
pub(super) mod table;
mod xt;

pub use chain::ChainInfo;
pub use expression::{
    Bitwise, Byteorder, Cmp, CmpOp, Counter, Data, Expression, Extension, Fib, Immediate, Lookup, Masq, Meta, Numgen,
    Payload, PayloadBase, Range, VerdictCode,
};
pub use rule::RuleInfo;
pub use set::SetInfo;
pub use table::{TableFamily, TableInfo};

use crate::backend::nftables::Unrecognised;
use crate::netlink::Kind;
use crate::netlink::nfnetlink::Subsystem;
use crate::rules::{Rule, TableId, TableName};

/// `NFNL_SUBSYS_NFTABLES`.
pub(super) const SUBSYSTEM: Subsystem = Subsystem(10);

/// A message of nf_tables.
const fn kind(number: u8) -> Kind {
    SUBSYSTEM.kind(number)
}

/// The encoding of rules as expressions, which depends on the table they are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// [`compat`], for a table that iptables reads.
    Compat,
    /// [`native`], for a table of our own.
    Native,
}

impl Encoding {
    pub(super) const fn of(table: TableName) -> Self {
        match table {
            TableName::Nat => Self::Compat,
            TableName::Own => Self::Native,
        }
    }
}

/// Decodes a rule of this table, as it was dumped.
///
/// # Errors
///
/// What cannot be expressed in our types, in words that follow on “the rule”.
pub fn decode(table: TableId, rule: &RuleInfo) -> Result<Rule, Unrecognised> {
    let decode = match Encoding::of(table.name) {
        Encoding::Compat => compat::decode,
        Encoding::Native => native::decode,
    };
    decode(table.family, &rule.expressions, rule.comment.as_deref())
}
