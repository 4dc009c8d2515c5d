//! `check`, as a person, a build and a program see it.

// Helpers of tests may panic as the tests themselves may: it is a failed test with a line number.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[cfg(test)]
mod fixes;
#[cfg(test)]
mod forms;
#[cfg(test)]
mod reports;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
#[cfg(test)]
mod verb;
