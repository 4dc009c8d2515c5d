//! The codec against a real kernel, iptables-nft, and bytes that were recorded from it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic here is a failed test with a line number"
)]

mod changes;
mod kernel;
mod own;
mod own_table;
mod protection;
#[path = "../support/mod.rs"]
mod support;
