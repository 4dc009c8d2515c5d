//! The netlink codec: rules to bytes and back, transactions, and the connection that carries them; the flows of conntrack,
//! and the addresses of interfaces.
//!
//! The kernel's side is `linux/netfilter/nf_tables.h`, `linux/netfilter/nfnetlink_conntrack.h`,
//! `linux/netfilter/nfnetlink.h`, `linux/if_addr.h` and `netlink(7)`. Every thing has its own file with its emission beside its parsing. What the kernel says that we do not know is kept
//! ([`Expression::Other`]), never guessed at, and no bytes make the parsers panic. Only `socket.rs` does I/O.

mod address;
mod allowance;
mod chain;
pub mod compat;
mod connection;
mod destination;
mod dialect;
mod element;
mod error;
mod expression;
mod flow;
mod generation;
mod message;
mod monitor;
pub mod native;
mod reading;
mod rule;
mod set;
mod socket;
mod stray;
mod table;
mod transaction;
mod wire;
mod xt;

pub use address::AddressInfo;
pub use chain::ChainInfo;
pub use connection::{Connection, Transport};
pub use dialect::raise;
pub use error::NetlinkError;
pub use expression::{
    Bitwise, Byteorder, Cmp, CmpOp, Counter, Data, Expression, Extension, Fib, Immediate, Lookup, Masq, Meta, Numgen,
    Payload, PayloadBase, VerdictCode,
};
pub use flow::{Deletion, FlowInfo, Listing};
pub use monitor::{Heard, Monitor, Process};
pub use rule::RuleInfo;
pub use set::SetInfo;
pub use socket::NetlinkSocket;
pub use table::TableInfo;
pub use transaction::{Batch, Probe, Transaction};

#[cfg(test)]
mod tests;
