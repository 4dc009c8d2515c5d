//! The loop: waits for an event, asks the state what follows from it, and carries that out.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use heap_trim::give_back_free_memory;
use tracing::debug;

use super::event::{Effect, Event, PassEnded};
use super::reconcile::KernelRules;
use super::sources::Sources;
use super::state::{Settings, State};
use super::{ConfigFiles, FlowWorker, RunError, Signals};
use crate::backend::{BackendOption, Backends, Protect, WatchRules};
use crate::health::Pulse;
use crate::last_good::LastGoodStore;
use crate::policy::Flags;
use crate::report::Reports;

/// What an agent works with.
#[derive(Debug)]
pub struct Agent {
    /// The ways to the kernel's rules.
    pub backends: Backends,
    /// `--backend`
    pub option: BackendOption,
    /// `--protect`
    pub protect: Protect,
    /// `--watch-rules`
    pub watch_rules: WatchRules,
    /// The flags that decide what the rules say.
    pub flags: Flags,
    /// The last valid configuration from before the start, and where the next one is saved.
    pub store: LastGoodStore,
    /// The configuration files.
    pub files: ConfigFiles,
    /// Looks at the flows that began under another policy. Without it they are left alone.
    pub flows: Option<FlowWorker>,
    /// The operator's signals.
    pub signals: Signals,
    /// Where reports go: the log, the service manager and other observers.
    pub reports: Reports,
    /// Marks that the loop turns.
    pub pulse: Arc<Pulse>,
}

/// Runs the agent until SIGTERM or SIGINT. The rules stay when it ends.
///
/// # Errors
///
/// [`RunError`], if no later attempt could succeed.
pub async fn run(agent: Agent) -> Result<(), RunError> {
    let Agent { backends, option, protect, watch_rules, flags, store, files, mut flows, signals, mut reports, pulse } =
        agent;
    let settings = Settings {
        paths: files.paths().clone(),
        flags: flags.clone(),
        looks_at_flows: flows.is_some(),
        has_service_manager: reports.manager().is_present(),
    };
    let mut rules = KernelRules::new(backends, option, protect, flags);
    let mut sources = Sources::open(files, signals, flows.as_mut())?;
    let mut state = State::new(settings, store, Instant::now());
    let mut event = Event::Start;
    pulse.wakes(Instant::now());
    loop {
        let mut answer = None;
        for effect in state.step(Instant::now(), event) {
            match effect {
                Effect::AskFile(ask) => sources.file.ask(ask),
                Effect::Reconcile(request) => {
                    debug!(event = "pass_started", cause = ?request.cause, "{:?}", request.cause);
                    // What cannot be listened to yet, such as nf_tables before its module is loaded, may be there by now.
                    if !sources.hears_others()
                        && let Some(changes) = rules.watch(watch_rules)
                    {
                        sources.listen(changes);
                    }
                    // Heard first, read after: what happens in between leads to another event.
                    let heard = sources.heard();
                    let reconciled = rules.reconcile(&request);
                    let ended = PassEnded { at: SystemTime::now(), heard, reconciled };
                    answer = Some(Event::PassEnded(Box::new(ended)));
                }
                Effect::CheckOwner(table) => {
                    answer = Some(Event::OwnerChecked { is_owned: rules.is_owned_by_another(table) });
                }
                Effect::InterruptFlows(job) => job.interrupt(),
                Effect::LookAtFlows(job) => flows.iter().for_each(|worker| worker.put(job.clone())),
                Effect::Save(save) => sources.state.write(save),
                Effect::Report(report) => reports.publish(&report.into()),
                Effect::GiveBackMemory => give_back_free_memory(),
                Effect::Wait(wait) => {
                    pulse.sets_alarm(wait.alarm);
                    sources.wait(wait)?;
                }
                Effect::End(result) => {
                    sources.state.leave();
                    return result;
                }
            }
        }
        event = if let Some(event) = answer {
            event
        } else {
            pulse.waits(Instant::now());
            let next = sources.next(&mut reports).await?;
            pulse.wakes(Instant::now());
            next
        };
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
