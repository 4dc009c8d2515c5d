//! `apply`: one pass over the rules, then the end.

use anyhow::Result;
use tracing::info;

use super::{configuration_or_defaults, print, print_plan, tell_left_undone};
use crate::backend::{NftCompat, preview as preview_of, reconcile};
use crate::cli::Cli;
use crate::exit::Exit;
use crate::net::Family;
use crate::policy::Policy;
use crate::render::iptables_save;
use crate::ruleset::{Shape, compile};

pub(super) fn apply(cli: &Cli, print_rules: bool) -> Result<Exit> {
    let desired = compile(&Policy::new(&configuration_or_defaults(cli)?, &cli.flags), Shape::Compat);
    let outcome = reconcile(&mut NftCompat::open()?, &desired)?;
    tell_left_undone(&outcome);
    match outcome.plan.changes.len() {
        0 => info!("the rules are in force already; nothing was changed"),
        changes => info!("the rules are in force, and were read back: {changes} changes"),
    }
    if print_rules {
        // What was read back equals what was desired, or reconciling would have failed.
        print(&Family::ALL.map(|family| iptables_save(&desired, family)).concat())?;
    } else {
        print_plan(&outcome.plan)?;
    }
    Ok(Exit::Done)
}

/// `apply --dry-run`: prints what would change.
pub(super) fn preview(cli: &Cli) -> Result<Exit> {
    let desired = compile(&Policy::new(&configuration_or_defaults(cli)?, &cli.flags), Shape::Compat);
    let plan = preview_of(&mut NftCompat::open()?, &desired)?;
    match plan.changes.len() {
        0 => info!("the rules are in force already; nothing would be changed"),
        changes => info!("{changes} changes would be made; nothing was changed"),
    }
    print_plan(&plan)?;
    Ok(Exit::Done)
}
