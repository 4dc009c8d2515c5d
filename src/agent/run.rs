//! The loop around the passes: waits for an event, makes a pass, tells what is new.

use std::io;
use std::path::Path;
use std::time::Instant;

use thiserror::Error;
use tracing::{debug, warn};

use super::alarm::Alarm;
use super::file_watch::FileWatch;
use super::narrate::{self, Narrator};
use super::patience::{Finding, News, Patience};
use super::rules_watch::RulesWatch;
use super::signals::Signals;
use super::{Agent, Event, Pass};
use crate::backend::{Backend, BackendError, FitError, ReconcileError};
use crate::netlink::{Monitor, NetlinkSocket};
use crate::telemetry::ServiceManager;

/// Why the agent could not go on.
#[derive(Debug, Error)]
pub enum RunError {
    /// There is no way to hear of signals, of time or of the kernel.
    #[error(
        "could not set up what the agent waits for: {0}; look at the limits of open files and processes (`ulimit -a`)"
    )]
    Sources(#[from] io::Error),
    /// The capability is missing; no later pass would fare better.
    #[error("{0}; the agent ends, and the rules that stand stay as they are")]
    Denied(#[source] BackendError),
}

/// Runs the agent until SIGTERM or SIGINT. The rules stay when it ends. Without a `monitor`, what others do to the rules is
/// found at the resync interval.
///
/// # Errors
///
/// [`RunError`], for what cannot get better by waiting.
pub async fn run<B: Backend>(
    mut agent: Agent<B>,
    path: &Path,
    monitor: Option<Monitor<NetlinkSocket>>,
    signals: Signals,
) -> Result<(), RunError> {
    let mut sources = Sources::open(path, monitor, signals)?;
    let mut narrator = Narrator::default();
    let mut patience = Patience::default();
    let manager = ServiceManager::from_environment().unwrap_or_else(|error| {
        warn!("NOTIFY_SOCKET does not name a socket ({error}); the service manager is told nothing");
        ServiceManager::default()
    });
    let mut status = Status::default();
    let mut event = Event::Start;
    while event != Event::Stop {
        debug!("{event:?}");
        if event == Event::Reload {
            patience.start_afresh();
        }
        let began = Instant::now();
        // Heard first, read after: what happens in between leads to another event.
        if event.concerns_the_file() {
            sources.file.refresh();
        }
        let heard = sources.rules.take();
        agent.count_foreign_commits(heard.commits);
        let pass = agent.pass(event);
        if pass.file_is_away {
            sources.file.wait_for_its_return();
        }
        let finding = finding(&pass);
        match pass.rules {
            // Nothing is in force, and nothing will be tried again: there is only this to tell.
            Err(FitError::Reconcile(ReconcileError::Backend(error))) if error.is_denied() => {
                return Err(RunError::Denied(error));
            }
            _ => narrator.tell(&pass, &heard, path, agent.config()),
        }
        let interval = agent.resync_interval();
        if let Some(news) = patience.learn((began, Instant::now()), finding, heard, interval) {
            if matches!(news, News::Quarrel(_)) {
                agent.count_quarrel();
            }
            narrator.tell_news(&news, agent.config());
        }
        tell_manager(&manager, &mut status, finding, &agent);
        if event.concerns_the_file() {
            sources.tick = Instant::now() + interval;
        }
        event = sources.next(path, &patience).await?;
    }
    manager.stopping();
    narrate::tell_end(&agent.counters());
    Ok(())
}

fn finding(pass: &Pass) -> Finding {
    match &pass.rules {
        Err(FitError::Reconcile(ReconcileError::Unsettled(_))) => Finding::Undone,
        Err(error) if error.is_transient() => Finding::Failed,
        Err(_) => Finding::Stuck,
        Ok(_) if pass.repaired => Finding::Repaired,
        Ok(_) => Finding::InOrder,
    }
}

/// What the service manager was told.
#[derive(Default)]
struct Status {
    is_ready: bool,
    text: String,
}

/// Tells the service manager what is new. The agent is ready once rules were read back as being in force.
fn tell_manager<B: Backend>(manager: &ServiceManager, told: &mut Status, finding: Finding, agent: &Agent<B>) {
    let in_force = matches!(finding, Finding::InOrder | Finding::Repaired);
    let text = if in_force { narrate::summary(agent.config()) } else { "not in force; the log says why".to_owned() };
    if in_force && !told.is_ready {
        manager.ready(&text);
        told.is_ready = true;
    } else if text != told.text {
        manager.status(&text);
    }
    told.text = text;
}

/// All that can wake the agent.
struct Sources {
    signals: Signals,
    file: FileWatch,
    rules: RulesWatch,
    alarm: Alarm,
    /// When the resync interval is over.
    tick: Instant,
}

impl Sources {
    fn open(path: &Path, monitor: Option<Monitor<NetlinkSocket>>, signals: Signals) -> io::Result<Self> {
        Ok(Self {
            signals,
            file: FileWatch::new(path),
            rules: RulesWatch::new(monitor)?,
            alarm: Alarm::new()?,
            tick: Instant::now(),
        })
    }

    /// The next thing that happens.
    async fn next(&mut self, path: &Path, patience: &Patience) -> io::Result<Event> {
        let retry = patience.retry().filter(|retry| *retry < self.tick);
        let due = retry.unwrap_or(self.tick);
        self.alarm.set(due.saturating_duration_since(Instant::now()))?;
        tokio::select! {
            biased;
            event = self.signals.next() => Ok(event),
            event = self.file.changed(path) => Ok(event),
            result = self.alarm.due() => result.map(|()| if retry.is_some() { Event::Retry } else { Event::Tick }),
            () = self.rules.changed(patience.not_before()) => Ok(Event::RulesChanged),
        }
    }
}
