//! One file a verb: wires the edges, calls the core, prints. Data goes to stdout, words go to stderr.

mod apply;
mod cleanup;
mod explain;
mod remembered;
mod render;
mod run;

use std::io::{self, Write};

use anyhow::{Error, Result};
use tracing::{error, info, warn};

use crate::backend::{Fitted, Outcome};
use crate::cli::{Cli, Verb};
use crate::config::{self, Config, Context, ReadError, Warning};
use crate::exit::Exit;
use crate::netlink::NetlinkError;
use crate::render::plan_lines;
use crate::ruleset::Plan;
use crate::sandbox::{self, SandboxError};

use remembered::{keeper, recall};

/// Does what the command line asks for, and says how it ended.
#[must_use]
pub fn execute(cli: &Cli) -> Exit {
    for odd in &cli.odd {
        warn!("{odd}");
    }
    match enter_sandbox(cli).and_then(|()| call(cli)) {
        Ok(exit) => exit,
        // Whoever reads our output has gone, as `head` does: nothing is wrong.
        Err(error) if is_broken_pipe(&error) => Exit::Done,
        Err(error) => {
            // Every error of ours is a whole sentence, its causes included.
            error!("{error}");
            exit_of(&error)
        }
    }
}

fn call(cli: &Cli) -> Result<Exit> {
    match &cli.verb {
        Verb::Run => run::run(cli),
        Verb::Apply { dry_run: true, .. } => apply::preview(cli),
        Verb::Apply { dry_run: false, print_rules } => apply::apply(cli, *print_rules),
        Verb::Render { format } => render::render(cli, *format),
        Verb::Explain(packet) => explain::explain(cli, packet),
        Verb::Cleanup { dry_run } => cleanup::cleanup(cli, *dry_run),
    }
}

fn enter_sandbox(cli: &Cli) -> Result<()> {
    if cli.sandbox {
        info!("{}", sandbox::enter()?);
    }
    Ok(())
}

/// The configuration of a verb that cannot do without its file. Warnings are told.
fn configuration(cli: &Cli) -> Result<Config> {
    let reading = config::read(&cli.config, &Context::from(&cli.flags))?;
    tell_warnings(cli, &reading.warnings);
    Ok(reading.config)
}

fn tell_warnings(cli: &Cli, warnings: &[Warning]) {
    for warning in warnings {
        warn!("{}", warning.in_file(&cli.config));
    }
}

/// Tells in which shape something was done, and which were tried before.
fn tell_fit<R>(fitted: &Fitted<R>) {
    for refusal in &fitted.refused {
        warn!("backend: {refusal}");
    }
    info!("{}", fitted.choice());
}

/// Prints data to stdout.
fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

fn print_plan(plan: &Plan) -> Result<()> {
    print(&plan_lines(plan).map(|line| line + "\n").collect::<String>())
}

/// Tells what the outcome of a pass leaves to worry about.
fn tell_worries(outcome: &Outcome) {
    for mishap in outcome.mishaps() {
        info!("{mishap}");
    }
    for undone in outcome.left_undone() {
        warn!("{undone}");
    }
    for rivalry in &outcome.rivalries {
        warn!("{rivalry}");
    }
}

fn is_broken_pipe(error: &Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The exit status for what a verb failed of.
fn exit_of(error: &Error) -> Exit {
    let mut causes = error.chain();
    if error.is::<ReadError>() {
        Exit::Configuration
    } else if error.is::<SandboxError>()
        || causes.any(|cause| matches!(cause.downcast_ref(), Some(NetlinkError::Denied)))
    {
        Exit::NotPermitted
    } else {
        Exit::Kernel
    }
}
