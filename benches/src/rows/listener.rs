//! What it costs that somebody listens to nf_tables' commits.

use std::cell::RefCell;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Bench, Place, Question};
use crate::agent::{Agent, Backend, Running};
use crate::effort::Effort;
use crate::figures::Turns;
use crate::kernel;
use crate::listener::Foreign;
use crate::namespace::{Namespace, settle};
use crate::program::Program;
use crate::pure;
use crate::ranges;
use crate::section::{Goal, Row};
use crate::texts;

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];
/// The elements of the commit of others.
const OTHERS: usize = 1_000;
/// What others commit is measured so often beside each agent that is started for it.
const COMMITS: usize = 10;
const MIB: f64 = 1_048_576.0;

pub(super) const QUESTION: Question = Question {
    name: "listener",
    title: "What a listener to commits costs",
    about: "A member of `NFNLGRP_NFTABLES`, in whatever network namespace, makes the kernel build a message for every object of \
            every commit on the machine. *With a listener*: one of ours that reads all it hears, in a namespace of its own, \
            while the same is done as without. *Others' commit*: the transaction that replaces a table's set of 1,000 \
            elements by another, from its sending to its acknowledgement, in a namespace in which no agent is; beside an \
            agent that is idle elsewhere (as it is by default, and with each `--watch-rules` that it knows), beside that \
            listener, and beside neither. *Kernel memory*: the highest `SUnreclaim` of `/proc/meminfo`, looked at every half \
            millisecond, over what it was before: of `apply`, of a `run` from its start until it is idle, and of `nft -f` of \
            the same rules.",
    pictures: &[],
    ask: |bench, section| {
        for size in bench.effort.sizes(&SIZES) {
            section.group(&format!("commits, {size} ranges"), || own_commits(bench, size));
        }
        section.group("others' commits", || others_commits(bench));
        let size = bench.effort.large(100_000);
        section.group(&format!("kernel memory, {size} ranges"), || slab(bench, size));
    },
};

/// Whoever listens while something is measured.
fn beside<T>(listens: bool, measure: impl FnOnce() -> Result<T>) -> Result<T> {
    let _listener = listens.then(Foreign::new).transpose()?;
    measure()
}

/// Our own `apply`, its share of the kernel's, and `nft`'s.
fn own_commits(bench: &Bench, size: usize) -> Result<Vec<Row>> {
    let ranges = ranges::of_one_length(size, 28);
    let configuration = bench.configuration("listener.yaml", &ranges)?;
    let ruleset = pure::ruleset(&texts::configuration(&ranges, "60s"), pure::layout(Backend::Native))?;
    let nft_text = bench.file("listener.nft", &bench.nft_text(&configuration)?)?;
    let nft = Program::new("nft").argument("-f").argument(nft_text);
    // The kernel needs a while to take one apart.
    let kept = RefCell::new(Vec::new());
    let fresh = |measure: &dyn Fn(&Namespace) -> Result<Duration>| {
        let namespace = Namespace::new()?;
        let taken = measure(&namespace);
        kept.borrow_mut().push(namespace);
        taken
    };
    let apply = |agent: &Agent, listens| {
        let program = agent.writing("apply", Backend::Native, &configuration, &bench.runtime_dir());
        beside(listens, || fresh(&|namespace| namespace.run(&program)))
    };
    let share = |listens| beside(listens, || fresh(&|namespace| kernel::share(namespace, &ruleset)));
    let load = |listens| beside(listens, || fresh(&|namespace| namespace.run(&nft)));
    let mut turns = Turns::of_time();
    let apply_quiet = turns.add_each("apply", &bench.agents, |agent| apply(agent, false));
    let apply_heard = turns.add_each("apply with a listener", &bench.agents, |agent| apply(agent, true));
    let [share_quiet, share_heard] = [false, true].map(|listens| turns.add("share", move || share(listens)));
    let [nft_quiet, nft_heard] = [false, true].map(|listens| turns.add("nft -f", move || load(listens)));
    let taken = turns.take(bench.effort.repetitions(size))?;
    drop(kept);
    settle()?;
    let apply_quiet = taken.of_each(&apply_quiet)?.now;
    let (nft_heard, nft_quiet) = (taken.of(nft_heard)?, taken.of(nft_quiet)?);
    let apply = || Ok::<_, anyhow::Error>(Row::new("apply, nft, with a listener", size, taken.of_each(&apply_heard)?));
    Ok(vec![
        apply()?.against("without a listener", &apply_quiet),
        apply()?.against("nft -f, with a listener", &nft_heard),
        Row::new("the kernel's share, nft, with a listener", size, taken.of(share_heard)?)
            .against("without a listener", &taken.of(share_quiet)?),
        Row::new("nft -f, with a listener", size, nft_heard).against("without a listener", &nft_quiet),
    ])
}

