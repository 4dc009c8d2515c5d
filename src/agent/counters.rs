//! What the agent has done since its start, in numbers that only grow.

/// The counters of an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Passes that were made, whatever for.
    pub passes: u64,
    /// Passes after which rules were in force again that somebody else had taken out or changed.
    pub repairs: u64,
    /// Passes that could not bring the rules into force.
    pub failures: u64,
    /// Passes that could not read the rules, so that it is not known whether they are in force.
    pub failed_looks: u64,
    /// Commits of others that were heard of. When the kernel has more to tell than it can queue, it tells less.
    pub foreign_commits: u64,
    /// How often a conflict began: the rules were undone so often that repairs began to wait.
    pub conflicts: u64,
}
