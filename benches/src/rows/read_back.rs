//! Reading what is in force.

use std::time::Instant;

use anyhow::{Result, bail};
use ip_masq_agent::backend::{Backends, Nftables, Protect, ReconcileOptions, Selection};
use ip_masq_agent::netlink::{Connection, NetlinkFamily};
use ip_masq_agent::rules::compile;

use super::{Bench, Place, Question};
use crate::agent::Backend;
use crate::figures::Turns;
use crate::namespace::Namespace;
use crate::program::Program;
use crate::pure;
use crate::ranges;
use crate::section::{Goal, Row};
use crate::texts;

/// How long it takes to read all rules back and to compare them with those that should be there.
pub(super) const QUESTION: Question = Question {
    name: "read-back",
    title: "Read back and compare",
    about: "`Selection::preview` of the agent's library, which reads the kernel's rules and plans, and finds nothing to do, \
            against `nft list table` of the same table with its output thrown away. *As a process* is `ip-masq-agent apply` \
            that finds nothing to do, from its start to its end, with the file's parsing, as it is called: a call before it \
            may have left something that it need not read again.",
    pictures: &[],
    ask: |bench, section| {
        for (backend, sizes) in [(Backend::Native, &[1_000, 10_000, 100_000][..]), (Backend::Compat, &[1_000, 10_000])]
        {
            for size in bench.effort.sizes(sizes) {
                section.group(&format!("{}, {size} ranges", backend.name()), || of_size(bench, backend, size));
            }
        }
    },
};

fn of_size(bench: &Bench, backend: Backend, size: usize) -> Result<Vec<Row>> {
    let ranges = ranges::of_one_length(size, 28);
    let configuration = bench.configuration("read-back.yaml", &ranges)?;
    let table = match backend {
        Backend::Native => "ip ip-masq-agent",
        Backend::Compat => "ip nat",
    };
    let list = Program::new("nft").words("list table").words(table);

    // A table may belong to the socket that wrote it, so processes have another namespace.
    let (own, places) = (Namespace::new()?, bench.places()?);
    let apply = |place: &Place<'_>| place.namespace.run(&place.writing("apply", backend, &configuration));
    places.each(apply)?;
    let connection = own.inside(|| Ok(Connection::open(NetlinkFamily::Netfilter)?))?;
    let backends = Backends::over(Nftables::over(connection));
    let policy = pure::policy(&pure::parse(&texts::configuration(&ranges, "60s"))?);
    let compile = |layout| compile(&policy, layout);
    let mut selection = Selection::new(backends, backend.option(), Protect::Auto, &compile);
    let options = ReconcileOptions::default();
    selection.reconcile(&options, &compile)?;
    let mut turns = Turns::of_time();
    let compared = turns.add("preview", || {
        let start = Instant::now();
        let preview = selection.preview(&options, &compile)?.result;
        let taken = start.elapsed();
        if !preview.changes.is_empty() {
            bail!("there was something to do");
        }
        Ok(taken)
    });
    let process = turns.add_each("apply", &places, apply);
    let listed = turns.add("nft list table", || places.now.namespace.run(&list));
    let taken = turns.take(bench.effort.repetitions(size))?;
    let row = |ours: &str, samples| -> Result<Row> {
        let row = Row::new(format!("{ours}, {}", backend.name()), size, samples);
        Ok(row.against("nft list table", &taken.of(listed)?))
    };
    let goal = (backend == Backend::Native && size == 100_000).then_some(Goal::TimesLess(4.0));
    Ok(vec![
        row("read back and compare", taken.of(compared)?.into())?.with_goal(goal),
        row("as a process", taken.of_each(&process)?)?,
    ])
}
