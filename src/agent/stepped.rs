//! An agent without its loop, for benchmarks and tests.

use std::time::{Instant, SystemTime};

use super::FileNews;
use super::event::{Effect, Event, PassEnded};
use super::file_thread::Answer;
use super::reconcile::KernelRules;
use super::state::{Settings, State};
use crate::backend::{BackendOption, Backends, Heard, Protect};
use crate::config::SourcePaths;
use crate::last_good::LastGoodStore;
use crate::policy::Flags;
use crate::report::{PassReport, Report};

/// An agent whose events its caller makes up. Its passes are made at once; it hears of no commits of others, and its
/// other effects are not carried out.
#[derive(Debug)]
pub struct SteppedAgent {
    pub(super) state: State,
    pub(super) rules: KernelRules,
    pub(super) now: Instant,
}

impl SteppedAgent {
    /// An agent that has not read its files, which are at these paths.
    #[must_use]
    pub fn new(
        backends: Backends,
        option: BackendOption,
        protect: Protect,
        flags: Flags,
        paths: SourcePaths,
        store: LastGoodStore,
    ) -> Self {
        let now = Instant::now();
        let settings = Settings { paths, flags: flags.clone(), looks_at_flows: false, has_service_manager: false };
        let rules = KernelRules::new(backends, option, protect, flags);
        Self { state: State::new(settings, store, now), rules, now }
    }

    /// Makes the pass that follows from news of the file.
    pub fn file_changed(&mut self, news: FileNews) -> Option<PassReport> {
        self.happens(Event::File(Answer { news: Some(news), reload: None })).into_iter().find_map(|effect| match effect
        {
            Effect::Report(Report::Pass(report)) => Some(*report),
            _ => None,
        })
    }

    /// The effects that follow from an event, except passes, which are made.
    pub(super) fn happens(&mut self, event: Event) -> Vec<Effect> {
        let mut rest = Vec::new();
        let mut next = Some(event);
        while let Some(event) = next.take() {
            for effect in self.state.step(self.now, event) {
                if let Effect::Reconcile(request) = effect {
                    let (heard, reconciled) = (Heard::default(), self.rules.reconcile(&request));
                    let ended = PassEnded { at: SystemTime::now(), heard, reconciled };
                    next = Some(Event::PassEnded(Box::new(ended)));
                } else {
                    rest.push(effect);
                }
            }
        }
        rest
    }
}
