//! What can happen to the agent.

/// Everything that wakes the agent. The set is closed: a new cause is a new variant. Each of them leads to one pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The agent begins.
    Start,
    /// Something happened to the configuration file, or where it is looked for.
    ConfigChanged,
    /// The resync interval is over.
    Tick,
    /// SIGHUP: the operator wants the file read again.
    Reload,
}
