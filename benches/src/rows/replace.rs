//! All rules of upstream's chain replaced by others.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::Bench;
use super::in_process::InProcess;
use crate::agent::Backend;
use crate::figures::{Contender, Samples, in_turn};
use crate::kernel;
use crate::namespace::Namespace;
use crate::program::Program;
use crate::pure;
use crate::ranges;
use crate::report::{Goal, Row, Section};
use crate::texts;

const SIZES: [usize; 3] = [64, 1_000, 10_000];

/// Our way into iptables' table against iptables' own.
pub(super) fn replace(bench: &Bench) -> Result<Section> {
    let mut section = Section {
        title: "nft-compat: every rule of the chain replaced",
        about: "A list of /28 gives way to as many /29, and the other way round. *As the running agent*: one pass of \
                its loop (`Agent::pass`), over a socket that stays open. *As a process*: `ip-masq-agent apply`, from its \
                start to its end. The peers, `iptables-restore --noflush` of both flavours, from their start to their \
                end. The kernel makes a process that has deleted rules wait when it closes its socket, until they are \
                gone for good; a socket that stays open is not made to wait. *The kernel's share* is the time from the \
                sending of the same transaction to its acknowledgement, and *the kernel's listing* that of the system \
                calls that list the chain once: what is left to read back is the least that can be done. Where the first \
                alone exceeds a goal, no program can reach it through nf_tables."
            .to_owned(),
        ..Section::default()
    };
    for size in bench.effort.sizes(&SIZES) {
        section.rows.extend(of_size(bench, size)?);
    }
    Ok(section)
}

fn of_size(bench: &Bench, size: usize) -> Result<Vec<Row>> {
    let lists = [ranges::of_one_length(size, 28), ranges::of_one_length(size, 29)];
    let mut texts = Vec::new();
    let mut rulesets = Vec::new();
    let [mut applies, mut by_nft, mut by_legacy] = [const { Vec::new() }; 3];
    for (number, list) in lists.iter().enumerate() {
        let file = bench.configuration(&format!("replace-{number}.yaml"), list)?;
        let restore = bench.file(&format!("replace-{number}.restore"), &texts::upstream_restore(list))?;
        texts.push(texts::configuration(list, "60s"));
        rulesets.push(pure::ruleset(&texts::configuration(list, "60s"), pure::layout(Backend::Compat))?);
        applies.push(bench.agent.writing("apply", Backend::Compat, &file));
        by_nft.push(bench.upstream_restore("nft", &restore));
        by_legacy.push(bench.upstream_restore("legacy", &restore));
    }
    let first = bench.scratch.path().join("replace-0.restore");
    let [kept_open, processes, nft, legacy, bare] =
        [Namespace::new()?, Namespace::new()?, Namespace::new()?, Namespace::new()?, Namespace::new()?];
    bench.upstream_start(&nft, "nft", &first)?;
    bench.upstream_start(&legacy, "legacy", &first)?;
    let agent = InProcess::new(bench, &kept_open, Backend::Compat)?;

    // Round and round, so that every run finds the other list in force.
    let mut texts = texts.iter().cycle();
    let mut rulesets = rulesets.iter().cycle();
    let [mut applies, mut by_nft, mut by_legacy] =
        [&applies, &by_nft, &by_legacy].map(|programs| programs.iter().cycle());
    let [as_agent, as_process, by_nft, by_legacy, share, listing] = in_turn(
        bench.effort.repetitions(size),
        [
            Contender::new("the running agent", || agent.pass(texts.next().context("an endless cycle")?)),
            Contender::new("apply", || run_next(&processes, &mut applies)),
            Contender::new("iptables-nft-restore", || run_next(&nft, &mut by_nft)),
            Contender::new("iptables-legacy-restore", || run_next(&legacy, &mut by_legacy)),
            Contender::new("the kernel's share", || kernel::share(&bare, rulesets.next().context("an endless cycle")?)),
            Contender::new("the kernel's listing", || kernel::listing(&bare)),
        ],
    )?;
    let against = |ours: &str, samples: &Samples, peer: &str, theirs: &Samples, goal| Row {
        ours: ours.to_owned(),
        ranges: size,
        samples: samples.clone(),
        peer: Some((peer.to_owned(), theirs.clone())),
        goal,
    };
    let rows = [("replace, as the running agent", &as_agent), ("replace, as a process", &as_process)];
    let rows = rows.into_iter().flat_map(|(ours, samples)| {
        [
            against(ours, samples, "iptables-nft-restore", &by_nft, Some(Goal::TimesLess(4.0))),
            against(ours, samples, "iptables-legacy-restore", &by_legacy, Some(Goal::AtMostTimes(1.0))),
            against(ours, samples, "the kernel's share", &share, None),
            against(ours, samples, "the kernel's listing", &listing, None),
        ]
    });
    Ok(rows.collect())
}

fn run_next<'a>(namespace: &Namespace, programs: &mut impl Iterator<Item = &'a Program>) -> Result<Duration> {
    namespace.run(programs.next().context("an endless cycle")?)
}