/// What another program's commit costs beside an agent that has nothing to do.
fn others_commits(bench: &Bench) -> Result<Vec<Row>> {
    /// How the agent learns of others' commits; only as far as it has the flag.
    const WAYS: [&str; 3] = ["notify", "poll=1s", "off"];
    let configuration = bench.watched_configuration(&ranges::of_one_length(4, 28), "1h")?;
    let places = bench.places()?;
    let elsewhere = Namespace::new()?;
    let rulesets = [28, 29].map(|prefix_len| {
        let text = texts::configuration(&ranges::of_one_length(OTHERS, prefix_len), "60s");
        pure::ruleset(&text, pure::layout(Backend::Native))
    });
    let [one, other] = rulesets;
    let (one, other) = (one?, other?);
    let commit = || -> Result<Duration> {
        let mut taken = Vec::new();
        for _ in 0..COMMITS / 2 {
            for ruleset in [&one, &other] {
                taken.push(kernel::share(&elsewhere, ruleset)?);
            }
        }
        taken.sort();
        taken.get(taken.len() / 2).copied().context("no commit was measured")
    };
    let log = bench.scratch.path().join("listener.log");
    let beside_agent = |place: &Place<'_>, flags: &str| {
        let agent = place.writing("run", Backend::Native, &configuration).words(flags);
        let _running = Running::start(&place.namespace, &agent, &log)?;
        commit()
    };
    let mut turns = Turns::of_time();
    let nobody = turns.add("beside nobody", commit);
    let by_default = turns.add_each("beside an idle agent", &places, |place| beside_agent(place, ""));
    let ways: Vec<(&str, usize)> = WAYS
        .into_iter()
        .filter(|_| places.now.agent.knows("--watch-rules"))
        .map(|way| {
            let flags = format!("--watch-rules {way}");
            let name = format!("beside an idle agent, {flags}");
            let now = &places.now;
            (way, turns.add(name, move || beside_agent(now, &flags)))
        })
        .collect();
    let listener = turns.add("beside a listener", || beside(true, commit));
    let repetitions = match bench.effort {
        Effort::Quick => 2,
        Effort::Full => 8,
    };
    let taken = turns.take(repetitions)?;
    let nobody = taken.of(nobody)?;
    let row = |what: String, samples| Row::new(format!("others' commit, {what}"), OTHERS, samples);
    let mut rows = vec![row("beside an idle agent".to_owned(), taken.of_each(&by_default)?)];
    for (way, number) in ways {
        rows.push(row(format!("beside an idle agent, `--watch-rules {way}`"), taken.of(number)?.into()));
    }
    rows.push(row("beside a listener".to_owned(), taken.of(listener)?.into()));
    Ok(rows.into_iter().map(|row| row.against("beside nobody", &nobody)).collect())
}

/// How much of the kernel's memory a commit of many ranges takes while it is made.
fn slab(bench: &Bench, size: usize) -> Result<Vec<Row>> {
    let ranges = ranges::of_one_length(size, 28);
    let configuration = bench.watched_configuration(&ranges, "1h")?;
    let nft_text = bench.file("slab.nft", &bench.nft_text(&configuration)?)?;
    let nft = Program::new("nft").argument("-f").argument(nft_text);
    let log = bench.scratch.path().join("slab.log");
    let measure = |listens: bool, work: &dyn Fn(&Namespace) -> Result<()>| {
        let namespace = Namespace::new()?;
        settle()?;
        beside(listens, || highest_slab(|| work(&namespace)))
    };
    let apply = |agent: &Agent, listens| {
        let program = agent.writing("apply", Backend::Native, &configuration, &bench.runtime_dir());
        measure(listens, &|namespace| namespace.run(&program).map(drop))
    };
    let run = |agent: &Agent, listens| {
        let program = agent.writing("run", Backend::Native, &configuration, &bench.runtime_dir());
        measure(listens, &|namespace| Running::start(namespace, &program, &log).map(drop))
    };
    let load = |listens| measure(listens, &|namespace| namespace.run(&nft).map(drop));
    let mut rows = Vec::new();
    for listens in [false, true] {
        let mut turns = Turns::of_memory();
        let apply = turns.add_numbers("apply", &bench.agents, |agent| apply(agent, listens));
        let run = turns.add_numbers("run", &bench.agents, |agent| run(agent, listens));
        let nft = turns.add_number("nft -f", || load(listens));
        let taken = turns.take(2)?;
        let nft = taken.of(nft)?;
        let with = if listens { ", with a listener" } else { "" };
        for (what, samples) in [("apply", taken.of_each(&apply)?), ("run", taken.of_each(&run)?)] {
            let row = Row::new(format!("kernel memory of {what}, nft{with}"), size, samples);
            rows.push(row.against(format!("nft -f{with}"), &nft).with_goal(Goal::AtMost(64.0 * MIB)));
        }
    }
    settle()?;
    Ok(rows)
}

/// The highest `SUnreclaim` while something is done, over what it was before.
fn highest_slab(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    const PAUSE: Duration = Duration::from_micros(500);
    let before = unreclaimable_slab()?;
    let ended = Arc::new(AtomicBool::new(false));
    let end = Arc::clone(&ended);
    let watcher = thread::spawn(move || -> Result<f64> {
        let mut highest = 0.0;
        while !end.load(Ordering::Relaxed) {
            highest = unreclaimable_slab()?.max(highest);
            thread::sleep(PAUSE);
        }
        Ok(highest)
    });
    let worked = work();
    ended.store(true, Ordering::Relaxed);
    let highest = watcher.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
    worked.map(|()| (highest - before).max(0.0))
}

/// In bytes.
fn unreclaimable_slab() -> Result<f64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let kib =
        text.lines().find_map(|line| line.strip_prefix("SUnreclaim:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.map(|kib| kib * 1_024.0).context("/proc/meminfo without SUnreclaim")
}
