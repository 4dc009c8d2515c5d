//! All rules of upstream's chain replaced by others.

use std::cell::Cell;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use ip_masq_agent::rules::Ruleset;

use super::in_process::InProcess;
use super::{Bench, Question};
use crate::agent::{Backend, Versions};
use crate::figures::Turns;
use crate::kernel;
use crate::namespace::Namespace;
use crate::pure;
use crate::ranges;
use crate::section::{Goal, Row};
use crate::texts;

const SIZES: [usize; 3] = [64, 1_000, 10_000];

/// Our way into iptables' table against iptables' own.
pub(super) const QUESTION: Question = Question {
    name: "replace",
    title: "nft-compat: every rule of the chain replaced",
    about: "A list of /28 gives way to as many /29, and the other way round. *As the running agent*: one pass of its loop \
            (`SteppedAgent`), over a socket that stays open. *As a process*: `ip-masq-agent apply`, from its start to its \
            end. The peers, `iptables-restore --noflush` of both flavours, from their start to their end. The kernel makes a \
            process that has deleted rules wait when it closes its socket, until they are gone for good; a socket that stays \
            open is not made to wait. *The kernel's share* is the time from the sending of the same transaction to its \
            acknowledgement, without a listener, and *the kernel's listing* that of the system calls that list the chain \
            once: what is left to read back is the least that can be done. Where the first alone exceeds a goal, no program \
            can reach it through nf_tables.",
    pictures: &[],
    ask: |bench, section| {
        for size in bench.effort.sizes(&SIZES) {
            section.group(&format!("{size} ranges"), || of_size(bench, size));
        }
    },
};

fn of_size(bench: &Bench, size: usize) -> Result<Vec<Row>> {
    let mut lists = Vec::new();
    for prefix_len in [28, 29] {
        let list = ranges::of_one_length(size, prefix_len);
        let text = texts::configuration(&list, "60s");
        lists.push(List {
            file: bench.configuration(&format!("replace-{prefix_len}.yaml"), &list)?,
            restore: bench.file(&format!("replace-{prefix_len}.restore"), &texts::upstream_restore(&list))?,
            ruleset: pure::ruleset(&text, pure::layout(Backend::Compat))?,
            text,
        });
    }
    let [kept_open, nft, legacy, bare] = [Namespace::new()?, Namespace::new()?, Namespace::new()?, Namespace::new()?];
    let first = &lists.first().context("no list")?.restore;
    bench.upstream_start(&nft, "nft", first)?;
    bench.upstream_start(&legacy, "legacy", first)?;
    let agent = InProcess::new(bench, &kept_open, Backend::Compat)?;
    let places = bench.places()?;
    let lists = Lists { lists, next: Cell::new(0) };

    let mut turns = Turns::of_time();
    // Round and round, so that every turn finds the other list in force.
    let as_agent = turns.add("the running agent", || agent.pass(&lists.turn()?.text));
    let as_process = turns.add_each("apply", &places, |place| {
        place.namespace.run(&place.writing("apply", Backend::Compat, &lists.now()?.file))
    });
    let restore = |flavour| Ok::<_, anyhow::Error>(bench.upstream_restore(flavour, &lists.now()?.restore));
    let by_nft = turns.add("iptables-nft-restore", || nft.run(&restore("nft")?));
    let by_legacy = turns.add("iptables-legacy-restore", || legacy.run(&restore("legacy")?));
    let share = turns.add("the kernel's share", || kernel::share(&bare, &lists.now()?.ruleset));
    let listing = turns.add("the kernel's listing", || kernel::listing(&bare));
    let taken = turns.take(bench.effort.repetitions(size))?;

    let ours = [
        ("replace, as the running agent", Versions::from(taken.of(as_agent)?)),
        ("replace, as a process", taken.of_each(&as_process)?),
    ];
    let mut rows = Vec::new();
    for (name, samples) in ours {
        for (peer, theirs, goal) in [
            ("iptables-nft-restore", by_nft, Some(Goal::TimesLess(4.0))),
            ("iptables-legacy-restore", by_legacy, Some(Goal::AtMostTimes(1.0))),
            ("the kernel's share", share, None),
            ("the kernel's listing", listing, None),
        ] {
            rows.push(Row::new(name, size, samples.clone()).against(peer, &taken.of(theirs)?).with_goal(goal));
        }
    }
    Ok(rows)
}

/// A list in all the forms in which it is given to somebody.
struct List {
    text: String,
    file: PathBuf,
    restore: PathBuf,
    ruleset: Ruleset,
}

/// The lists that take turns.
struct Lists {
    lists: Vec<List>,
    next: Cell<usize>,
}

impl Lists {
    /// The list of this turn.
    fn now(&self) -> Result<&List> {
        self.lists.get(self.next.get() % self.lists.len().max(1)).context("no list")
    }

    /// The list of the next turn, which begins.
    fn turn(&self) -> Result<&List> {
        self.next.set(self.next.get() + 1);
        self.now()
    }
}
