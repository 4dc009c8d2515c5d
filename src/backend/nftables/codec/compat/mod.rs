//! The compat layout: rules as iptables-nft writes them, so that iptables shows, checks and deletes ours as its own.
//!
//! [`encode`] writes what iptables-nft 1.8.9 writes, in its order. [`decode`] reads any order (1.8.11 has another), and
//! goes by the meaning: a range that was loaded as whole bytes and one behind a mask are the same rule.

mod decode;
mod encode;

pub use decode::decode;
pub use encode::{comment_beside, encode, protocol};

#[cfg(test)]
mod tests;
