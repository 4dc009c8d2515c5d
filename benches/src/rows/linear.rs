//! The agent's way from the bytes of a configuration to those of a transaction, per range.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Result;
use ip_masq_agent::rules::compile;

use super::{Bench, Question};
use crate::agent::Backend;
use crate::figures::Turns;
use crate::pure;
use crate::ranges;
use crate::section::{Goal, Row};
use crate::texts;

/// A small list, with which the larger ones are compared.
const SMALL: usize = 1_000;
const SIZES: [usize; 3] = [SMALL, 10_000, 100_000];
/// Every stage is done so often in a sample that as many ranges have gone through it, whatever the list's size.
const RANGES: usize = 100_000;

/// Whether the time per range grows with the number of ranges.
pub(super) const QUESTION: Question = Question {
    name: "linear",
    title: "From the file's bytes to the transaction's, per range",
    about: "The time of each stage of the agent's library, divided by the number of ranges: parse, policy, compile, plan and \
            encode, without the kernel, each as often as 100,000 ranges take. The peer is ours at 1,000 ranges.",
    pictures: &[],
    ask: |bench, section| {
        for backend in Backend::ALL {
            for stage in STAGES {
                section.group(&format!("{}, {}", stage.name, backend.name()), || of_stage(bench, backend, &stage));
            }
        }
    },
};

/// What is done again and again.
struct Stage {
    name: &'static str,
    /// Makes what the stage needs, and gives what does it once.
    of: fn(String, Backend) -> Result<Once>,
}

type Once = Box<dyn FnMut() -> Result<()>>;

const STAGES: [Stage; 6] = [
    Stage {
        name: "parse",
        of: |text, _| Ok(Box::new(move || pure::parse(&text).map(|config| drop(black_box(config))))),
    },
    Stage {
        name: "policy",
        of: |text, _| {
            let config = pure::parse(&text)?;
            Ok(Box::new(move || {
                black_box(pure::policy(&config));
                Ok(())
            }))
        },
    },
    Stage {
        name: "compile",
        of: |text, backend| {
            let policy = pure::policy(&pure::parse(&text)?);
            Ok(Box::new(move || {
                black_box(compile(&policy, pure::layout(backend)));
                Ok(())
            }))
        },
    },
    Stage {
        name: "plan",
        of: |text, backend| {
            let ruleset = pure::ruleset(&text, pure::layout(backend))?;
            Ok(Box::new(move || pure::plan_from_nothing(&ruleset).map(|plan| drop(black_box(plan)))))
        },
    },
    Stage {
        name: "encode",
        of: |text, backend| {
            let plan = pure::plan_from_nothing(&pure::ruleset(&text, pure::layout(backend))?)?;
            Ok(Box::new(move || pure::encode(&plan, None).map(|batch| drop(black_box(batch)))))
        },
    },
    Stage {
        name: "whole",
        of: |text, backend| {
            Ok(Box::new(move || {
                let ruleset = pure::ruleset(&text, pure::layout(backend))?;
                pure::encode(&pure::plan_from_nothing(&ruleset)?, None).map(|batch| drop(black_box(batch)))
            }))
        },
    },
];

fn of_stage(bench: &Bench, backend: Backend, stage: &Stage) -> Result<Vec<Row>> {
    let mut turns = Turns::of_time();
    let mut sizes = Vec::new();
    for size in SIZES {
        let mut once = (stage.of)(texts::configuration(&ranges::of_one_length(size, 28), "60s"), backend)?;
        let number = turns.add(stage.name, move || {
            let start = Instant::now();
            for _ in 0..RANGES / size {
                once()?;
            }
            Ok(start.elapsed())
        });
        sizes.push((size, number));
    }
    let taken = turns.take(bench.effort.repetitions(RANGES))?;
    let per_range = |number| Ok::<_, anyhow::Error>(taken.of(number)?.divided(RANGES as f64));
    let Some(((_, small), larger)) = sizes.split_first() else { return Ok(Vec::new()) };
    let rows = larger.iter().map(|(size, number)| {
        let row = Row::new(format!("{}, {}", stage.name, backend.name()), *size, per_range(*number)?);
        let goal = (stage.name == "whole" && *size == 100_000).then_some(Goal::AtMostTimes(2.0));
        Ok(row.against("at 1,000 ranges", &per_range(*small)?).with_goal(goal))
    });
    rows.collect()
}
