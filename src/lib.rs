//! `ip-masq-agent`: decides on every node which outbound traffic is masqueraded, and keeps exactly that in the kernel.
//!
//! The data flows one way: [`config`] reads a file, [`policy`] decides, [`ruleset`] compiles and compares, [`render`]
//! prints, [`netlink`] encodes, [`backend`] commits and reads back. ARCHITECTURE.md draws it.

pub mod agent;
pub mod backend;
pub mod cli;
pub mod commands;
pub mod config;
pub mod exit;
pub mod flows;
pub mod net;
pub mod netlink;
pub mod policy;
pub mod render;
pub mod ruleset;
pub mod runtime;
pub mod sandbox;
pub mod shown;
mod spelling;
pub mod state;
pub mod telemetry;
pub mod words;
