//! `apply`: one pass over the rules, then the end.

use std::sync::atomic::AtomicBool;

use std::time::Duration;

use anyhow::{Error, Result};
use tracing::{info, warn};

use super::{
    keeper, plan_text, print, print_done, recall, tell_errors, tell_fit, tell_partial, tell_warnings, tell_worries,
};
use crate::backend::Selection;
use crate::backend::nftables::Nftables;
use crate::cli::Cli;
use crate::config::{self, Config, Context, ReadError, Reading, SourcePaths, SourceSet};
use crate::conntrack::{Before, Decisions};
use crate::conntrack::{ExistingFlows, FixFlows as _, KernelFlows};
use crate::exit::Exit;
use crate::last_good::{Basis, InForce};
use crate::net::Family;
use crate::policy::Policy;
use crate::rules::render::{iptables_save, nft};
use crate::rules::{Layout, Ruleset, compile};
use crate::text::counted;

/// So long `apply` waits for the disk.
const SAVING: Duration = Duration::from_secs(5);

pub(super) fn apply(cli: &Cli, print_rules: bool) -> Result<Exit> {
    let mut basis = Basis::new(&cli.flags, keeper(cli));
    let (policy, exit) = choose(cli, &mut basis)?;
    let compile = |layout| ruleset(&policy, &basis, layout);
    let mut selection = Selection::new(cli.backend, cli.protect, &compile);
    let selected =
        selection.reconcile(&mut Nftables::open()?, &compile).inspect_err(|error| tell_partial(error.partial()))?;
    let kept = &selected.result.kept;
    basis.settle(kept);
    tell_fit(&selected);
    tell_worries(&selected.result);
    let plan = &selected.result.plan;
    match plan.changes.len() {
        0 => info!("the rules are in force already; nothing was changed"),
        changes => info!("the rules are in force, and were read back: {}", counted(changes, "change")),
    }
    let holding = basis.holding();
    if holding.is_degraded() {
        warn!("in force: {holding}");
    }
    if let Some(Err(error)) = basis.keep().map(|save| save.run(SAVING)) {
        warn!("the configuration in force is not kept for the next start: {error} (look at --state-dir)");
    }
    let follow = cli.conntrack == ExistingFlows::Fix && kept.is_empty() && plan.concerns_packets();
    let flows = if follow { fix_flows(&policy) } else { Ok(()) };
    // Last of all, as it may wait for whoever reads it.
    print_done(&if print_rules {
        // What was read back equals what was desired, or reconciling would have failed; but for what was kept.
        let mut ruleset = selection.ruleset().clone();
        ruleset.tables.retain(|table| !kept.contains(&table.id.family));
        match selected.layout {
            Layout::IptablesNat => Family::ALL.map(|family| iptables_save(&ruleset, family)).concat(),
            Layout::OwnTable(_) => nft(&ruleset),
        }
    } else {
        plan_text(plan)
    });
    flows.map(|()| exit)
}

/// Under which rules the flows began, only the process knows that wrote those.
fn fix_flows(policy: &Policy) -> Result<()> {
    let never = AtomicBool::new(false);
    let fixed = KernelFlows.fix(&Before::Unknown, &Decisions::of(policy), &never).map_err(|error| {
        let told = format!("the rules are in force, but flows that began before may not follow them: {error}");
        Error::new(error).context(told)
    })?;
    info!("{fixed}");
    Ok(())
}

/// `apply --dry-run`: prints what would change.
pub(super) fn preview(cli: &Cli) -> Result<Exit> {
    let mut basis = Basis::new(&cli.flags, recall(cli));
    let (policy, exit) = choose(cli, &mut basis)?;
    let compile = |layout| ruleset(&policy, &basis, layout);
    let selected = Selection::new(cli.backend, cli.protect, &compile).preview(&mut Nftables::open()?, &compile)?;
    tell_fit(&selected);
    match selected.result.changes.len() {
        0 => info!("the rules are in force already; nothing would be changed"),
        changes => info!("{} would be made; nothing was changed", counted(changes, "change")),
    }
    if selected.result.more {
        info!("more changes would follow in a commit of their own, so that no packet meets half of them");
    }
    print(&plan_text(&selected.result))?;
    Ok(exit)
}

/// What is to be applied, and with which status that ends. As for upstream, a missing file means the defaults.
fn choose(cli: &Cli, basis: &mut Basis) -> Result<(Policy, Exit)> {
    let context = Context::from(&cli.flags);
    let understand = |sources: SourceSet| match basis.missed(&sources) {
        Some(path) => Err(ReadError::Missing(path.to_owned())),
        None => Ok((config::understand(&sources, &context)?, sources)),
    };
    let (config, exit) = match SourceSet::load_once(&SourcePaths::one(&cli.config)).and_then(understand) {
        Ok((Reading { config, warnings }, sources)) => {
            if sources.is_absent() {
                info!("{} does not exist: the flags' defaults are applied", sources.paths());
            }
            tell_warnings(&sources.paths(), &warnings);
            basis.choose(sources);
            (config, Exit::Done)
        }
        Err(error) => (without_file(cli, basis, error)?, Exit::Configuration),
    };
    Ok((Policy::new(&config, &cli.flags), exit))
}

/// The last valid configuration of before, if there is one, instead of a file that cannot be used.
fn without_file(cli: &Cli, basis: &mut Basis, error: ReadError) -> Result<Config> {
    let (instead, config) = basis.fall_back(&error, &Context::from(&cli.flags));
    let Some(config) = config.filter(|_| basis.source() == Some(InForce::LastKnownGood)) else {
        let told = format!("{error}{instead}; nothing was changed");
        return Err(Error::new(error).context(told));
    };
    let told =
        format!("{error}{instead}; rules that stand stay, and the last valid configuration fills what is missing");
    tell_errors(&told);
    Ok(config)
}

/// What shall be in the kernel when the process has ended.
fn ruleset(policy: &Policy, basis: &Basis, layout: Layout) -> Ruleset {
    Ruleset { keep_standing: basis.keep_standing().to_vec(), ..compile(policy, layout) }
}
