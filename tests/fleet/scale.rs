//! How large and how fast a fleet is.

use std::time::Duration;

use super::rollout::Pace;

/// kubelet takes up to 90 s to bring a changed ConfigMap to a pod (its sync period and its cache's). So many times faster
/// is the simulation of the large fleet; `minReadySeconds` and the timeout are as much shorter.
const FASTER: u32 = 60;

/// The measures of a fleet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) nodes: usize,
    /// Nodes with a fault.
    pub(crate) faults: usize,
    /// Nodes with a pod that sends packets.
    pub(crate) samples: usize,
    /// The milliseconds that a change takes to come to a node.
    pub(crate) longest_delay: u32,
    pub(crate) pace: Pace,
    /// How long the nodes may take to be as they should. Only a failing run waits so long.
    pub(crate) patience: Duration,
    /// How long nothing happens when idleness is measured.
    pub(crate) idle: Duration,
}

impl Scale {
    /// A fleet of so many nodes. Small ones are for every run of the tests: what takes time there is shorter.
    pub(crate) fn of(nodes: usize) -> Self {
        let is_small = nodes < 50;
        let longest_delay = if is_small { 300 } else { 90_000 / FASTER };
        Self {
            nodes,
            faults: (nodes / 20).max(3).min(nodes - 1),
            samples: (nodes / 20).max(3).min(nodes),
            longest_delay,
            pace: Pace {
                max_unavailable: 10,
                min_ready: Duration::from_secs(15) / FASTER,
                deadline: Duration::from_millis(u64::from(longest_delay) * 5),
            },
            patience: Duration::from_secs(60),
            idle: Duration::from_secs(if is_small { 2 } else { 15 }),
        }
    }
}
