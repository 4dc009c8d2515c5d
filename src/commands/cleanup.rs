//! `cleanup`: takes our rules out, and nothing else.

use anyhow::Result;
use tracing::info;

use super::{changes_text, print, print_done, tell_partial, tell_worries};
use crate::backend::{Nftables, ReconcileOptions, preview, reconcile};
use crate::cli::Cli;
use crate::exit::Exit;
use crate::rules::Ruleset;
use crate::text::counted;

pub(super) fn cleanup(cli: &Cli, dry_run: bool) -> Result<Exit> {
    let nothing = Ruleset::nothing(cli.flags.chain.clone());
    let (mut backend, options) = (Nftables::open()?, ReconcileOptions::default());
    if dry_run {
        let changes = preview(&mut backend, &nothing, &options)?.changes;
        let told = counted(changes.len(), "change");
        info!(event = "changes_planned", changes = changes.len(), "{told} would be made; nothing was changed");
        print(&changes_text(&changes))?;
        return Ok(Exit::Done);
    }
    let outcome = reconcile(&mut backend, &nothing, &options).inspect_err(|error| tell_partial(error.partial()))?;
    tell_worries(&outcome);
    match outcome.changes.len() {
        0 => info!(event = "rules_absent", "there is nothing of ours in the kernel; nothing was changed"),
        changes => info!(event = "rules_removed", changes, "our rules are gone: {}", counted(changes, "change")),
    }
    print_done(&changes_text(&outcome.changes));
    Ok(Exit::Done)
}
