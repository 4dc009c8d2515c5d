//! A hundred thousand ranges.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use ip_masq_agent::backend::nftables::Monitor;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::support::StopOnDrop;
use crate::support::daemon::Daemon;
use crate::support::netns::Netns;

const MIB: u64 = 1 << 20;

/// How much more slab there may be for a moment. All messages of one commit of 100,000 elements take 800 MiB.
const BOUND: u64 = 64 * MIB;

const COUNT: u32 = 100_000;

/// What else runs on the machine can only add to what is seen. So often it is tried to see less.
const TRIES: usize = 5;

/// Slab that the kernel cannot reclaim, in bytes: what messages in sockets are made of.
fn slab() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("SUnreclaim:")).expect("a kernel with slabs");
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// By how much slab grew at most while this was done. It is looked at from every processor: the one on which a commit is
/// made does nothing else until that is over.
fn growth(work: impl FnOnce()) -> u64 {
    let (stop, most, looks) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let before = slab();
    let all = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let processors = (0..CpuSet::count()).filter(|processor| all.is_set(*processor).unwrap()).take(4);
    std::thread::scope(|scope| {
        let _stopped = StopOnDrop(&stop);
        for processor in processors {
            let (stop, most, looks) = (&stop, &most, &looks);
            scope.spawn(move || {
                let mut one = CpuSet::new();
                one.set(processor).unwrap();
                sched_setaffinity(Pid::from_raw(0), &one).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    most.fetch_max(slab(), Ordering::Relaxed);
                    looks.fetch_add(1, Ordering::Relaxed);
                    std::thread::yield_now();
                }
            });
        }
        work();
    });
    let looks = looks.into_inner();
    assert!(looks > 100, "it was looked {looks} times only");
    most.into_inner().saturating_sub(before)
}

/// Wants the growth to be below the bound.
fn stays_small(what: &str, mut work: impl FnMut()) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut seen = Vec::new();
    while seen.iter().all(|growth| *growth >= BOUND) {
        assert!(seen.len() < TRIES, "{what}: slab grew by {seen:?} bytes");
        seen.push(growth(&mut work));
    }
    println!("{what}: {} MiB", seen.last().unwrap() / MIB);
}

/// A file with so many ranges of which none touches another.
fn config() -> String {
    let mut text = format!("cidrLimit: {COUNT}\nresyncInterval: 1h\nnonMasqueradeCIDRs:\n");
    for number in 0..COUNT {
        writeln!(text, "- {}/28", Ipv4Addr::from_bits((20 << 24) + 32 * number)).unwrap();
    }
    text
}

#[test]
fn a_hundred_thousand_ranges_come_and_go_in_little_slab_whoever_listens_in_another_namespace() {
    let Some(elsewhere) = Netns::new("listens") else { return };
    let listener = elsewhere.inside(|| Monitor::open(0)).unwrap();
    stays_small("apply and cleanup", || {
        let Some(netns) = Netns::new("slab") else { return };
        netns.agent("apply --backend nft --protect off", &config()).ended_with(0);
        netns.agent("cleanup", &config()).ended_with(0);
    });
    drop(listener);
}

#[test]
fn an_agent_that_listens_brings_a_hundred_thousand_ranges_into_force_in_little_slab() {
    stays_small("run", || {
        let Some(netns) = Netns::new("slab-run") else { return };
        let file = netns.write("config", &config());
        let mut daemon = Daemon::start(&netns, &file, &["--backend", "nft", "--protect", "off"]);
        daemon.wait_until_said("is valid and in force: 100000 ranges");
    });
}
