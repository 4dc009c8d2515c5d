//! `status`: what the running agent says of the node.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use thiserror::Error;

use super::print;
use crate::cli::{Check, Cli, StatusFormat};
use crate::exit::Exit;
use crate::health::Status;
use crate::http::{ClientError, SocketPath, ask};
use crate::text::visible;

/// It is not known whom to ask.
#[derive(Debug, Error)]
#[error(
    "no agent that can be asked is known to run here; start it with --status-socket PATH, or name its socket so, if it runs \
     with another --runtime-dir"
)]
pub(super) struct NoAgent;

pub(super) fn status(cli: &Cli, check: Option<Check>, format: StatusFormat) -> Result<Exit> {
    let socket = cli.listen.socket.as_ref().ok_or(NoAgent)?;
    let Some(check) = check else {
        let json = ask(socket, "/status")?.body;
        print(&match format {
            StatusFormat::Json => json,
            StatusFormat::Text => words(&understand(socket, &json)?),
        })?;
        return Ok(Exit::Done);
    };
    let (path, what) = match check {
        Check::Live => ("/livez", "live"),
        Check::Ready => ("/readyz", "ready"),
    };
    let asked = ask(socket, path)?;
    if asked.is_good {
        print(&format!("{what}\n"))?;
        return Ok(Exit::Done);
    }
    // A probe's event shows the first line.
    let reasons: Vec<&str> = asked.body.lines().collect();
    print(&format!("not {what}: {}\n", visible(&reasons.join("; "))))?;
    Ok(Exit::Differs)
}

fn understand(socket: &SocketPath, json: &str) -> Result<Status> {
    serde_json::from_str(json)
        .map_err(|_| ClientError::Strange(socket.clone()))
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
