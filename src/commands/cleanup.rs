//! `cleanup`: takes our rules out, and nothing else.

use anyhow::Result;
use tracing::info;

use super::{changes_text, print, print_done, tell_partial, tell_worries};
use crate::agent::Signals;
use crate::backend::{Nftables, ReconcileOptions, preview as plan, reconcile};
use crate::cli::Cli;
use crate::exit::Exit;
use crate::rules::Ruleset;
use crate::text::counted;

/// Prints what would go.
pub(super) fn preview(cli: &Cli) -> Result<Exit> {
    let changes = plan(&mut Nftables::open()?, &nothing(cli), &ReconcileOptions::default())?.changes;
    let told = counted(changes.len(), "change");
    info!(event = "changes_planned", changes = changes.len(), "{told} would be made; nothing was changed");
    print(&changes_text(&changes))?;
    Ok(Exit::Done)
}

pub(super) fn cleanup(cli: &Cli, wait: bool) -> Result<Exit> {
    let outcome = reconcile(&mut Nftables::open()?, &nothing(cli), &ReconcileOptions::default())
        .inspect_err(|error| tell_partial(error.partial()))?;
    tell_worries(&outcome);
    match outcome.changes.len() {
        0 => info!(event = "rules_absent", "there is nothing of ours in the kernel; nothing was changed"),
        changes => info!(event = "rules_removed", changes, "our rules are gone: {}", counted(changes, "change")),
    }
    print_done(&changes_text(&outcome.changes));
    if wait {
        info!(event = "waiting", "nothing is left to do; waiting for SIGTERM or SIGINT (--wait)");
        Signals::wait_for_end();
    }
    Ok(Exit::Done)
}

/// What shall be left of our rules.
fn nothing(cli: &Cli) -> Ruleset {
    Ruleset::nothing(cli.flags.chain.clone())
}
