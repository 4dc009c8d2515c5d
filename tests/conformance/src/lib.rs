//! The codec of `ip-masq-agent` before independent judges: what they write we read as the same rules, and what we write
//! they read.
//!
//! - `libnftnl` is the netfilter project's own library, under `nft` and `iptables-nft`. It knows everything that we write.
//! - `rustables` is a codec in pure Rust. It knows no expressions of xtables: these it only carries.

#![cfg(test)]

#[path = "../../netlink/changes.rs"]
mod changes;
mod ffi;
mod libnftnl;
mod libnftnl_own;
mod namespace;
#[allow(dead_code, reason = "the product's own tests use more of it")]
#[path = "../../netlink/own.rs"]
mod own;
mod replay;
mod rustables_judge;

use ip_masq_agent::backend::nftables::Unrecognised;
use ip_masq_agent::backend::nftables::decode;
use ip_masq_agent::net::Family;
use ip_masq_agent::netlink::{Connection, Transport};
use ip_masq_agent::rules::{Rule, TableId};

/// The rules of a chain of the `nat` table, as we read them.
fn rules_of<T: Transport>(kernel: &mut Connection<T>, family: Family, chain: &str) -> Vec<Result<Rule, Unrecognised>> {
    let rules = kernel.rules(family, "nat", chain).unwrap();
    rules.iter().map(|rule| decode(TableId::nat(family), rule)).collect()
}

/// The names of the tables of a family.
fn tables<T: Transport>(kernel: &mut Connection<T>, family: Family) -> Vec<String> {
    kernel.tables(family).unwrap().into_iter().map(|table| table.name).collect()
}

/// The messages of a datagram.
fn messages(mut datagram: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while let Some(len) = datagram.first_chunk().map(|len| u32::from_ne_bytes(*len)) {
        let (message, rest) = datagram.split_at(usize::try_from(len).unwrap());
        messages.push(message);
        datagram = rest;
    }
    messages
}
