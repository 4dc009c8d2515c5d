//! `run`: the agent.

use std::env;
use std::ffi::OsString;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Error, Result};
use heap_trim::keep_one_small_heap;
use tokio::runtime::Builder;
use tracing::{error, info, warn};

use super::store::open_store;
use crate::agent::{Agent, ConfigFiles, FlowWorker, RunError, Signals, run as run_agent};
use crate::backend::Backends;
use crate::cli::{self, Cli};
use crate::config::{self, SourcePaths};
use crate::conntrack::{ExistingFlows, KernelFlows};
use crate::exit::Exit;
use crate::health::{Health, Pulse, Setup, Watchdog};
use crate::http::Listening;
use crate::metrics::{Options, PortScan, Scraper};
use crate::net::Family;
use crate::report::{ManagerAddress, Reports, ServiceManager};
use crate::runtime::RuntimeDir;
use crate::telemetry::write_in_background;

/// The variable with an address of the host.
const HOST_IP: &str = "HOST_IP";

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
    let paths = SourcePaths::one(&cli.config);
    if !cli.sandbox {
        RuntimeDir::new(&cli.runtime_dir).announce(cli::lasting_flags(arguments.iter().cloned()), &cli.config);
    }
    // One thread is enough for a loop that sleeps, and makes the order of things plain.
    let runtime = Builder::new_current_thread().enable_io().enable_time().build().map_err(|error| {
        let told = format!("could not make the loop that waits for events: {error}");
        Error::new(error).context(told)
    })?;
    let manager = ManagerAddress::from_environment().unwrap_or_else(|error| {
        warn!(
            event = "service_manager_unknown",
            error = %error,
            "NOTIFY_SOCKET does not name a socket ({error}); the service manager is told nothing"
        );
        None
    });
    let pulse = Arc::new(Pulse::default());
    if let Some(watchdog) = Watchdog::from_environment(manager.as_ref()) {
        // Without it the manager would end the agent again and again.
        watchdog.start(Arc::clone(&pulse)).map_err(RunError::Sources)?;
    }
    let mut reports = Reports::new(paths.clone(), ServiceManager::new(manager));
    let listening = listen(cli, &paths, &pulse, &mut reports);
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
        reports,
        pulse,
    };
    let ended = runtime.block_on(run_agent(agent));
    if let Some(listening) = listening {
        listening.end();
    }
    ended?;
    Ok(Exit::Done)
}

/// Has the agent's health told to whoever asks. An agent that cannot be asked does all that it does otherwise.
fn listen(cli: &Cli, paths: &SourcePaths, pulse: &Arc<Pulse>, reports: &mut Reports) -> Option<Listening> {
    if !cli.listen.is_wanted() {
        return None;
    }
    let families: Vec<Family> = Family::ALL.into_iter().filter(|family| cli.flags.treats(*family)).collect();
    let source_ports = scan_source_ports(cli, families.clone());
    let setup = Setup { paths: paths.clone(), families, host: host_ip(), started: SystemTime::now() };
    let health = Health::new(setup, Arc::clone(pulse));
    let options = Options { chain: cli.flags.chain.clone(), tells_ranges: cli.metrics_ranges, source_ports };
    let started = reports
        .add("health", Box::new(health.clone()))
        .and_then(|()| cli.listen.clone().start(Scraper::new(health, options)));
    started
        .inspect_err(|error| {
            error!(
                event = "not_listening",
                %error,
                "nobody can ask for the status (--listen, --status-socket): no thread could be started for that ({error}); \
                 the rules are kept all the same"
            );
        })
        .ok()
}

/// Has metrics show how many source ports are in use. Without them the agent shows all else.
fn scan_source_ports(cli: &Cli, families: Vec<Family>) -> Option<PortScan> {
    let started = cli.snat_scan_interval.start(families, &cli.flags.to_ports);
    started.unwrap_or_else(|error| {
        error!(
            event = "snat_scan_failed",
            %error,
            "it is not known how many source ports are in use (--snat-scan-interval): no thread could be started to look \
             ({error}); the rules are kept all the same"
        );
        None
    })
}

/// The host's address, which the manifest takes from `status.hostIP`.
fn host_ip() -> Option<IpAddr> {
    let text = env::var_os(HOST_IP)?;
    let address = text.to_str().and_then(|text| text.parse().ok());
    if address.is_none() {
        warn!(
            event = "host_unknown",
            "{HOST_IP} is no address ({text:?}), so that it is not known whether this is the host's network"
        );
    }
    address
}
