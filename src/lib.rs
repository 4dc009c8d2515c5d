//! `ip-masq-agent`: decides on every node which outbound traffic is masqueraded, and keeps exactly that in the kernel.
//!
//! The data flows one way: [`config`] reads a file, [`policy`] decides, [`rules`] compiles, traces and prints, [`backend`] reads,
//! compares, commits and reads back over [`netlink`]. ARCHITECTURE.md draws it.

pub mod agent;
pub mod backend;
pub mod cli;
pub mod commands;
pub mod config;
pub mod conntrack;
pub mod diagnostics;
pub mod exit;
pub mod health;
pub mod http;
pub mod last_good;
pub mod manifest;
pub mod metrics;
pub mod net;
pub mod netlink;
pub mod policy;
pub mod report;
pub mod rules;
pub mod runtime;
pub mod sandbox;
pub mod telemetry;
pub mod text;
