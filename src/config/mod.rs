//! Bytes to [`Config`], reading as upstream reads.

mod duration;

pub use duration::Duration;

use crate::net::Cidr;

/// A line of the configuration file, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line(pub u32);

/// What the file says, completed by the defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `nonMasqueradeCIDRs`: destinations to which traffic keeps its source, in the file's order.
    pub non_masquerade_cidrs: Vec<Entry>,
    /// `masqLinkLocal`: is traffic to 169.254.0.0/16 masqueraded too?
    pub masq_link_local: Setting<bool>,
    /// `masqLinkLocalIPv6`: is traffic to `fe80::/10` masqueraded too?
    pub masq_link_local_ipv6: Setting<bool>,
    /// `resyncInterval`: the time between two passes over the kernel's rules, at least [`Config::MIN_RESYNC_INTERVAL`].
    pub resync_interval: Setting<Duration>,
}

/// One range of `nonMasqueradeCIDRs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The range.
    pub cidr: Cidr,
    /// The line of the file, or `None` for a default.
    pub line: Option<Line>,
}

/// A value and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value in force.
    pub value: T,
    /// The line of the file, or `None` for the default.
    pub line: Option<Line>,
}
