//! What an agent costs, as the kernel counts it (`proc(5)`) and as it says itself.

use std::collections::BTreeMap;
use std::fs;
use std::ops::{AddAssign, Sub};
use std::time::Duration;

use super::audit::sum;

/// What a process has used so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Used {
    pub(crate) cpu: Duration,
    /// How often its threads went to sleep, and so woke, by their names.
    pub(crate) sleeps: BTreeMap<String, u64>,
}

/// What an agent has done so far, by its metrics.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    pub(crate) wakeups: f64,
    pub(crate) passes: f64,
    pub(crate) repairs: f64,
}

impl Used {
    /// By all threads that it has now. Nothing if it has ended.
    pub(crate) fn by(pid: u32) -> Self {
        let mut used = Self::default();
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
            // The first number is the time on a processor, in nanoseconds.
            let on_cpu = read("schedstat").split(' ').next().and_then(|text| text.parse().ok()).unwrap_or_default();
            used.cpu += Duration::from_nanos(on_cpu);
            let name = read("comm").trim_end().to_owned();
            *used.sleeps.entry(name).or_default() += field(&read("status"), "voluntary_ctxt_switches:");
        }
        used
    }

    /// How often it woke.
    pub(crate) fn wakeups(&self) -> u64 {
        self.sleeps.values().sum()
    }
}

impl AddAssign for Used {
    fn add_assign(&mut self, other: Self) {
        self.cpu += other.cpu;
        for (name, count) in other.sleeps {
            *self.sleeps.entry(name).or_default() += count;
        }
    }
}

impl Sub<&Self> for Used {
    type Output = Self;

    /// What was used between two looks at one process.
    fn sub(mut self, other: &Self) -> Self {
        self.cpu = self.cpu.saturating_sub(other.cpu);
        for (name, count) in &mut self.sleeps {
            *count = count.saturating_sub(other.sleeps.get(name).copied().unwrap_or_default());
        }
        self.sleeps.retain(|_, count| *count > 0);
        self
    }
}

impl Done {
    pub(crate) fn of(metrics: &str) -> Self {
        let sum = |name: &str| sum(metrics, &format!("ip_masq_agent_{name}_total"));
        Self { wakeups: sum("wakeups"), passes: sum("passes"), repairs: sum("repairs") }
    }
}

impl AddAssign for Done {
    fn add_assign(&mut self, other: Self) {
        self.wakeups += other.wakeups;
        self.passes += other.passes;
        self.repairs += other.repairs;
    }
}

/// The memory of a process in KiB, what it shares with others counted in parts (`Pss`).
pub(crate) fn pss_kib(pid: u32) -> u64 {
    field(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default(), "Pss:")
}

/// Whether a process is stopped, so that whoever asks it waits in vain.
pub(crate) fn is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['T', 't']))
}

/// The number behind a key at the beginning of a line.
fn field(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
