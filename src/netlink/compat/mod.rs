//! The compat shape: rules as iptables-nft writes them, so that iptables shows, checks and deletes ours as its own.
//!
//! [`lower`] writes what iptables-nft 1.8.9 writes, in its order. [`raise`] reads any order (1.8.11 has another), and
//! by meaning: whether a range was loaded as whole bytes or behind a mask is the same rule.

mod lower;
mod raise;

pub use lower::{lower, protocol};
pub use raise::raise;

#[cfg(test)]
mod tests;
