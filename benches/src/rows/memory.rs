//! What an idle agent holds.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::{Bench, Place, Question};
use crate::agent::{Backend, Running};
use crate::figures::{Samples, Unit};
use crate::listener::Listener;
use crate::ranges::{self, Range};
use crate::section::{Goal, Row};
use crate::texts;

const MIB: f64 = 1_048_576.0;
/// How often both edits are made, and taken back.
const EDITS: usize = 3;

/// The resident memory of an agent that has nothing to do.
pub(super) const QUESTION: Question = Question {
    name: "memory",
    title: "Resident memory of the idle agent",
    about: "Rss and Pss of `/proc/PID/smaps_rollup` when it waits: *after the start*, and after six real edits of its file, \
            each of which changed the rules: three times one range more and then a tenth of all ranges replaced by others. The \
            static build shares no pages with others, so Rss and Pss are close to each other.",
    pictures: &[],
    ask: |bench, section| {
        for (backend, sizes) in [(Backend::Native, &[4, 100_000][..]), (Backend::Compat, &[4, 1_000])] {
            for size in bench.effort.sizes(sizes) {
                section.group(&format!("{}, {size} ranges", backend.name()), || of_size(bench, backend, size));
            }
        }
    },
};

/// What was seen of one agent: Rss after the start, Rss and Pss after the edits.
type Seen = [f64; 3];

fn of_size(bench: &Bench, backend: Backend, size: usize) -> Result<Vec<Row>> {
    let list = ranges::of_one_length(size, 28);
    let places = bench.places()?;
    let seen = places.each(|place| of_agent(bench, place, backend, &list))?;
    let goal = match (backend, size) {
        (_, ..=4) => Some(Goal::AtMost(4.0 * MIB)),
        (Backend::Native, 100_000) => Some(Goal::AtMost(24.0 * MIB)),
        _ => None,
    };
    let row = |what: &str, of: fn(&Seen) -> f64, goal| -> Result<Row> {
        let samples = seen.each(|seen| Ok(Samples::new(Unit::Memory, vec![of(seen)])))?;
        Ok(Row::new(format!("{what}, {}", backend.name()), size, samples).with_goal(goal))
    };
    Ok(vec![
        row("Rss after the start", |seen| seen[0], None)?,
        row("Rss", |seen| seen[1], goal)?,
        row("Pss", |seen| seen[2], None)?,
    ])
}

fn of_agent(bench: &Bench, place: &Place<'_>, backend: Backend, list: &[Range]) -> Result<Seen> {
    let file = bench.watched_configuration(list, "1h")?;
    let agent = place.writing("run", backend, &file);
    let mut running = Running::start(&place.namespace, &agent, &bench.scratch.path().join("memory.log"))?;
    let mut listener = Listener::open(&place.namespace, None)?;
    let (started, _) = running.memory()?;
    for edit in 0..EDITS {
        let (more, replaced) = edited(list, edit);
        for ranges in [more, replaced] {
            change(&mut listener, &file, &texts::configuration(&ranges, "1h"))?;
            running.wait_until_idle()?;
        }
    }
    let (resident, proportional) = running.memory()?;
    Ok([started, resident, proportional])
}

/// The list with one range more, and with a tenth of it replaced, another tenth at each edit.
fn edited(list: &[Range], edit: usize) -> (Vec<Range>, Vec<Range>) {
    const TENTH: usize = 10;
    let behind = ranges::of_one_length(2 * list.len() + 1, 28).split_off(list.len());
    let more = list.iter().chain(behind.first()).copied().collect();
    let replaced = list.iter().zip(behind.iter().skip(1)).enumerate();
    let replaced = replaced.map(|(place, (old, new))| if place % TENTH == edit { *new } else { *old });
    (more, replaced.collect())
}

/// Changes the file, and returns when rules have followed from that.
fn change(listener: &mut Listener, file: &Path, text: &str) -> Result<()> {
    const SILENCE: Duration = Duration::from_millis(100);
    listener.announced()?;
    let new = file.with_file_name("../../new");
    fs::write(&new, text)?;
    fs::rename(new, file)?;
    listener.last_of_burst(SILENCE).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_edits_in_a_row_leave_the_list_as_it_was() {
        for size in [4, 1_000] {
            let list = ranges::of_one_length(size, 28);
            let mut before = list.clone();
            for edit in 0..EDITS {
                let (more, replaced) = edited(&list, edit);
                assert_eq!((more.len(), replaced.len()), (size + 1, size));
                for next in [more, replaced] {
                    assert_ne!(next, before);
                    before = next;
                }
                let changed = before.iter().zip(&list).filter(|(new, old)| new != old).count();
                assert_eq!(changed, size.div_ceil(10));
            }
        }
    }
}
