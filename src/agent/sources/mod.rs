//! Everything that can wake the agent, as one source of events.

mod rules;
mod signals;
mod timer;

use std::future;
use std::io;
use std::os::fd::AsRawFd;
use std::time::Instant;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::debug;

use super::ConfigFiles;
use super::event::{Event, Wait};
use super::file_thread::FileThread;
use super::flow_worker::{FlowReport, FlowWorker};
use super::state_writes::StateWrites;
use crate::backend::{ChangeSource, Heard};
use crate::report::Reports;
use rules::RulesWatch;
use signals::Asked;
pub use signals::Signals;
use timer::Alarm;

/// All that can wake the agent.
pub(super) struct Sources {
    signals: Signals,
    pub(super) file: FileThread,
    rules: RulesWatch,
    flows: Option<UnboundedReceiver<FlowReport>>,
    alarm: Alarm,
    /// Saves that are under way or wait.
    pub(super) state: StateWrites,
    deaf_until: Option<Instant>,
}

impl Sources {
    pub(super) fn open(files: ConfigFiles, signals: Signals, flows: Option<&mut FlowWorker>) -> io::Result<Self> {
        Ok(Self {
            signals,
            file: FileThread::start(files)?,
            rules: RulesWatch::default(),
            flows: flows.and_then(FlowWorker::reports),
            alarm: Alarm::new()?,
            state: StateWrites::default(),
            deaf_until: None,
        })
    }

    /// Sets the alarm, and until when others' commits are not listened to.
    pub(super) fn wait(&mut self, wait: Wait) -> io::Result<()> {
        self.deaf_until = wait.deaf_until;
        self.alarm.set(wait.alarm.saturating_duration_since(Instant::now()))
    }

    /// Whether others' commits are listened to.
    pub(super) const fn hears_others(&self) -> bool {
        self.rules.is_listening()
    }

    /// Listens to others' commits by this source. If the event loop cannot wait for it, the next pass tries again.
    pub(super) fn listen(&mut self, changes: ChangeSource) {
        if let Err(error) = self.rules.listen(changes) {
            debug!(
                event = "rules_not_watched",
                error = %error,
                "the event loop cannot wait for changes of the rules by others: {error}"
            );
        }
    }

    /// What was heard of others' commits since the last time.
    pub(super) fn heard(&mut self) -> Heard {
        self.rules.take()
    }

    /// The next thing that happens. In the meantime the service manager is told what it had no room for.
    pub(super) async fn next(&mut self, reports: &mut Reports) -> io::Result<Event> {
        Ok(tokio::select! {
            biased;
            asked = self.signals.next() => match asked {
                Asked::Reload => Event::Reload,
                Asked::Stop => Event::Stop,
            },
            answer = self.file.answered() => Event::File(answer),
            due = self.alarm.due() => {
                due?;
                Event::Alarm
            }
            report = self.state.news() => Event::Save(report),
            Some(report) = ended(self.flows.as_mut()) => Event::FlowsEnded(report),
            heard = self.rules.changed(self.deaf_until) => Event::RulesChanged(heard),
            never = reports.manager().catch_up() => match never {},
        })
    }
}

/// The next report of a job over flows; pending if flows are left alone.
async fn ended(flows: Option<&mut UnboundedReceiver<FlowReport>>) -> Option<FlowReport> {
    match flows {
        Some(reports) => reports.recv().await,
        None => future::pending().await,
    }
}

/// Lets the event loop wait for `inner`, which owns the descriptor that it names, and keeps it for its life.
pub(super) fn readable<T: AsRawFd>(inner: T) -> io::Result<AsyncFd<T>> {
    ready_for(inner, Interest::READABLE)
}

/// The same for other readiness than being readable.
#[expect(
    deprecated,
    reason = "its successor is unsafe, for types that do not own the descriptor that they name; those used here do"
)]
pub(super) fn ready_for<T: AsRawFd>(inner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(inner, interest)
}
