//! `apply`: one pass over the rules, then the end.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Error, Result};
use tracing::{info, warn};

use super::store::{look_into_store, open_store};
use super::{changes_text, print, print_done, tell_errors, tell_partial, tell_selection, tell_warnings, tell_worries};
use crate::backend::{Backends, ReconcileOptions, Selection};
use crate::cli::Cli;
use crate::config::{self, Context, SourcePaths, SourceSet};
use crate::conntrack::{Before, Decisions, ExistingFlows, FixFlows as _, KernelFlows};
use crate::exit::Exit;
use crate::last_good::{self, ActiveConfig, Fallback, FileStatus, LastGoodStore};
use crate::net::Family;
use crate::policy::Policy;
use crate::rules::render::{iptables_save, nft};
use crate::rules::{Layout, compile};
use crate::runtime::RuntimeDir;
use crate::text::counted;

/// So long `apply` waits for the disk.
const SAVING: Duration = Duration::from_secs(5);

pub(super) fn apply(cli: &Cli, print_rules: bool) -> Result<Exit> {
    let mut store = open_store(cli);
    let (active, exit) = choose(cli, &mut store)?;
    let policy = Policy::new(active.config(), &cli.flags);
    let compile = |layout| compile(&policy, layout);
    let mut selection = Selection::new(Backends::of_this_namespace(), cli.backend, cli.protect, &compile);
    // In the sandbox the rules end with the process.
    let runtime_dir = (!cli.sandbox).then(|| RuntimeDir::new(&cli.runtime_dir));
    if let Some(memory) = runtime_dir.as_ref().and_then(RuntimeDir::remembered) {
        selection.recall(&memory);
    }
    let selected =
        selection.reconcile(&options(&active), &compile).inspect_err(|error| tell_partial(error.partial()))?;
    let left_standing = &selected.result.left_standing;
    let active = active.clone().settle(left_standing);
    tell_selection(&selected);
    tell_worries(&selected.result);
    match selected.result.changes.len() {
        0 => info!(event = "rules_in_force", "the rules are in force already; nothing was changed"),
        changes => {
            let told = counted(changes, "change");
            info!(event = "rules_changed", changes, "the rules are in force, and were read back: {told}");
        }
    }
    if active.is_degraded() {
        warn!(event = "degraded", active = active.name(), "in force: {active}");
    }
    if let Some((dir, memory)) = runtime_dir.zip(selection.remember()) {
        dir.remember(&memory);
    }
    if let Some(Err(error)) = store.due().map(|save| save.run(SAVING)) {
        warn!(
            event = "config_not_saved",
            error = %error,
            "the configuration in force is not saved for the next start: {error} (look at --state-dir)"
        );
    }
    let follow = cli.conntrack == ExistingFlows::Fix && left_standing.is_empty() && selected.result.affects_packets();
    let flows = if follow { fix_flows(&policy) } else { Ok(()) };
    // Last of all, as printing may wait for a reader.
    print_done(&if print_rules {
        // What was read back equals what was desired, or reconciling would have failed; but for what was left standing.
        let mut ruleset = selection.ruleset().clone();
        ruleset.tables.retain(|table| !left_standing.contains(&table.id.family));
        match selected.layout {
            Layout::IptablesNat => Family::ALL.map(|family| iptables_save(&ruleset, family)).concat(),
            Layout::OwnTable(_) => nft(&ruleset),
        }
    } else {
        changes_text(&selected.result.changes)
    });
    flows.map(|()| exit)
}

/// Under which rules the flows began is not known here: another process applied those.
fn fix_flows(policy: &Policy) -> Result<()> {
    let never = AtomicBool::new(false);
    let fixed = KernelFlows.fix(&Before::Unknown, &Decisions::of(policy), &never).map_err(|error| {
        let told = format!("the rules are in force, but flows that began before may not follow them: {error}");
        Error::new(error).context(told)
    })?;
    info!(event = "flows_deleted", flows = %fixed, "{fixed}");
    Ok(())
}

/// `apply --dry-run`: prints what would change.
pub(super) fn preview(cli: &Cli) -> Result<Exit> {
    let (active, exit) = choose(cli, &mut look_into_store(cli))?;
    let policy = Policy::new(active.config(), &cli.flags);
    let compile = |layout| compile(&policy, layout);
    let mut selection = Selection::new(Backends::of_this_namespace(), cli.backend, cli.protect, &compile);
    let selected = selection.preview(&options(&active), &compile)?;
    tell_selection(&selected);
    match selected.result.changes.len() {
        0 => info!(event = "rules_in_force", "the rules are in force already; nothing would be changed"),
        changes => {
            let told = counted(changes, "change");
            info!(event = "changes_planned", changes, "{told} would be made; nothing was changed");
        }
    }
    if selected.result.more {
        info!(
            event = "more_changes_planned",
            "more changes would follow in a commit of their own, so that no packet meets half of them"
        );
    }
    print(&changes_text(&selected.result.changes))?;
    Ok(exit)
}

/// What is to be applied, and with which status that ends. A missing file means the defaults, as for upstream.
fn choose(cli: &Cli, store: &mut LastGoodStore) -> Result<(ActiveConfig, Exit)> {
    let paths = SourcePaths::one(&cli.config);
    let understand = |sources: SourceSet| Ok((config::understand(&sources, &Context::from(&cli.flags))?, sources));
    let files = SourceSet::load_once(&paths).and_then(understand);
    let (active, status) = last_good::choose(None, files, &cli.flags, store);
    let exit = match status {
        FileStatus::Valid(warnings) => {
            tell_warnings(&paths, &warnings);
            Exit::Done
        }
        FileStatus::Missing => {
            info!(event = "config_absent", file = %paths, "{paths} does not exist: the flags' defaults are applied");
            Exit::Done
        }
        FileStatus::Unusable { error, notes } => {
            let notes = notes.unwrap_or_default();
            // Defaults that no operator chose are not applied.
            if matches!(&active, ActiveConfig::KernelRules { fallback: Fallback::Defaults(_), .. }) {
                let told = format!("{error}{notes}; nothing was changed");
                return Err(Error::new(error).context(told));
            }
            tell_errors(&format!(
                "{error}{notes}; rules that stand stay, and the last valid configuration fills what is missing"
            ));
            Exit::Configuration
        }
    };
    Ok((active, exit))
}

fn options(active: &ActiveConfig) -> ReconcileOptions {
    ReconcileOptions { keep_standing: active.standing().to_vec(), ..ReconcileOptions::default() }
}
