//! `apply`: one pass over the rules, then the end.

use anyhow::Result;
use tracing::info;

use super::{configuration_or_defaults, open, print, print_plan, tell_worries};
use crate::backend::{preview as preview_of, reconcile};
use crate::cli::Cli;
use crate::exit::Exit;
use crate::net::Family;
use crate::policy::Policy;
use crate::render::{iptables_save, nft};
use crate::ruleset::{Shape, compile};

pub(super) fn apply(cli: &Cli, print_rules: bool) -> Result<Exit> {
    let policy = Policy::new(&configuration_or_defaults(cli)?, &cli.flags);
    let (mut backend, shape) = open(cli)?;
    let desired = compile(&policy, shape);
    let outcome = reconcile(&mut backend, &desired)?;
    tell_worries(&outcome);
    match outcome.plan.changes.len() {
        0 => info!("the rules are in force already; nothing was changed"),
        changes => info!("the rules are in force, and were read back: {changes} changes"),
    }
    if print_rules {
        // What was read back equals what was desired, or reconciling would have failed.
        print(&match shape {
            Shape::Compat => Family::ALL.map(|family| iptables_save(&desired, family)).concat(),
            Shape::Native(_) => nft(&desired),
        })?;
    } else {
        print_plan(&outcome.plan)?;
    }
    Ok(Exit::Done)
}

/// `apply --dry-run`: prints what would change.
pub(super) fn preview(cli: &Cli) -> Result<Exit> {
    let policy = Policy::new(&configuration_or_defaults(cli)?, &cli.flags);
    let (mut backend, shape) = open(cli)?;
    let plan = preview_of(&mut backend, &compile(&policy, shape))?;
    match plan.changes.len() {
        0 => info!("the rules are in force already; nothing would be changed"),
        changes => info!("{changes} changes would be made; nothing was changed"),
    }
    print_plan(&plan)?;
    Ok(Exit::Done)
}
