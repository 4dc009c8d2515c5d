//! What large lists cost the kernel while somebody listens to every change of the rules: it makes a message for each object
//! of a commit and keeps all of them until the end of that commit.
//!
//! These tests are a program of their own, and wait for each other, so that no others run beside them.

#[cfg(test)]
mod ranges;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
