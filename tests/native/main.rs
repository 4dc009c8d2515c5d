//! The native shape in a real kernel: tables of our own, with the ranges in sets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic here is a failed test with a line number"
)]

mod deltas;
mod flood;
mod interrupted;
mod listings;
mod many;
mod moving;
mod oracle;
mod protection;
#[path = "../support/mod.rs"]
mod support;
