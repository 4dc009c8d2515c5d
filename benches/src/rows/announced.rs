//! From a change of the file to the announcement of the rules that follow from it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Bench, Question};
use crate::agent::{Backend, Running, Versions};
use crate::figures::Turns;
use crate::listener::Listener;
use crate::ranges;
use crate::section::{Goal, Row};
use crate::texts;

const SIZES: [usize; 3] = [4, 1_000, 100_000];
const COMPAT_SIZES: [usize; 2] = [4, 1_000];
/// A change can need several commits; one that comes later than this belongs to none.
const SILENCE: Duration = Duration::from_millis(100);

pub(super) const QUESTION: Question = Question {
    name: "announced",
    title: "From the change of the file to the rules",
    about: "The running agent's file gets one range more, or loses it again: *renamed* by another file that is renamed over \
            it, *in place* by being written anew. From before the renaming or writing to the kernel's announcement of the \
            last commit that follows, as a third process hears it; that process is a listener, so the commits cost what \
            they cost beside one.",
    pictures: &[],
    ask: |bench, section| {
        for (backend, sizes) in [(Backend::Native, &SIZES[..]), (Backend::Compat, &COMPAT_SIZES)] {
            for size in bench.effort.sizes(sizes) {
                section.group(&format!("{}, {size} ranges", backend.name()), || of_size(bench, backend, size));
            }
        }
    },
};

struct Watched {
    file: PathBuf,
    listener: std::cell::RefCell<Listener>,
    /// Whether the file has the range that comes and goes.
    has_all: std::cell::Cell<bool>,
    _running: Running,
}

fn of_size(bench: &Bench, backend: Backend, size: usize) -> Result<Vec<Row>> {
    let all = ranges::of_one_length(size, 28);
    let mut fewer = all.clone();
    fewer.remove(size / 2);
    let [all_text, fewer_text] = [&all, &fewer].map(|ranges| texts::configuration(ranges, "1h"));
    let places = bench.places()?;
    let watched: Versions<Watched> = places.each(|place| {
        let file = bench.watched_configuration(&all, "1h")?;
        let agent = place.writing("run", backend, &file);
        let running = Running::start(&place.namespace, &agent, &bench.scratch.path().join("announced.log"))?;
        let listener = Listener::open(&place.namespace, None)?.into();
        Ok(Watched { file, listener, has_all: true.into(), _running: running })
    })?;
    let change = |watched: &Watched, put: fn(&Path, &str) -> Result<Instant>| -> Result<Duration> {
        let mut listener = watched.listener.borrow_mut();
        listener.announced()?;
        let text = if watched.has_all.replace(!watched.has_all.get()) { &fewer_text } else { &all_text };
        let start = put(&watched.file, text)?;
        Ok(listener.last_of_burst(SILENCE)?.duration_since(start))
    };
    let mut turns = Turns::of_time();
    let renamed = turns.add_each("renamed", &watched, |watched| change(watched, renamed_over));
    let in_place = turns.add_each("in place", &watched, |watched| change(watched, written_anew));
    let taken = turns.take(bench.effort.repetitions(size))?;
    let row = |what: &str, samples| Row::new(format!("{what}, {}", backend.name()), size, samples);
    Ok(vec![
        row("renamed", taken.of_each(&renamed)?).with_goal((size <= 1_000).then_some(Goal::AtMost(5e-3))),
        row("in place", taken.of_each(&in_place)?),
    ])
}

fn renamed_over(file: &Path, text: &str) -> Result<Instant> {
    // Beside the directory that is watched.
    let new = file.with_file_name("../../new");
    fs::write(&new, text)?;
    let start = Instant::now();
    fs::rename(&new, file)?;
    Ok(start)
}

fn written_anew(file: &Path, text: &str) -> Result<Instant> {
    let start = Instant::now();
    fs::write(file, text)?;
    Ok(start)
}
