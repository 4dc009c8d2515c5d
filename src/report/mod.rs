//! What the agent reports, and who takes it: the log, the service manager, and further observers behind queues.

mod log;
mod manager_address;
mod notify;
mod pass;
mod queue;
mod status;

use std::io;
use std::sync::Arc;

use crate::config::{Duration, SourcePaths};
use crate::conntrack::{ConntrackError, Fixed};
use crate::last_good::SaveError;

pub(crate) use log::LogOnce;
pub use log::LogReporter;
pub use manager_address::ManagerAddress;
pub use notify::ServiceManager;
pub use pass::{
    BackendReport, Cause, ConflictNews, Counters, Failure, LastInForce, PassReport, PassResult, RulesReport,
};

/// Something that the agent reports.
#[derive(Debug)]
pub enum Report {
    /// A pass over the rules.
    Pass(Box<PassReport>),
    /// The flows that began under another policy were looked at.
    Flows {
        /// How many were deleted, or why not.
        result: Result<Fixed, ConntrackError>,
        /// The resync interval, within which a failure is followed by another attempt.
        interval: Duration,
    },
    /// Whether the configuration in force is saved for the next start.
    Save(SaveReport),
    /// The operator asked for a reload (SIGHUP), and it begins. Another one may begin before it has ended.
    Reloading,
    /// All reloads that have begun have ended.
    Reloaded {
        /// Whether the files were read; if not, their file system did not answer in time.
        is_answered: bool,
    },
    /// The agent ends, as a signal asked for. This was done since its start.
    Stopping(Counters),
}

/// Whether the configuration in force is saved for the next start.
#[derive(Debug)]
pub enum SaveReport {
    /// The save has ended: with whether anything was written, as it may have been saved already.
    Ended(Result<bool, SaveError>),
    /// It takes long, and goes on.
    Slow(SaveError),
}

/// Takes reports, each once, in their order.
pub trait Observer {
    /// Takes a report. Before it, `dropped` reports were dropped because the observer was too slow.
    fn observe(&mut self, report: &Report, dropped: u64);
}

/// All who take reports.
///
/// Publishing waits for none of them. The log and the service manager are served right away, because neither of them
/// waits: a log line goes to a queue that drops and counts what it has no room for, and the service manager's socket
/// does not block. All others have a thread and a bounded queue.
#[derive(Debug)]
pub struct Reports {
    log: LogReporter,
    manager: ServiceManager,
    queues: Vec<Arc<queue::Queue>>,
}

impl Reports {
    /// For the log, which names the configuration files at these paths, and for the service manager.
    #[must_use]
    pub const fn new(config: SourcePaths, manager: ServiceManager) -> Self {
        Self { log: LogReporter::new(config), manager, queues: Vec::new() }
    }

    /// Adds an observer, on a thread of its own, where it may block. If it is too slow it misses the oldest of those
    /// that wait for it. The thread lives as long as the process.
    ///
    /// # Errors
    ///
    /// If the thread cannot be started.
    pub fn add(&mut self, name: &str, observer: Box<dyn Observer + Send>) -> io::Result<()> {
        self.queues.push(queue::start(name, observer)?);
        Ok(())
    }

    /// Gives a report to all who take them, and waits for none.
    pub(crate) fn publish(&mut self, report: &Arc<Report>) {
        self.log.observe(report, 0);
        self.manager.observe(report, 0);
        for queue in &self.queues {
            queue.put(Arc::clone(report));
        }
    }

    /// The service manager, which may have to be told later what it had no room for.
    pub(crate) const fn manager(&mut self) -> &mut ServiceManager {
        &mut self.manager
    }
}
