//! Measures the agent against what else does its work, on a real kernel, and writes `docs/benchmarks.md`.
//!
//! Every ratio is between two things that were measured in turn (ours, theirs, ours, theirs, …) in the same run, in
//! network namespaces of their own. Nothing of the namespace in which it is started is touched.

pub mod agent;
pub mod chart;
pub mod effort;
pub mod figures;
pub mod first_page;
pub mod kernel;
pub mod machine;
pub mod namespace;
pub mod program;
pub mod pure;
pub mod ranges;
pub mod report;
pub mod rows;
pub mod texts;
