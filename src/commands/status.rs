//! `status`: what the running agent says of the node.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use thiserror::Error;

use super::print;
use crate::cli::{Check, Cli, StatusFormat, StatusQuestion};
use crate::exit::Exit;
use crate::health::{Problem, Status};
use crate::http::{ClientError, Place, ask};
use crate::text::visible;

/// It is not known whom to ask.
#[derive(Debug, Error)]
#[error(
    "no agent that can be asked is known to run here; start it with --status-socket PATH or --listen ADDR, or name one of \
     them so, if it runs with another --runtime-dir or in another pod"
)]
pub(super) struct NoAgent;

pub(super) fn status(cli: &Cli, asked: StatusQuestion) -> Result<Exit> {
    let place = &cli.listen.place().ok_or(NoAgent)?;
    let (path, what) = match asked {
        StatusQuestion::All(format) => {
            let json = ask(place, "/status")?.body;
            print(&match format {
                StatusFormat::Json => json,
                StatusFormat::Text => words(&understand(place, &json)?),
            })?;
            return Ok(Exit::Done);
        }
        StatusQuestion::Problem(problem) => return has_problem(place, problem),
        StatusQuestion::Check(Check::Live) => ("/livez", "live"),
        StatusQuestion::Check(Check::Ready) => ("/readyz", "ready"),
    };
    let asked = ask(place, path)?;
    if asked.is_good {
        print(&format!("{what}\n"))?;
        return Ok(Exit::Done);
    }
    // A probe's event shows the first line.
    let reasons: Vec<&str> = asked.body.lines().collect();
    print(&format!("not {what}: {}\n", visible(&reasons.join("; "))))?;
    Ok(Exit::Differs)
}

/// Whether the node has this problem, and no worse one. Where that cannot be known, it is not said to have it: of a question
/// for a problem, node-problem-detector takes any status but 0 for a yes.
fn has_problem(place: &Place, problem: Problem) -> Result<Exit> {
    let asked = ask(place, "/status").map_err(Into::into);
    let status = match asked.and_then(|asked| understand(place, &asked.body)) {
        Ok(status) => status,
        Err(unknown) => {
            print(&format!("not known to be {problem}: {}\n", visible(&format!("{unknown:#}"))))?;
            return Ok(Exit::Done);
        }
    };
    if status.problem != Some(problem) {
        print(&format!("not {problem}\n"))?;
        return Ok(Exit::Done);
    }
    print(&format!("{problem}: {}\n", visible(&status.reasons.join("; "))))?;
    Ok(Exit::Differs)
}

fn understand(place: &Place, json: &str) -> Result<Status> {
    serde_json::from_str(json)
        .map_err(|_| ClientError::Strange(place.clone()))
        .context("the status of an agent of another version is not understood here; --format json prints it as it is")
}

/// The status in a few lines.
fn words(status: &Status) -> String {
    let mut text = if status.ready { "ready\n" } else { "not ready\n" }.to_owned();
    let mut line = |name: &str, what: &str| {
        // Writing to a string never fails.
        let _ = writeln!(text, "  {name:<12} {}", visible(what));
    };
    for reason in &status.reasons {
        line("because", reason);
    }
    if let Some(policy) = &status.policy {
        line("policy", &policy.description);
        line("fingerprint", policy.fingerprint.as_deref().unwrap_or("unknown"));
    }
    for diagnostic in &status.file.diagnostics {
        line(&diagnostic.severity, &diagnostic.text);
    }
    if let Some(backend) = &status.backend {
        line("backend", if backend.protected { "nft with protected tables" } else { &backend.name });
    }
    for family in &status.families {
        line(&family.name, &format!("{} listed ranges", family.ranges));
    }
    if let Some(error) = &status.last_error {
        line("last error", &error.text);
    }
    let counters = &status.counters;
    line(
        "passes",
        &format!("{}, of which {} repaired rules, and {} failed", counters.passes, counters.repairs, counters.failures),
    );
    text
}
