//! Reading what is in force.

use std::time::Instant;

use anyhow::{Result, bail};
use ip_masq_agent::backend::{Backends, Nftables, Protect, ReconcileOptions, Selection};
use ip_masq_agent::rules::compile;

use super::Bench;
use crate::agent::Backend;
use crate::figures::{Contender, in_turn};
use crate::namespace::Namespace;
use crate::program::Program;
use crate::pure;
use crate::ranges;
use crate::report::{Goal, Row, Section};
use crate::texts;

/// How long it takes to read all rules back and to compare them with those that should be there.
pub(super) fn read_back(bench: &Bench) -> Result<Section> {
    let mut section = Section {
        title: "Read back and compare",
        about:
            "`Selection::preview` of the agent's library, which reads the kernel's rules and plans, and finds nothing to \
                do, against `nft list table` of the same table with its output thrown away. *As a process* is \
                `ip-masq-agent apply` that finds nothing to do, from its start to its end, with the file's parsing."
                .to_owned(),
        ..Section::default()
    };
    for backend in Backend::ALL {
        let sizes: &[usize] = match backend {
            Backend::Native => &[1_000, 10_000, 100_000],
            Backend::Compat => &[1_000, 10_000],
        };
        for size in bench.effort.sizes(sizes) {
            section.rows.extend(of_size(bench, backend, size)?);
        }
    }
    Ok(section)
}

fn of_size(bench: &Bench, backend: Backend, size: usize) -> Result<[Row; 2]> {
    let ranges = ranges::of_one_length(size, 28);
    let apply = bench.agent.writing("apply", backend, &bench.configuration("read-back.yaml", &ranges)?);
    let table = match backend {
        Backend::Native => "ip ip-masq-agent",
        Backend::Compat => "ip nat",
    };
    let list = Program::new("nft").words("list table").words(table);

    // A table may belong to the socket that wrote it, so processes have another namespace.
    let (ours, theirs) = (Namespace::new()?, Namespace::new()?);
    theirs.run(&apply)?;
    let backends = Backends::over(ours.inside(|| Ok(Nftables::open()?))?);
    let policy = pure::policy(&pure::parse(&texts::configuration(&ranges, "60s"))?);
    let compile = |layout| compile(&policy, layout);
    let mut selection = Selection::new(backends, backend.option(), Protect::Auto, &compile);
    let options = ReconcileOptions::default();
    selection.reconcile(&options, &compile)?;
    let [compared, process, listed] = in_turn(
        bench.effort.repetitions(size),
        [
            Contender::new("preview", || {
                let start = Instant::now();
                let preview = selection.preview(&options, &compile)?.result;
                let taken = start.elapsed();
                if !preview.changes.is_empty() {
                    bail!("there was something to do");
                }
                Ok(taken)
            }),
            Contender::new("apply", || theirs.run(&apply)),
            Contender::new("nft list table", || theirs.run(&list)),
        ],
    )?;
    let row = |ours: &str, samples, goal| Row {
        ours: format!("{ours}, {}", backend.name()),
        ranges: size,
        samples,
        peer: Some(("nft list table".to_owned(), listed.clone())),
        goal,
    };
    let goal = (backend == Backend::Native && size == 100_000).then_some(Goal::TimesLess(4.0));
    Ok([row("read back and compare", compared, goal), row("as a process", process, None)])
}
