//! What an idle agent holds.

use anyhow::Result;

use super::Bench;
use crate::agent::{Backend, Running};
use crate::figures::{Samples, Unit};
use crate::namespace::Namespace;
use crate::ranges;
use crate::report::{Goal, Row, Section};

const MIB: f64 = 1_048_576.0;
/// How often the file is read again before the agent is looked at.
const RELOADS: usize = 3;

/// The resident memory of an agent that has nothing to do.
pub(super) fn memory(bench: &Bench) -> Result<Section> {
    let mut section = Section {
        title: "Resident memory of the idle agent",
        about: format!(
            "Rss and Pss of `/proc/PID/smaps_rollup`, after the start and {RELOADS} reloads, when it waits. The static \
             build shares no pages with others, so both are close to each other."
        ),
        ..Section::default()
    };
    for backend in Backend::ALL {
        let sizes: &[usize] = match backend {
            Backend::Native => &[4, 100_000],
            Backend::Compat => &[4, 1_000],
        };
        for size in bench.effort.sizes(sizes) {
            section.rows.extend(of_size(bench, backend, size)?);
        }
    }
    Ok(section)
}

fn of_size(bench: &Bench, backend: Backend, size: usize) -> Result<[Row; 2]> {
    let configuration = bench.watched_configuration(&ranges::of_one_length(size, 28), "60s")?;
    let namespace = Namespace::new()?;
    let agent = bench.agent.writing("run", backend, &configuration);
    let mut running = Running::start(&namespace, &agent, &bench.scratch.path().join("memory.log"))?;
    for _ in 0..RELOADS {
        running.reload()?;
    }
    let (resident, proportional) = running.memory()?;
    let goal = match (backend, size) {
        (_, ..=4) => Some(Goal::AtMost(4.0 * MIB)),
        (Backend::Native, _) => Some(Goal::AtMost(24.0 * MIB)),
        (Backend::Compat, _) => None,
    };
    let row = |what: &str, bytes, goal| Row {
        ours: format!("{what}, {}", backend.name()),
        ranges: size,
        samples: Samples::new(Unit::Memory, vec![bytes]),
        peer: None,
        goal,
    };
    Ok([row("Rss", resident, goal), row("Pss", proportional, None)])
}
