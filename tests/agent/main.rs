//! The agent as it runs on a node: what it does about its file, about others, and as a service.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic here is a failed test with a line number"
)]

mod file;
mod life;
mod repair;
#[path = "../support/mod.rs"]
mod support;
