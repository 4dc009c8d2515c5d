//! What the kernel counts of conntrack's flows.

use std::collections::BTreeMap;
use std::fs;

use crate::conntrack::events;

/// What was read; nothing where there is no conntrack, as before its module is loaded.
#[derive(Debug, Default)]
pub(crate) struct Conntrack {
    pub(super) entries: Option<u64>,
    pub(super) limit: Option<u64>,
    pub(super) events: BTreeMap<&'static str, u64>,
}

impl Conntrack {
    pub(crate) fn read() -> Self {
        Self { entries: Self::entries(), limit: number("nf_conntrack_max"), events: events().unwrap_or_default() }
    }

    /// How many flows there are; `None` where there is no conntrack.
    pub(super) fn entries() -> Option<u64> {
        number("nf_conntrack_count")
    }
}

fn number(name: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/sys/net/netfilter/{name}")).ok()?;
    text.trim().parse().ok()
}
