//! The objects of nf_tables as netlink messages have them (`linux/netfilter/nf_tables.h`), and back.
//!
//! Every object has its emission beside its parsing. What the kernel says that is not known here is kept
//! ([`Expression::Other`]), never guessed at.

pub(super) mod chain;
pub mod compat;
mod destination;
pub(super) mod element;
pub(super) mod encoding;
mod expression;
pub(super) mod foreign_object;
pub(super) mod generation;
pub mod native;
mod reading;
pub(super) mod rule;
pub(super) mod set;
pub(super) mod table;
mod xt;

pub use chain::ChainInfo;
pub use encoding::decode;
pub use expression::{
    Bitwise, Byteorder, Cmp, CmpOp, Counter, Data, Expression, Extension, Fib, Immediate, Lookup, Masq, Meta, Numgen,
    Payload, PayloadBase, VerdictCode,
};
pub use rule::RuleInfo;
pub use set::SetInfo;
pub use table::TableInfo;
