//! The loop around the passes: waits for an event, makes a pass, tells what is new.

use std::io;
use std::path::Path;
use std::time::Duration;

use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::watch::ConfigWatch;
use super::{Agent, Event, narrate::Narrator};
use crate::backend::{Backend, BackendError, FitError, ReconcileError};

/// How long a file that has vanished may take to come back before its absence counts: editors and copying tools delete
/// and create, and the defaults must not be in force for that moment.
const GRACE_FOR_A_MISSING_FILE: Duration = Duration::from_millis(500);

/// Why the agent could not go on.
#[derive(Debug, Error)]
pub enum RunError {
    /// Signals could not be subscribed to.
    #[error("could not subscribe to signals: {0}")]
    Signals(#[from] io::Error),
    /// The capability is missing; no later pass would fare better.
    #[error(transparent)]
    Denied(BackendError),
}

/// Runs the agent until SIGTERM or SIGINT. The rules stay when it ends.
///
/// # Errors
///
/// [`RunError`], for what cannot get better by waiting.
pub async fn run<B: Backend>(mut agent: Agent<B>, path: &Path) -> Result<(), RunError> {
    let mut signals = Signals::subscribe()?;
    let mut watch = Watch { inner: ConfigWatch::new(path), complaint: None };
    let mut narrator = Narrator::default();
    let mut event = Event::Start;
    loop {
        debug!("{event:?}");
        // Watched first, read after: a change in between leads to another event.
        watch.refresh();
        let pass = agent.pass();
        narrator.tell(&pass, path, agent.config());
        match pass.rules {
            Err(FitError::Reconcile(ReconcileError::Backend(error))) if error.is_denied() => {
                return Err(RunError::Denied(error));
            }
            _ => {}
        }
        let next_tick = Instant::now() + agent.resync_interval();
        let next = tokio::select! {
            biased;
            _ = signals.terminate.recv() => None,
            _ = signals.interrupt.recv() => None,
            _ = signals.hangup.recv() => Some(Event::Reload),
            () = watch.changed(path) => Some(Event::ConfigChanged),
            () = sleep_until(next_tick) => Some(Event::Tick),
        };
        let Some(next) = next else {
            info!(
                "ending, as SIGTERM or SIGINT asks; the rules stay in force (`ip-masq-agent cleanup` takes them out)"
            );
            return Ok(());
        };
        event = next;
    }
}

/// The watch on the file, which tells of its own failure once.
struct Watch {
    inner: ConfigWatch,
    complaint: Option<String>,
}

impl Watch {
    fn refresh(&mut self) {
        let complaint = self.inner.refresh().err().map(|error| error.to_string());
        if complaint != self.complaint {
            if let Some(complaint) = &complaint {
                warn!("{complaint}");
            } else {
                info!("changes of the configuration file are heard at once again");
            }
        }
        self.complaint = complaint;
    }

    async fn changed(&mut self, path: &Path) {
        self.inner.changed().await;
        if !path.exists() {
            self.refresh();
            let _ = timeout(GRACE_FOR_A_MISSING_FILE, self.inner.changed()).await;
        }
    }
}

struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn subscribe() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }
}
