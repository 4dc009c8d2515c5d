//! A whole list into an empty namespace.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use anyhow::Result;

use super::{Bench, Picture, Question};
use crate::agent::Backend;
use crate::figures::Turns;
use crate::kernel;
use crate::namespace::{Namespace, settle};
use crate::program::Program;
use crate::pure;
use crate::ranges::{self, Range};
use crate::section::{Goal, Row};
use crate::texts;

const SIZES: [usize; 5] = [4, 64, 1_000, 10_000, 100_000];
/// Upstream's layout has one rule for each range: longer lists are unrealistic there.
const COMPAT_SIZES: [usize; 4] = [4, 64, 1_000, 10_000];
const TWENTY_LENGTHS_SIZES: [usize; 3] = [1_000, 10_000, 100_000];
/// From here on the kernel's share is what counts.
const LARGE: usize = 10_000;

/// A process is started, reads the file, and puts the rules into a namespace that has none.
pub(super) const QUESTION: Question = Question {
    name: "apply",
    title: "Full apply into an empty namespace",
    about: "From the start of the process to its end: `ip-masq-agent apply` with a YAML file, against `nft -f` of the same \
            rules (the text of `ip-masq-agent render --format nft`), and for nft-compat against upstream's three programs. \
            Each run has a namespace of its own. *The kernel's share* is the time from the sending of the same transactions \
            to the kernel's acknowledgement, taken around `Connection::commit` of the agent's library, so that nothing \
            traces what is measured. Nobody of ours listens to commits meanwhile; what a listener adds is a question of its own, \
            below.",
    pictures: &[Picture {
        file: "apply.svg",
        title: "Full apply into an empty namespace",
        axis: "time, median",
        shows: |ours| !ours.contains("twenty"),
    }],
    ask: |bench, section| {
        let mut list = |backend: Backend, what: &str, ranges: &[Range]| {
            let name = format!("apply, {}{what}", backend.name());
            section.group(&format!("{name}, {} ranges", ranges.len()), || of_list(bench, backend, &name, ranges));
        };
        for size in bench.effort.sizes(&SIZES) {
            list(Backend::Native, "", &ranges::of_one_length(size, 28));
        }
        for size in bench.effort.sizes(&COMPAT_SIZES) {
            list(Backend::Compat, "", &ranges::of_one_length(size, 28));
        }
        for size in bench.effort.sizes(&TWENTY_LENGTHS_SIZES) {
            list(Backend::Native, ", twenty lengths", &ranges::of_twenty_lengths(size));
        }
    },
};

fn of_list(bench: &Bench, backend: Backend, name: &str, ranges: &[Range]) -> Result<Vec<Row>> {
    let size = ranges.len();
    let configuration = bench.configuration("apply.yaml", ranges)?;
    let ruleset = pure::ruleset(&texts::configuration(ranges, "60s"), pure::layout(backend))?;
    let nft_text = bench.file("apply.nft", &bench.nft_text(&configuration)?)?;
    let restore = bench.file("apply.restore", &texts::upstream_restore(ranges))?;
    let nft = Program::new("nft").argument("-f").argument(nft_text);

    // They are held until all is measured: the kernel needs a while to take one apart.
    let kept = RefCell::new(Vec::new());
    let fresh = || -> Result<Rc<Namespace>> {
        let namespace = Rc::new(Namespace::new()?);
        kept.borrow_mut().push(Rc::clone(&namespace));
        Ok(namespace)
    };
    let peer = match backend {
        Backend::Native => "nft -f",
        Backend::Compat => "upstream's programs, iptables-nft",
    };
    let mut turns = Turns::of_time();
    let ours = turns.add_each("apply", &bench.agents, |agent| {
        fresh()?.run(&agent.writing("apply", backend, &configuration, &bench.runtime_dir()))
    });
    let theirs = turns.add(peer, || match backend {
        Backend::Native => fresh()?.run(&nft),
        Backend::Compat => {
            let namespace = fresh()?;
            let start = Instant::now();
            bench.upstream_start(&namespace, "nft", &restore)?;
            Ok(start.elapsed())
        }
    });
    let share = turns.add("the kernel's share", || kernel::share(&*fresh()?, &ruleset));
    let taken = turns.take(bench.effort.repetitions(size))?;
    drop(kept);
    settle()?;
    let native = backend == Backend::Native;
    let row = || Ok::<_, anyhow::Error>(Row::new(name, size, taken.of_each(&ours)?));
    let share_of = format!("the kernel's share, {}", backend.name());
    Ok(vec![
        row()?.against(peer, &taken.of(theirs)?).with_goal(native.then_some(Goal::TimesLess(1.8))),
        row()?
            .against(share_of, &taken.of(share)?)
            .with_goal((native && size >= LARGE).then_some(Goal::AtMostTimes(1.3))),
    ])
}
