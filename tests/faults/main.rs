//! Whatever goes wrong between the agent and the kernel, at whichever message: the old rules stand or the new ones, and the
//! next pass ends with the new ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic here is a failed test with a line number"
)]

#[expect(clippy::ptr_arg, reason = "all alterations have one signature, and some of them change the length")]
mod bytes;
mod changes;
mod faulty;
mod passes;
mod privilege;
#[path = "../support/mod.rs"]
mod support;
mod table;
