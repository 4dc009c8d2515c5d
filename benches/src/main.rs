//! `measure`: asks all questions twice, keeps what it found, and writes the pages. `make bench` builds what it needs and
//! calls it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use ip_masq_agent_benches::agent::{Agent, Versions};
use ip_masq_agent_benches::conditions::Conditions;
use ip_masq_agent_benches::effort::Effort;
use ip_masq_agent_benches::rows::{Bench, QUESTIONS, Question};
use ip_masq_agent_benches::runs::{Answer, Run};
use ip_masq_agent_benches::section::Section;
use ip_masq_agent_benches::{machine, namespace, pages, runs};

/// Every figure is taken in so many rounds, the next one when the one before is over.
const ROUNDS: usize = 2;

/// Measures the agent against its peers; needs root.
#[derive(Parser)]
struct Arguments {
    /// The agent's binary
    #[arg(long, value_name = "PATH")]
    agent: PathBuf,
    /// What the agent's version is called
    #[arg(long, value_name = "TEXT", default_value = "this version")]
    version: String,
    /// An older binary to compare it with
    #[arg(long, value_name = "PATH")]
    before: Option<PathBuf>,
    /// What the older version is called
    #[arg(long, value_name = "TEXT", default_value = "another version")]
    before_version: String,
    /// Where benchmarks.md is; the runs and the rows go below
    #[arg(long, value_name = "DIRECTORY")]
    output: PathBuf,
    /// What this machine is called in the pages; its processor if not given
    #[arg(long, value_name = "NAME")]
    machine: Option<String>,
    /// Small lists and few repetitions
    #[arg(long)]
    quick: bool,
    /// Only these questions; the newest run of this machine is brought up to date with them
    #[arg(long, value_name = "QUESTION", value_delimiter = ',')]
    only: Vec<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(unknown) = arguments.only.iter().find(|only| QUESTIONS.iter().all(|question| question.name != **only)) {
        bail!("{unknown} is no question; there are {}", QUESTIONS.map(|question| question.name).join(", "));
    }
    let bench = Bench::new(
        if arguments.quick { Effort::Quick } else { Effort::Full },
        Versions { now: Agent::at(&arguments.agent)?, before: arguments.before.as_deref().map(Agent::at).transpose()? },
        std::env::current_exe()?.with_file_name("flood"),
    )?;
    let mut run = begin(&arguments, bench.effort)?;
    let asked: Vec<&Question> = QUESTIONS
        .iter()
        .filter(|question| arguments.only.is_empty() || arguments.only.iter().any(|only| only == question.name))
        .collect();
    let before = arguments.before.is_some().then_some(arguments.before_version.as_str());
    let mut found: Vec<(Section, Vec<Conditions>)> = asked.iter().map(|_| (Section::default(), Vec::new())).collect();
    for round in 1..=ROUNDS {
        for (question, (section, rounds)) in asked.iter().zip(&mut found) {
            let (answered, conditions) = ask(question, &bench, round)?;
            section.again(answered);
            rounds.push(conditions);
            let answer = Answer::new(&arguments.version, before, rounds.clone(), section);
            // Kept at once: whatever ends this run early loses no more than the question that it was at.
            run.sections.insert(question.name.to_owned(), answer);
            run.keep(&arguments.output)?;
            pages::write(&arguments.output)?;
        }
    }
    report(&arguments.output, &run, &asked)
}

/// A new run, or the newest one of this machine if it is only brought up to date.
fn begin(arguments: &Arguments, effort: Effort) -> Result<Run> {
    let facts = machine::facts()?;
    let name = arguments.machine.as_deref().map_or_else(|| machine::name(&facts), runs::file_name);
    let known = Run::all(&arguments.output)?.into_iter().rev().find(|run| run.name == name && run.effort == effort);
    match known {
        Some(known) if !arguments.only.is_empty() => Ok(known),
        _ => Ok(Run::new(name, Conditions::now()?.at, effort, facts)),
    }
}

/// Asks a question under the conditions of now.
fn ask(question: &Question, bench: &Bench, round: usize) -> Result<(Section, Conditions)> {
    namespace::settle()?;
    let mut conditions = Conditions::now().context("looking at the machine")?;
    let start = Instant::now();
    let mut section = Section::default();
    (question.ask)(bench, &mut section);
    conditions.seconds = start.elapsed().as_secs_f64();
    eprintln!("{}, round {round}: {}", question.name, conditions.line());
    Ok((section, conditions))
}

/// Prints what was found. That something could not be measured is told last, and by the exit status.
fn report(output: &Path, run: &Run, asked: &[&Question]) -> Result<()> {
    let mut failures = Vec::new();
    for question in asked {
        let Some(answer) = run.sections.get(question.name) else { continue };
        eprintln!("{}: {:.0} s", question.name, answer.rounds.iter().map(|round| round.seconds).sum::<f64>());
        for row in &answer.rows {
            eprintln!("  {}", row.line(answer.before.is_some()));
        }
        failures.extend(answer.failures.iter().map(|failure| format!("{}: {failure}", question.name)));
    }
    eprintln!("written: {}", output.join("benchmarks.md").display());
    if failures.is_empty() {
        return Ok(());
    }
    bail!("could not be measured:\n{}", failures.join("\n"))
}
