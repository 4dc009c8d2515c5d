//! The compat shape: rules as iptables-nft writes them, so that iptables shows, checks and deletes ours as its own.
//!
//! [`lower`] writes what iptables-nft 1.8.9 writes, in its order. [`raise`] reads any order (1.8.11 has another), and
//! by meaning: whether a range was loaded as whole bytes or behind a mask is the same rule.

mod lower;
mod raise;

pub use lower::{lower, protocol};
pub use raise::raise;

use crate::net::Family;

/// Where the destination address stands in the network header, in bytes (RFC 791 §3.1, RFC 8200 §3).
const fn destination_offset(family: Family) -> u32 {
    match family {
        Family::Ipv4 => 16,
        Family::Ipv6 => 24,
    }
}

#[cfg(test)]
mod tests;
