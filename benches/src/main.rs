//! `measure`: asks all questions and writes the document. `make bench` builds what it needs and calls it.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use ip_masq_agent_benches::agent::Agent;
use ip_masq_agent_benches::effort::Effort;
use ip_masq_agent_benches::machine::Machine;
use ip_masq_agent_benches::report;
use ip_masq_agent_benches::rows::{Bench, QUESTIONS};

/// Measures the agent against its peers; needs root.
#[derive(Parser)]
struct Arguments {
    /// The agent's binary
    #[arg(long, value_name = "PATH")]
    agent: PathBuf,
    /// Where criterion keeps its results (its `CRITERION_HOME`)
    #[arg(long, value_name = "DIRECTORY")]
    criterion: PathBuf,
    /// Where benchmarks.md and its pictures go
    #[arg(long, value_name = "DIRECTORY")]
    output: PathBuf,
    /// Small lists and few repetitions
    #[arg(long)]
    quick: bool,
    /// Only these questions; what the document says of the others stays
    #[arg(long, value_name = "QUESTION", value_delimiter = ',')]
    only: Vec<String>,
}

fn main() -> Result<()> {
    let Arguments { agent, criterion, output, quick, only } = Arguments::parse();
    if let Some(unknown) = only.iter().find(|only| QUESTIONS.iter().all(|(name, _)| name != only)) {
        bail!("{unknown} is no question; there are {}", QUESTIONS.map(|(name, _)| name).join(", "));
    }
    let bench = Bench {
        effort: if quick { Effort::Quick } else { Effort::Full },
        agent: Agent::at(&agent)?,
        flood: std::env::current_exe()?.with_file_name("flood"),
        criterion,
        scratch: tempfile::tempdir()?,
    };
    let mut sections = Vec::new();
    for (name, question) in QUESTIONS {
        if !only.is_empty() && !only.iter().any(|only| only == name) {
            continue;
        }
        let start = Instant::now();
        let section = question(&bench).with_context(|| name.to_owned())?;
        eprintln!("{name}: {:.1} s", start.elapsed().as_secs_f64());
        for row in &section.rows {
            eprintln!("  {}", row.line());
        }
        sections.push(section);
    }
    report::write(&output, bench.effort, &Machine::look()?, &sections, only.is_empty())?;
    eprintln!("written: {}", output.join("benchmarks.md").display());
    Ok(())
}
