//! What can happen to the agent.

/// Everything that wakes the agent. The set is closed: a new cause is a new variant. Each of them but the last leads to one
/// pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The agent begins.
    Start,
    /// Something happened to the configuration file, or where it is looked for.
    ConfigChanged,
    /// The configuration file has been missing or empty for a while ([`Pass::file_is_away`](super::Pass)).
    ConfigGone,
    /// Somebody else has committed rules.
    RulesChanged,
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
    /// Does the configuration file have to be read for it?
    #[must_use]
    pub const fn concerns_the_file(self) -> bool {
        matches!(self, Self::Start | Self::ConfigChanged | Self::ConfigGone | Self::Tick | Self::Reload)
    }
}
