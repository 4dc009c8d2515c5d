//! One range more, one range less.

use anyhow::Result;

use super::Bench;
use super::in_process::InProcess;
use crate::agent::Backend;
use crate::chart::Chart;
use crate::figures::{Contender, in_turn};
use crate::kernel;
use crate::namespace::{Namespace, settle};
use crate::program::Program;
use crate::ranges;
use crate::report::{Goal, Row, Section};
use crate::texts::{self, PEERS_SET, PEERS_TABLE};

const SIZES: [usize; 4] = [64, 1_000, 10_000, 100_000];

/// How long it takes to add a range to so many that are in force, and to take it away.
pub(super) fn change(bench: &Bench) -> Result<Section> {
    let mut section = Section {
        title: "One range added, one range removed",
        about:
            "From the start of the process to its end, with the other ranges in force: `ip-masq-agent apply` with the \
                changed file, against `nft add element` and `nft delete element` on an interval set, and against `nft \
                -f` of a text that replaces the table. The range is in the middle of the list. *As the running agent*: one \
                pass of its loop (`Agent::pass`), which reads the file, over a socket that stays open; a process that \
                has deleted something is made to wait by the kernel when it closes its socket. A process that begins \
                knows nothing, so it has to have the kernel list what is in force: *the kernel's listing* is the time of \
                the system calls for that alone, which no program can do without, and which at 100,000 ranges is more \
                than a goal of 25 times less than `nft` leaves for everything."
                .to_owned(),
        ..Section::default()
    };
    let mut chart = Chart::new("One range added", "time, median");
    for size in bench.effort.sizes(&SIZES) {
        for row in of_size(bench, size)? {
            if row.ours.contains("added") {
                chart.point(&row.ours, size, row.samples.median());
                if let Some((peer, samples)) = &row.peer {
                    chart.point(peer, size, samples.median());
                }
            }
            section.rows.push(row);
        }
    }
    section.charts.push(("change.svg", chart));
    Ok(section)
}

fn of_size(bench: &Bench, size: usize) -> Result<Vec<Row>> {
    let with = ranges::of_one_length(size, 28);
    let mut without = with.clone();
    let range = without.remove(size / 2);
    let [with_text, without_text] = [&with, &without].map(|ranges| texts::configuration(ranges, "60s"));
    let with_file = bench.configuration("with.yaml", &with)?;
    let without_file = bench.configuration("without.yaml", &without)?;

    let table = bench.file("peer.nft", &texts::interval_set(&with))?;
    let replacing = |name, ranges| bench.file(name, &texts::replacing(PEERS_TABLE, &texts::interval_set(ranges)));
    let (with_nft, without_nft) = (replacing("with.nft", &with)?, replacing("without.nft", &without)?);
    let nft = |words: &str| Program::new("nft").words(words);
    let load = |file| nft("-f").argument(file);
    let element = |verb| nft(&format!("{verb} element {PEERS_TABLE} {PEERS_SET}")).argument(format!("{{ {range} }}"));

    let elements = Namespace::new()?;
    let replaced = Namespace::new()?;
    for namespace in [&elements, &replaced] {
        namespace.run(&load(table.clone()))?;
    }
    let repetitions = bench.effort.repetitions(size);
    let mut rows = Vec::new();
    for backend in Backend::ALL.into_iter().filter(|backend| *backend == Backend::Native || size <= 10_000) {
        let ours = Namespace::new()?;
        let apply = |file| bench.agent.writing("apply", backend, file);
        ours.run(&apply(&with_file))?;
        let running_in = Namespace::new()?;
        let running = InProcess::new(bench, &running_in, backend)?;
        running.pass(&with_text)?;
        let [
            listing,
            removed,
            removed_running,
            removed_by_nft,
            removed_by_text,
            added,
            added_running,
            added_by_nft,
            added_by_text,
        ] = in_turn(
            repetitions,
            [
                Contender::new("the kernel's listing", || kernel::listing(&ours)),
                Contender::new("removed by apply", || ours.run(&apply(&without_file))),
                Contender::new("removed by the running agent", || running.pass(&without_text)),
                Contender::new("removed by nft", || elements.run(&element("delete"))),
                Contender::new("removed by nft -f", || replaced.run(&load(without_nft.clone()))),
                Contender::new("added by apply", || ours.run(&apply(&with_file))),
                Contender::new("added by the running agent", || running.pass(&with_text)),
                Contender::new("added by nft", || elements.run(&element("add"))),
                Contender::new("added by nft -f", || replaced.run(&load(with_nft.clone()))),
            ],
        )?;
        let times = match (backend, size) {
            (Backend::Compat, _) => None,
            (_, 100_000..) => Some(25.0),
            (_, 10_000..) => Some(10.0),
            _ => None,
        };
        let goal = times.map(Goal::TimesLess);
        for (what, ours, peer, theirs, goal) in [
            ("added", &added, "nft add element", &added_by_nft, goal),
            ("added", &added, "nft -f, replacing", &added_by_text, goal),
            ("added as the running agent", &added_running, "nft add element", &added_by_nft, None),
            ("removed", &removed, "nft delete element", &removed_by_nft, goal),
            ("removed", &removed, "nft -f, replacing", &removed_by_text, goal),
            ("added", &added, "the kernel's listing", &listing, None),
            ("removed as the running agent", &removed_running, "nft delete element", &removed_by_nft, None),
        ] {
            rows.push(Row {
                ours: format!("one {what}, {}", backend.name()),
                ranges: size,
                samples: ours.clone(),
                peer: Some((peer.to_owned(), theirs.clone())),
                goal,
            });
        }
    }
    drop((elements, replaced));
    settle()?;
    Ok(rows)
}
