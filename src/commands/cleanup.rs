//! `cleanup`: takes our rules out, and nothing else.

use anyhow::Result;
use tracing::info;

use super::{plan_text, print, print_done, tell_partial, tell_worries};
use crate::backend::nftables::Cache;
use crate::backend::nftables::Nftables;
use crate::backend::{preview, reconcile};
use crate::cli::Cli;
use crate::exit::Exit;
use crate::rules::Ruleset;
use crate::text::counted;

pub(super) fn cleanup(cli: &Cli, dry_run: bool) -> Result<Exit> {
    let nothing = Ruleset::nothing(cli.flags.chain.clone());
    let mut backend = Nftables::open()?;
    if dry_run {
        let plan = preview(&mut backend, &nothing)?;
        info!("{} would be made; nothing was changed", counted(plan.changes.len(), "change"));
        print(&plan_text(&plan))?;
        return Ok(Exit::Done);
    }
    let outcome =
        reconcile(&mut backend, &nothing, &mut Cache::default()).inspect_err(|error| tell_partial(error.partial()))?;
    tell_worries(&outcome);
    match outcome.plan.changes.len() {
        0 => info!("there is nothing of ours in the kernel; nothing was changed"),
        changes => info!("our rules are gone: {}", counted(changes, "change")),
    }
    print_done(&plan_text(&outcome.plan));
    Ok(Exit::Done)
}
