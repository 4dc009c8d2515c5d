//! What can happen to the agent.

/// Everything that wakes the agent. The set is closed: a new cause is a new variant. Each of them but the last leads to one
/// pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The agent begins.
    Start,
    /// Something is new about the configuration file.
    ConfigChanged,
    /// The operator had the configuration file looked at, and it says what it said.
    ConfigUnchanged,
    /// Somebody else has committed rules.
    RulesChanged,
    /// It is time to read long lists again, which were taken to be what they were when others committed.
    Verify,
    /// The resync interval is over.
    Tick,
    /// It is time to try again what failed.
    Retry,
    /// SIGHUP: the operator wants the file read again, and no more waiting.
    Reload,
    /// SIGTERM or SIGINT: the end.
    Stop,
}

impl Event {
    /// Does the resync interval begin anew with it?
    #[must_use]
    pub const fn begins_the_interval(self) -> bool {
        matches!(self, Self::Start | Self::ConfigChanged | Self::Tick | Self::Reload)
    }
}
