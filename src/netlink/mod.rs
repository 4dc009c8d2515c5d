//! The `nf_tables` netlink codec: rules to bytes and back, transactions, and the connection that carries them.
//!
//! The kernel's side is `linux/netfilter/nf_tables.h`, `linux/netfilter/nfnetlink.h` and `netlink(7)`. Every thing has
//! its own file with its emission beside its parsing. What the kernel says that we do not know is kept
//! ([`Expression::Other`]), never guessed at, and no bytes make the parsers panic. Only `socket.rs` does I/O.

mod chain;
pub mod compat;
mod connection;
mod error;
mod expression;
mod generation;
mod message;
mod rule;
mod socket;
mod table;
mod transaction;
mod wire;
mod xt;

pub use chain::ChainInfo;
pub use connection::{Connection, Transport};
pub use error::NetlinkError;
pub use expression::{
    Bitwise, Cmp, CmpOp, Counter, Expression, Extension, Immediate, Meta, Payload, PayloadBase, VerdictCode,
};
pub use rule::RuleInfo;
pub use socket::NetlinkSocket;
pub use transaction::{Batch, Transaction};

#[cfg(test)]
mod tests;
