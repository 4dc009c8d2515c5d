//! The compat layout: rules as iptables-nft writes them, so that iptables shows, checks and deletes ours as its own.
//!
//! [`encode`] writes what iptables-nft 1.8.9 writes, in its order. [`decode`] reads any order (1.8.11 has another), and
//! by meaning: whether a range was loaded as whole bytes or behind a mask is the same rule.

mod decode;
mod encode;

pub use decode::decode;
pub use encode::{comment_beside, encode, protocol};

#[cfg(test)]
mod tests;
