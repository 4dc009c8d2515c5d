//! Verbs that end: what the next one has from what the one before left.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Bench, Place, Question};
use crate::agent::{Backend, Versions};
use crate::effort::Effort;
use crate::figures::{Samples, Turns, Unit};
use crate::namespace::settle;
use crate::ranges;
use crate::section::{Goal, Row};

const SIZES: [usize; 2] = [1_000, 100_000];
const COMPAT_SIZES: [usize; 2] = [1_000, 10_000];
/// The kernel's listing of so many is quadratic, so this is measured once a round.
const HUGE: usize = 1_000_000;

pub(super) const QUESTION: Question = Question {
    name: "one-shot",
    title: "apply once more",
    about: "`ip-masq-agent apply` from the start of its process to its end, with its rules in force: *nothing to do* finds \
            what it left, *one range more* adds one to them. *As it is called* it finds in `--runtime-dir` what the call \
            before left there, if that is of a version that leaves something; its peer is itself with that directory \
            deleted before, so that it has to have the kernel list everything.",
    pictures: &[],
    ask: |bench, section| {
        for (backend, sizes) in [(Backend::Native, &SIZES[..]), (Backend::Compat, &COMPAT_SIZES)] {
            for size in bench.effort.sizes(sizes) {
                section.group(&format!("{}, {size} ranges", backend.name()), || of_size(bench, backend, size));
            }
        }
        if bench.effort == Effort::Full {
            section.group(&format!("nothing to do, {HUGE} ranges"), || huge(bench));
        }
    },
};

fn of_size(bench: &Bench, backend: Backend, size: usize) -> Result<Vec<Row>> {
    let with = ranges::of_one_length(size, 28);
    let mut without = with.clone();
    without.remove(size / 2);
    let with = bench.configuration("with.yaml", &with)?;
    let without = bench.configuration("without.yaml", &without)?;
    let (remembering, forgetful) = (bench.places()?, bench.places()?);
    let apply = |place: &Place<'_>, file: &Path| place.namespace.run(&place.writing("apply", backend, file));
    for places in [&remembering, &forgetful] {
        places.each(|place| apply(place, &with))?;
    }
    let mut turns = Turns::of_time();
    let nothing = turns.add_each("nothing to do", &remembering, |place| apply(place, &with));
    let nothing_forgotten = turns.add("nothing to do, forgotten", || {
        forget(&forgetful.now)?;
        apply(&forgetful.now, &with)
    });
    let more = turns.add_each("one more", &remembering, |place| {
        apply(place, &without)?;
        apply(place, &with)
    });
    let more_forgotten = turns.add("one more, forgotten", || {
        apply(&forgetful.now, &without)?;
        forget(&forgetful.now)?;
        apply(&forgetful.now, &with)
    });
    let taken = turns.take(bench.effort.repetitions(size))?;
    drop((remembering, forgetful));
    settle()?;
    let row = |what: &str, samples: Versions<Samples>, forgotten: usize| -> Result<Row> {
        let row = Row::new(format!("{what}, {}, as it is called", backend.name()), size, samples);
        Ok(row.against("nothing left by an earlier call", &taken.of(forgotten)?))
    };
    Ok(vec![
        row("nothing to do", taken.of_each(&nothing)?, nothing_forgotten)?,
        row("one range more", taken.of_each(&more)?, more_forgotten)?
            .with_goal((backend == Backend::Native && size >= 100_000).then_some(Goal::AtMost(0.1))),
    ])
}

/// Nothing to do with a million ranges, once each.
fn huge(bench: &Bench) -> Result<Vec<Row>> {
    const LONGEST: Duration = Duration::from_mins(1);
    let configuration = bench.configuration("huge.yaml", &ranges::of_one_length(HUGE, 28))?;
    let places = bench.places()?;
    let apply = |place: &Place<'_>| place.namespace.run(&place.writing("apply", Backend::Native, &configuration));
    let once = |place: &Place<'_>| Ok(Samples::new(Unit::Time, vec![apply(place)?.as_secs_f64()]));
    let start = Instant::now();
    places.each(apply)?;
    ensure!(start.elapsed() < LONGEST, "a first apply of {HUGE} ranges took longer than {LONGEST:?}; not measured");
    let ours = places.each(once)?;
    forget(&places.now)?;
    let forgotten = once(&places.now)?;
    drop(places);
    settle()?;
    let row = Row::new("nothing to do, nft, as it is called", HUGE, ours);
    Ok(vec![row.against("nothing left by an earlier call", &forgotten)])
}

/// As after a boot of the machine.
fn forget(place: &Place<'_>) -> Result<()> {
    match fs::remove_dir_all(&place.runtime) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
