//! The loop around the passes: waits for an event, makes a pass, tells what is new.

use std::future;
use std::io;
use std::time::{Duration, Instant};

use heap_trim::give_back_free_memory;
use thiserror::Error;
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::{debug, warn};

use super::alarm::Alarm;
use super::back_off::{BackOff, ConflictNews, PassResult};
use super::file_thread::{Ask, FileThread};
use super::flow_worker::Report;
use super::narrate::{self, Narrator};
use super::rules_watch::RulesWatch;
use super::signals::Signals;
use super::state_writes::{StateNews, StateWrites};
use super::{Agent, ConfigFiles, Event};
use crate::backend::nftables::Monitor;
use crate::backend::{Backend, SelectError};
use crate::netlink::NetlinkSocket;
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
    Denied(#[source] SelectError),
    /// A service manager waits for rules in force, and without somebody's help they will not come.
    #[error(
        "the start has failed, as the message before says: the rules are not in force, and another attempt would fail alike \
         until that is mended. The agent ends, because the service manager (NOTIFY_SOCKET) would wait for it in vain; the \
         rules that stand stay as they are"
    )]
    NotReady,
}

/// How long a start waits for the file to be looked at. A disk takes a moment; a network file system whose server is away
/// takes until that is back.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// Runs the agent until SIGTERM or SIGINT. The rules stay when it ends. Without a `monitor`, what others do to the rules is
/// found at the resync interval.
///
/// # Errors
///
/// [`RunError`], for what cannot get better by waiting.
pub async fn run<B: Backend>(
    mut agent: Agent<B>,
    files: ConfigFiles,
    monitor: Option<Monitor<NetlinkSocket>>,
    signals: Signals,
) -> Result<(), RunError> {
    let paths = files.paths().clone();
    let mut sources = Sources::open(files, monitor, signals, agent.flow_reports())?;
    let mut narrator = Narrator::default();
    let mut back_off = BackOff::default();
    let mut status = Status::default();
    let mut event = sources.start().await?;
    while event != Event::Stop {
        debug!("{event:?}");
        if event == Event::Reload {
            back_off.start_afresh();
        }
        match event {
            Event::Tick => sources.file.ask(Ask::Resync),
            Event::Reload => sources.file.ask(Ask::Reload),
            _ => {}
        }
        // Heard first, read after: what happens in between leads to another event.
        let heard = sources.rules.take();
        agent.count_foreign_commits(heard.commits);
        let mut pass = agent.pass(event, sources.file.take());
        let result = PassResult::of(&pass);
        let is_partly_in_force = pass.is_partly_in_force();
        match pass.rules {
            // Nothing is in force, and nothing will be tried again: there is only this to tell.
            Err(error) if error.is_denied() => return Err(RunError::Denied(error)),
            _ => narrator.tell(&pass, result, &heard, &paths, agent.config()),
        }
        let is_ready = result.is_in_force() || is_partly_in_force;
        tell_manager(&mut sources.manager, &mut status, is_ready, narrator.status(&pass, agent.config()));
        if event == Event::Start && result == PassResult::Stuck && !is_ready && sources.manager.is_present() {
            return Err(RunError::NotReady);
        }
        if event == Event::ConfigUnchanged {
            narrate::tell_unchanged(&pass, &paths);
        }
        let interval = agent.resync_interval();
        if let Some(news) = back_off.learn(Instant::now(), pass.took, result, heard, interval) {
            if matches!(news, ConflictNews::Started { .. }) {
                agent.count_conflict();
            }
            narrator.tell_conflict(&news, agent.config());
        }
        if let Some(save) = pass.keep.take() {
            sources.state.write(save);
        }
        if event.begins_the_interval() {
            sources.tick = Instant::now() + interval;
        }
        let is_renewed = pass.config.is_some();
        // It has the plan, which may be long.
        drop(pass);
        if is_renewed {
            // Of a long list, reading, planning and reading back have left many times what is kept of it.
            give_back_free_memory();
        }
        event = next_event(&mut sources, &mut back_off, &mut agent, &mut narrator).await?;
    }
    sources.manager.stopping();
    sources.state.leave();
    narrate::tell_end(&agent.counters());
    Ok(())
}

