//! `run`: the agent.

use std::ffi::OsString;

use anyhow::{Error, Result};
use heap_trim::keep_one_small_heap;
use tokio::runtime::Builder;
use tracing::{info, warn};

use super::store::open_store;
use crate::agent::{Agent, ConfigFiles, FlowWorker, RunError, Signals, run as run_agent};
use crate::backend::Backends;
use crate::cli::{self, Cli};
use crate::config::{self, SourcePaths};
use crate::conntrack::{ExistingFlows, KernelFlows};
use crate::exit::Exit;
use crate::report::{Reports, ServiceManager};
use crate::runtime::RuntimeDir;
use crate::telemetry::write_in_background;

pub(super) fn run(cli: &Cli, arguments: &[OsString]) -> Result<Exit> {
    // Before any other thread: each keeps the heap that it began with.
    keep_one_small_heap();
    // Before any other thread too: what follows may take long, and the process ends in time all the same.
    let signals = Signals::subscribe().map_err(RunError::Sources)?;
    write_in_background().unwrap_or_else(|error| {
        warn!(
            event = "log_without_thread",
            error = %error,
            "no thread could be started for the log ({error}); what stderr does not take at once may be lost"
        );
    });
    let version = env!("CARGO_PKG_VERSION");
    info!(event = "starting", version, "ip-masq-agent {version}");
    if config::is_stdin(&cli.config) {
        return Err(config::ReadError::Stdin.into());
    }
    let store = open_store(cli);
    let flows = match cli.conntrack {
        ExistingFlows::Fix => Some(FlowWorker::start(Box::new(KernelFlows)).map_err(RunError::Sources)?),
        ExistingFlows::Keep => None,
    };
    if !cli.sandbox {
        RuntimeDir::new(&cli.runtime_dir).announce(cli::lasting_flags(arguments.iter().cloned()), &cli.config);
    }
    // One thread is enough for a loop that sleeps, and makes the order of things plain.
    let runtime = Builder::new_current_thread().enable_io().enable_time().build().map_err(|error| {
        let told = format!("could not make the loop that waits for events: {error}");
        Error::new(error).context(told)
    })?;
    let manager = ServiceManager::from_environment().unwrap_or_else(|error| {
        warn!(
            event = "service_manager_unknown",
            error = %error,
            "NOTIFY_SOCKET does not name a socket ({error}); the service manager is told nothing"
        );
        ServiceManager::default()
    });
    let paths = SourcePaths::one(&cli.config);
    let agent = Agent {
        backends: Backends::of_this_namespace(),
        option: cli.backend,
        protect: cli.protect,
        watch_rules: cli.watch_rules,
        flags: cli.flags.clone(),
        store,
        files: ConfigFiles::new(paths.clone(), config::Context::from(&cli.flags)),
        flows,
        signals,
        reports: Reports::new(paths, manager),
    };
    runtime.block_on(run_agent(agent))?;
    Ok(Exit::Done)
}
