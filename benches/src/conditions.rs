//! Under which conditions something was measured: what else the machine did, and who listens to commits.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sched::{CloneFlags, setns};
use serde::{Deserialize, Serialize};

use crate::machine::CpuTimes;
use crate::program::Program;

/// What there was beside the measurement when it began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conditions {
    /// When, in UTC.
    pub at: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// The load average of the last minute. This measurement's own work of that minute is in it.
    pub load: f64,
    /// The processors.
    pub processors: usize,
    /// The share of the processors' time that others used in a moment in which nothing was measured.
    pub others: f64,
    /// The sockets that listen to nf_tables' commits, in all network namespaces that can be seen.
    pub listeners: usize,
    /// The clock that the kernel measures time by.
    pub clock: String,
    /// The first processor's frequency.
    pub frequency: String,
}

/// A higher share of others says that the machine was busy.
const BUSY: f64 = 0.1;

/// `NETLINK_NETFILTER`.
const NETFILTER: &str = "12";
/// The bit of `NFNLGRP_NFTABLES`, which is group 7, in `nl_groups`.
const NFTABLES_GROUP: u64 = 1 << 6;

impl Conditions {
    /// Those of now. Takes a moment, in which nothing else should be done.
    pub fn now() -> Result<Self> {
        const MOMENT: Duration = Duration::from_millis(300);
        let read = |path: &str| fs::read_to_string(path).context(path.to_owned());
        let load = read("/proc/loadavg")?;
        let load = load.split_whitespace().next().and_then(|word| word.parse().ok()).context("/proc/loadavg")?;
        let before = CpuTimes::now()?;
        thread::sleep(MOMENT);
        let others = CpuTimes::now()?.busy_since(&before, None);
        let cpuinfo = read("/proc/cpuinfo")?;
        let frequency = cpuinfo.lines().find_map(|line| line.strip_prefix("cpu MHz")?.split(": ").nth(1));
        let clock = read("/sys/devices/system/clocksource/clocksource0/current_clocksource");
        Ok(Self {
            at: Program::new("date").words("-u +%Y-%m-%dT%H:%M:%SZ").output()?.trim().to_owned(),
            seconds: 0.0,
            load,
            processors: thread::available_parallelism()?.get(),
            others,
            listeners: listeners(),
            clock: clock.map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned()),
            frequency: frequency.map_or_else(|| "unknown".to_owned(), |mhz| format!("{mhz} MHz")),
        })
    }

    /// Whether others kept the machine so busy that the figures cannot be relied on. What is measured keeps one processor
    /// busy and sometimes a second one, so only a load above that and above the number of processors is of others.
    #[must_use]
    pub fn are_disturbed(&self) -> bool {
        self.load > (self.processors as f64).max(2.0) || self.others > BUSY
    }

    /// For people.
    #[must_use]
    pub fn line(&self) -> String {
        let mut warning = String::new();
        if self.are_disturbed() {
            warning.push_str(" **The machine was busy with other work.**");
        }
        if self.listeners > 0 {
            warning.push_str(" **Commits cost what they cost beside a listener, where nothing else is said.**");
        }
        format!(
            "{}, {:.0} s: load {:.2} on {} processors, others busy {:.0} %, {} of nf_tables' commits, clock {}, {}.{warning}",
            self.at,
            self.seconds,
            self.load,
            self.processors,
            100.0 * self.others,
            match self.listeners {
                0 => "no listener".to_owned(),
                1 => "1 listener".to_owned(),
                more => format!("{more} listeners"),
            },
            self.clock,
            self.frequency
        )
    }
}

/// The sockets of all network namespaces that a process is in, or that has a name.
fn listeners() -> usize {
    let mut namespaces: BTreeMap<u64, String> = BTreeMap::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let inode = fs::metadata(process.path().join("ns/net")).map(|namespace| namespace.ino());
        if let Ok(inode) = inode
            && let std::collections::btree_map::Entry::Vacant(place) = namespaces.entry(inode)
            && let Ok(table) = fs::read_to_string(process.path().join("net/netlink"))
        {
            place.insert(table);
        }
    }
    for named in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let inode = fs::metadata(named.path()).map(|namespace| namespace.ino());
        if let Ok(inode) = inode
            && let std::collections::btree_map::Entry::Vacant(place) = namespaces.entry(inode)
            && let Some(table) = table_of(&named.path())
        {
            place.insert(table);
        }
    }
    namespaces.values().map(|table| listening(table)).sum()
}

/// `/proc/net/netlink` of a namespace that has a name and no process.
fn table_of(namespace: &Path) -> Option<String> {
    let namespace = File::open(namespace).ok()?;
    let inside = thread::spawn(move || {
        setns(namespace, CloneFlags::CLONE_NEWNET).ok()?;
        fs::read_to_string("/proc/thread-self/net/netlink").ok()
    });
    inside.join().ok()?
}

/// The members of `NFNLGRP_NFTABLES` in a table like `/proc/net/netlink`.
fn listening(table: &str) -> usize {
    let is_member = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let groups = fields.get(3).and_then(|groups| u64::from_str_radix(groups, 16).ok());
        fields.get(1) == Some(&NETFILTER) && groups.is_some_and(|groups| groups & NFTABLES_GROUP != 0)
    };
    table.lines().filter(is_member).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_members_of_the_group_are_counted_in_the_kernels_table() {
        let table = "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n\
                     0000000087940599 0   0          00000040 0        0        0     2        0        4       \n\
                     00000000ddf0a1f2 12  0          00000000 0        0        0     2        0        14      \n\
                     00000000ddf0a1f3 12  4711       00000040 0        0        0     2        0        2101    \n\
                     00000000ddf0a1f4 12  -4043      000000ff 0        0        0     2        0        2102    \n\
                     00000000ddf0a1f5 12  4712       00000007 0        0        0     2        0        2103    \n";
        assert_eq!(listening(table), 2);
    }

    #[test]
    fn a_machine_with_more_to_do_than_is_measured_is_said_to_be_busy() -> Result<()> {
        let quiet = Conditions { load: 1.9, processors: 2, others: 0.02, ..Conditions::now()? };
        for (conditions, busy) in [
            (quiet.clone(), false),
            (Conditions { load: 2.1, ..quiet.clone() }, true),
            (Conditions { others: 0.5, ..quiet.clone() }, true),
            (Conditions { load: 1.9, processors: 1, ..quiet.clone() }, false),
        ] {
            assert_eq!(conditions.are_disturbed(), busy, "{conditions:?}");
            assert_eq!(conditions.line().contains("busy with other work"), busy);
        }
        Ok(())
    }
}
