//! Measures the agent against what else does its work, on a real kernel, keeps what it found, and writes
//! `docs/benchmarks.md` from all that is kept.
//!
//! Every ratio is between two things that were measured in turn (ours, theirs, ours, theirs, …) in the same run, in
//! network namespaces of their own. Nothing of the namespace in which it is started is touched.

pub mod agent;
pub mod chart;
pub mod conditions;
pub mod effort;
pub mod figures;
pub mod first_page;
pub mod kernel;
pub mod listener;
pub mod machine;
pub mod namespace;
pub mod pages;
pub mod program;
pub mod pure;
pub mod ranges;
pub mod rows;
pub mod runs;
pub mod section;
pub mod texts;
