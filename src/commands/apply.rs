//! `apply`: one pass over the rules, then the end.

use anyhow::{Error, Result};
use tracing::info;

use super::{configuration_or_defaults, print, print_plan, tell_fit, tell_worries};
use crate::backend::{ExistingFlows, Fitting, FixFlows as _, KernelFlows, Nftables};
use crate::cli::Cli;
use crate::exit::Exit;
use crate::flows::{Before, Decisions};
use crate::net::Family;
use crate::policy::Policy;
use crate::render::{iptables_save, nft};
use crate::ruleset::{Shape, compile};

pub(super) fn apply(cli: &Cli, print_rules: bool) -> Result<Exit> {
    let policy = Policy::new(&configuration_or_defaults(cli)?, &cli.flags);
    let compile = |shape| compile(&policy, shape);
    let mut fitting = Fitting::new(cli.backend, cli.protect, &compile);
    let fitted = fitting.reconcile(&mut Nftables::open()?, &compile)?;
    tell_fit(&fitted);
    tell_worries(&fitted.result);
    let plan = &fitted.result.plan;
    match plan.changes.len() {
        0 => info!("the rules are in force already; nothing was changed"),
        changes => info!("the rules are in force, and were read back: {changes} changes"),
    }
    if print_rules {
        // What was read back equals what was desired, or reconciling would have failed.
        let ruleset = fitting.ruleset();
        print(&match fitted.shape {
            Shape::Compat => Family::ALL.map(|family| iptables_save(ruleset, family)).concat(),
            Shape::Native(_) => nft(ruleset),
        })?;
    } else {
        print_plan(plan)?;
    }
    if cli.conntrack == ExistingFlows::Fix && plan.concerns_packets() {
        // Under which rules the flows began, only the process knows that wrote those.
        let fixed = KernelFlows.fix(&Before::Unknown, &Decisions::of(&policy)).map_err(|error| {
            let told = format!("the rules are in force, but flows that began before may not follow them: {error}");
            Error::new(error).context(told)
        })?;
        info!("{fixed}");
    }
    Ok(Exit::Done)
}

/// `apply --dry-run`: prints what would change.
pub(super) fn preview(cli: &Cli) -> Result<Exit> {
    let policy = Policy::new(&configuration_or_defaults(cli)?, &cli.flags);
    let compile = |shape| compile(&policy, shape);
    let fitted = Fitting::new(cli.backend, cli.protect, &compile).preview(&mut Nftables::open()?, &compile)?;
    tell_fit(&fitted);
    match fitted.result.changes.len() {
        0 => info!("the rules are in force already; nothing would be changed"),
        changes => info!("{changes} changes would be made; nothing was changed"),
    }
    if fitted.result.more {
        info!("more changes would follow in a commit of their own, so that no packet meets half of them");
    }
    print_plan(&fitted.result)?;
    Ok(Exit::Done)
}
