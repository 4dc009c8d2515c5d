//! `run`: the agent.

use std::ffi::OsString;

use anyhow::{Error, Result};
use tokio::runtime::Builder;
use tracing::{info, warn};

use super::keeper;
use crate::agent::{Agent, ConfigFiles, FlowWorker, RunError, Signals, run as run_agent};
use crate::backend::nftables::Monitor;
use crate::backend::nftables::Nftables;
use crate::cli::{self, Cli};
use crate::config::{self, SourcePaths};
use crate::conntrack::{ExistingFlows, KernelFlows};
use crate::exit::Exit;
use crate::runtime::RuntimeDir;
use crate::telemetry::write_in_background;

pub(super) fn run(cli: &Cli, arguments: &[OsString]) -> Result<Exit> {
    // First of all, and before any other thread: what follows may take long, and the process ends in time all the same.
    let signals = Signals::subscribe().map_err(RunError::Sources)?;
    write_in_background().unwrap_or_else(|error| {
        warn!("no thread could be started for the log ({error}); what stderr does not take at once may be lost");
    });
    info!("ip-masq-agent {}", env!("CARGO_PKG_VERSION"));
    if config::is_stdin(&cli.config) {
        return Err(config::ReadError::Stdin.into());
    }
    let backend = Nftables::open()?;
    let monitor = Monitor::open(backend.port()).inspect_err(|error| {
        warn!("changes of the rules by others are noticed at the resync interval only: {error}");
    });
    let mut agent = Agent::new(backend, cli.backend, cli.protect, cli.flags.clone(), keeper(cli));
    if cli.conntrack == ExistingFlows::Fix {
        agent = agent.with_flows(FlowWorker::start(Box::new(KernelFlows)).map_err(RunError::Sources)?);
    }
    if !cli.sandbox {
        RuntimeDir::new(&cli.runtime_dir).announce(cli::lasting_flags(arguments.iter().cloned()), &cli.config);
    }
    // One thread is enough for a loop that sleeps, and makes the order of things plain.
    let runtime = Builder::new_current_thread().enable_io().enable_time().build().map_err(|error| {
        let told = format!("could not make the loop that waits for events: {error}");
        Error::new(error).context(told)
    })?;
    let files = ConfigFiles::new(SourcePaths::one(&cli.config), config::Context::from(&cli.flags));
    runtime.block_on(run_agent(agent, files, monitor.ok(), signals))?;
    Ok(Exit::Done)
}