/// The next event that leads to a pass.
async fn next_event<B: Backend>(
    sources: &mut Sources,
    back_off: &mut BackOff,
    agent: &mut Agent<B>,
    narrator: &mut Narrator,
) -> io::Result<Event> {
    loop {
        match sources.next(back_off, agent.verify_at()).await? {
            // While another process owns the table, a pass would come to what the last one came to.
            Woken::For(Event::Retry) if back_off.owned().is_some_and(|table| agent.is_owned_by_another(table)) => {
                back_off.check_owner_later(Instant::now());
            }
            Woken::For(event) => return Ok(event),
            Woken::ByFlows(report) => {
                if let Some(flows) = agent.flows_ended(report) {
                    narrator.tell_flows(&flows, agent.config());
                }
            }
            Woken::ByState(news) => {
                if let StateNews::Ended(result) = &news {
                    agent.kept(result.is_ok());
                }
                narrator.tell_state(&news);
            }
        }
    }
}

/// What the service manager was told.
#[derive(Default)]
struct Status {
    is_ready: bool,
    text: String,
}

/// Tells the service manager what is new. The agent is ready once rules were read back as being in force, be it those of one
/// family: if the manager ended it because of the other, nobody would repair these.
fn tell_manager(manager: &mut ServiceManager, told: &mut Status, is_ready: bool, text: String) {
    if is_ready && !told.is_ready {
        manager.ready(&text);
        told.is_ready = true;
    } else if text != told.text {
        manager.status(&text);
    }
    told.text = text;
}

/// What woke the agent.
enum Woken {
    /// Something that leads to a pass.
    For(Event),
    /// Flows were looked at.
    ByFlows(Report),
    /// There is something to say of what is kept for the next start.
    ByState(StateNews),
}

/// All that can wake the agent.
struct Sources {
    signals: Signals,
    file: FileThread,
    rules: RulesWatch,
    flows: Option<UnboundedReceiver<Report>>,
    alarm: Alarm,
    state: StateWrites,
    manager: ServiceManager,
    /// When the resync interval is over.
    tick: Instant,
}

impl Sources {
    fn open(
        files: ConfigFiles,
        monitor: Option<Monitor<NetlinkSocket>>,
        signals: Signals,
        flows: Option<UnboundedReceiver<Report>>,
    ) -> io::Result<Self> {
        Ok(Self {
            signals,
            file: FileThread::start(files)?,
            rules: RulesWatch::new(monitor)?,
            flows,
            alarm: Alarm::new()?,
            state: StateWrites::default(),
            manager: ServiceManager::from_environment().unwrap_or_else(|error| {
                warn!("NOTIFY_SOCKET does not name a socket ({error}); the service manager is told nothing");
                ServiceManager::default()
            }),
            tick: Instant::now(),
        })
    }

    /// The start, once the file was looked at, or that takes too long; or the end, if that is asked for before.
    async fn start(&mut self) -> io::Result<Event> {
        self.alarm.set(FIRST_LOOK)?;
        loop {
            tokio::select! {
                biased;
                // The look that is waited for is as good as another.
                signal = self.signals.next() => if signal == Event::Stop { return Ok(signal) },
                _ = self.file.answered() => return Ok(Event::Start),
                due = self.alarm.due() => {
                    due?;
                    self.file.give_up_waiting(FIRST_LOOK);
                    return Ok(Event::Start);
                }
            }
        }
    }

    /// The next thing that happens.
    async fn next(&mut self, back_off: &BackOff, verify: Option<Instant>) -> io::Result<Woken> {
        let retry = back_off.retry().map(|at| (at, Event::Retry));
        let verify = verify.map(|at| (at, Event::Verify));
        let timed = [Some((self.tick, Event::Tick)), retry, verify];
        let (due, timed) = timed.into_iter().flatten().min_by_key(|(at, _)| *at).unwrap_or((self.tick, Event::Tick));
        self.alarm.set(due.saturating_duration_since(Instant::now()))?;
        let event = tokio::select! {
            biased;
            event = self.signals.next() => event,
            event = self.file.answered() => event,
            due = self.alarm.due() => {
                due?;
                timed
            }
            news = self.state.news() => return Ok(Woken::ByState(news)),
            Some(report) = ended(self.flows.as_mut()) => return Ok(Woken::ByFlows(report)),
            () = self.rules.changed(back_off.not_before()) => Event::RulesChanged,
            never = self.manager.catch_up() => match never {},
        };
        Ok(Woken::For(event))
    }
}

/// The next report of what became of flows, if they are looked at.
async fn ended(flows: Option<&mut UnboundedReceiver<Report>>) -> Option<Report> {
    match flows {
        Some(reports) => reports.recv().await,
        None => future::pending().await,
    }
}
