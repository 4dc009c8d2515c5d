//! What it costs to find that nothing has to be done.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

use super::{Bench, Question};
use crate::agent::{Backend, Running};
use crate::figures::Turns;
use crate::namespace::Namespace;
use crate::ranges;
use crate::section::{Goal, Row};
use crate::texts;

const SIZES: [usize; 3] = [3, 1_000, 10_000];

/// The processor time of a resync that finds nothing to do.
pub(super) const QUESTION: Question = Question {
    name: "resync",
    title: "A resync that finds nothing to do",
    about: "Processor time, the kernel's included: of the running agent (`/proc/PID/task/*/schedstat`) for each of its passes \
            at a `resyncInterval` of 1 s, against the three programs that upstream runs for each of its own (`iptables -N`, \
            `iptables -C`, `iptables-restore --noflush`; `getrusage`), which are run in between. What upstream's own process \
            uses is not counted.",
    pictures: &[],
    ask: |bench, section| {
        for size in bench.effort.sizes(&SIZES) {
            for backend in Backend::ALL {
                section.group(&format!("{}, {size} ranges", backend.name()), || of_size(bench, backend, size));
            }
        }
    },
};

fn of_size(bench: &Bench, backend: Backend, size: usize) -> Result<Vec<Row>> {
    let ranges = ranges::of_one_length(size, 28);
    let file = bench.watched_configuration(&ranges, "1s")?;
    let restore = bench.file("resync.restore", &texts::upstream_restore(&ranges))?;
    let log = bench.scratch.path().join("resync.log");
    let places = bench.places()?;
    let running = places.each(|place| Running::start(&place.namespace, &place.writing("run", backend, &file), &log))?;
    let peers = [("nft", Namespace::new()?), ("legacy", Namespace::new()?)];
    for (flavour, peer) in &peers {
        bench.upstream_start(peer, flavour, &restore)?;
    }

    let mut turns = Turns::of_time();
    let theirs = peers.each_ref().map(|(flavour, peer)| {
        let restore = &restore;
        turns.add(format!("iptables-{flavour}"), move || upstreams_pass(bench, peer, flavour, restore))
    });
    let ours = turns.add_each("resync", &running, next_pass);
    let taken = turns.take(bench.effort.resyncs())?;
    let goal = |flavour: &str| match (flavour, size) {
        ("nft", 3) => Some(Goal::TimesLess(20.0)),
        ("nft", 10_000) => Some(Goal::TimesLess(50.0)),
        _ => None,
    };
    let rows = peers.iter().zip(theirs).map(|((flavour, _), theirs)| {
        let row = Row::new(format!("resync, {}", backend.name()), size, taken.of_each(&ours)?);
        Ok(row.against(format!("upstream's programs, iptables-{flavour}"), &taken.of(theirs)?).with_goal(goal(flavour)))
    });
    rows.collect()
}

/// The processor time of the agent's next pass. What it did before the call does not count.
fn next_pass(running: &Running) -> Result<Duration> {
    /// A pass waits for nothing, so a pause means its end.
    const PAUSE: Duration = Duration::from_millis(100);
    let give_up = Instant::now() + Duration::from_secs(20);
    let quiet = |mut used: Duration| -> Result<Duration> {
        let mut since = Instant::now();
        while since.elapsed() < PAUSE {
            std::thread::sleep(Duration::from_millis(10));
            let now = running.cpu_time()?;
            if now != used {
                (used, since) = (now, Instant::now());
            }
        }
        Ok(used)
    };
    let before = quiet(running.cpu_time()?)?;
    loop {
        std::thread::sleep(Duration::from_millis(10));
        let now = running.cpu_time()?;
        if now != before {
            return Ok(quiet(now)?.saturating_sub(before));
        }
        if Instant::now() > give_up {
            bail!("the agent made no pass in 20 s at a resyncInterval of 1 s");
        }
    }
}

/// The processor time of the three programs that upstream runs for a pass. This process waits for them, and for no
/// others in the meantime.
fn upstreams_pass(bench: &Bench, namespace: &Namespace, flavour: &str, restore: &Path) -> Result<Duration> {
    let iptables = bench.iptables(&format!("iptables-{flavour}"));
    // Status 1: the chain is there already.
    let ensure_chain = iptables.clone().words("-w 5 -N IP-MASQ-AGENT -t nat").or_status(1);
    let check_jump = texts::UPSTREAM_JUMP.iter().fold(iptables.words("-w 5 -C"), |check, word| check.argument(*word));
    let write_chain = bench.upstream_restore(flavour, restore);
    let before = waited_for()?;
    for program in [&ensure_chain, &check_jump, &write_chain] {
        namespace.run(program)?;
    }
    Ok(waited_for()?.saturating_sub(before))
}

/// The processor time of all programs that this process has waited for.
fn waited_for() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let microseconds = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(u64::try_from(microseconds)?))
}
