//! All that the agent remembers, and what follows from each event.
//!
//! [`State::step`] is pure: the time comes in with the event, and whatever is to be done comes out as effects. So every
//! sequence of events can be tried out without a kernel, a file or a clock.

mod pass;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::FileNews;
use super::back_off::BackOff;
use super::earlier_flows::EarlierFlows;
use super::event::{Effect, Event, Wait};
use super::file_thread::Answer;
use super::reload::Reload;
use crate::backend::{Heard, Token};
use crate::config::SourcePaths;
use crate::last_good::{ActiveConfig, FileStatus, LastGoodStore};
use crate::net::Family;
use crate::policy::{Fingerprint, Flags};
use crate::report::{Cause, Counters, LastInForce, Report, SaveReport};

/// How long a start waits for the first reading of the file. A disk takes a moment; a network file system whose server
/// is away does not answer before it is back.
pub(super) const FIRST_LOOK: Duration = Duration::from_secs(5);

/// What stays the same for the agent's life.
#[derive(Debug)]
pub(super) struct Settings {
    /// The configuration files.
    pub(super) paths: SourcePaths,
    pub(super) flags: Flags,
    /// Whether flows that began under another policy are looked at (`--conntrack=fix`).
    pub(super) looks_at_flows: bool,
    /// Whether a service manager waits for the start.
    pub(super) has_service_manager: bool,
}

/// The agent's state.
#[derive(Debug)]
pub(super) struct State {
    settings: Settings,
    phase: Phase,
    /// What has happened and has not led to a pass so far.
    waiting: Waiting,
    store: LastGoodStore,
    /// What the rules shall follow; `None` before the first look at the file.
    active: Option<ActiveConfig>,
    /// The fingerprint of its policy, once it was needed.
    fingerprint: Option<Fingerprint>,
    /// The state of the kernel's rules in which ours were last seen to be in force.
    settled: Option<Token>,
    /// The families whose rules, those of the active configuration, have been seen in force: a change there is a
    /// repair.
    stood: BTreeSet<Family>,
    last_in_force: Option<LastInForce>,
    /// Until when long lists are not read again because others committed.
    long_lists_not_before: Option<Instant>,
    /// Whether they are to be read again then.
    are_long_lists_due: bool,
    back_off: BackOff,
    /// When the resync interval is over.
    tick: Instant,
    /// `None` if flows are left alone (`--conntrack=keep`).
    flows: Option<EarlierFlows>,
    counters: Counters,
    reload: Reload,
}

/// What the agent is doing.
#[derive(Debug)]
enum Phase {
    /// It waits for the first reading of the file, but no longer than `until`.
    Starting { until: Instant },
    /// It waits for whatever happens next.
    Waiting,
    /// It waits to hear whether the owner of a table has ended, or for whatever else happens before.
    CheckingOwner,
    /// A pass is under way.
    Passing { cause: Cause, file: Option<FileStatus>, heard: Heard, heard_since: Option<Instant> },
    /// The agent has ended; further events have no effect.
    Ended,
}

/// What has happened and leads to a pass as soon as there is none under way.
#[derive(Debug, Default)]
struct Waiting {
    reload: bool,
    news: Option<FileNews>,
    file_unchanged: bool,
    owner_ended: bool,
    heard: Heard,
    /// When the first of them was heard of.
    heard_since: Option<Instant>,
}

impl State {
    /// An agent that starts `now`, while the first reading of its file is under way.
    pub(super) fn new(settings: Settings, store: LastGoodStore, now: Instant) -> Self {
        let flows = settings.looks_at_flows.then(EarlierFlows::new);
        Self {
            settings,
            phase: Phase::Starting { until: now + FIRST_LOOK },
            waiting: Waiting::default(),
            store,
            active: None,
            fingerprint: None,
            settled: None,
            stood: BTreeSet::new(),
            last_in_force: None,
            long_lists_not_before: None,
            are_long_lists_due: false,
            back_off: BackOff::default(),
            tick: now,
            flows,
            counters: Counters::default(),
            reload: Reload::default(),
        }
    }

    /// What follows from an event that happens `now`.
    pub(super) fn step(&mut self, now: Instant, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        if matches!(self.phase, Phase::Ended) {
            return effects;
        }
        let may_begin = !matches!(event, Event::PassEnded(_));
        match event {
            Event::Start | Event::Alarm => {}
            // The first reading, which is waited for, makes another one unnecessary.
            Event::Reload if matches!(self.phase, Phase::Starting { .. }) => {}
            Event::Reload => {
                self.waiting.reload = true;
                self.reload.begin(now);
                effects.push(Effect::Report(Report::Reloading));
            }
            Event::File(Answer { news, reload }) => {
                if let Some(number) = reload {
                    self.reload.answered(number);
                }
                match news {
                    Some(news) => self.waiting.news = Some(news),
                    None => self.waiting.file_unchanged = !matches!(self.phase, Phase::Starting { .. }),
                }
            }
            Event::RulesChanged(heard) => {
                self.waiting.heard.extend(heard);
                self.waiting.heard_since.get_or_insert(now);
            }
            Event::PassEnded(ended) => self.pass_ended(now, *ended, &mut effects),
            Event::OwnerChecked { is_owned } => self.owner_checked(now, is_owned),
            Event::FlowsEnded(report) => {
                let result = self.flows.as_mut().and_then(|flows| flows.ended(report));
                let config = self.active.as_ref().map(ActiveConfig::config);
                if let (Some(result), Some(config)) = (result, config) {
                    effects.push(Effect::Report(Report::Flows { result, interval: config.resync_interval.value }));
                }
            }
            Event::Save(report) => {
                if let SaveReport::Ended(result) = &report {
                    self.store.ended(result.is_ok());
                }
                effects.push(Effect::Report(Report::Save(report)));
            }
            Event::Stop => {
                self.phase = Phase::Ended;
                effects.push(Effect::Report(Report::Stopping(self.counters)));
                effects.push(Effect::End(Ok(())));
            }
        }
        if self.reload.is_given_up(now) {
            effects.push(Effect::Report(Report::Reloaded { is_answered: false }));
        }
        self.go_on(now, may_begin, &mut effects);
        effects
    }

    /// Begins what is due, or waits. Between two passes it waits in any case, so that a signal to end is heard.
    fn go_on(&mut self, now: Instant, may_begin: bool, effects: &mut Vec<Effect>) {
        if let Some(cause) = self.due(now) {
            if may_begin {
                self.begin(cause, effects);
            } else {
                effects.push(Effect::Wait(Wait { alarm: now, deaf_until: self.back_off.not_before() }));
            }
            return;
        }
        if let (Phase::Waiting, Some(table), Some(retry)) = (&self.phase, self.back_off.owned(), self.back_off.retry())
            && retry <= now
        {
            // While another process owns the table, a pass would have the result of the last one.
            self.phase = Phase::CheckingOwner;
            effects.push(Effect::CheckOwner(table));
        }
        if let Some(wait) = self.wait(now) {
            effects.push(Effect::Wait(wait));
        }
    }

    /// Why a pass is due, if one is and can be made.
    fn due(&self, now: Instant) -> Option<Cause> {
        match self.phase {
            Phase::Starting { until } => {
                return (self.waiting.news.is_some() || until <= now).then_some(Cause::Start);
            }
            Phase::Waiting | Phase::CheckingOwner => {}
            Phase::Passing { .. } | Phase::Ended => return None,
        }
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let Waiting { reload, news, file_unchanged, owner_ended, .. } = &self.waiting;
        [
            (*reload, Cause::Reload),
            (news.is_some(), Cause::FileChanged),
            (*file_unchanged, Cause::FileUnchanged),
            (self.tick <= now, Cause::Tick),
            (*owner_ended || is_due(self.retry_at()), Cause::Retry),
            (is_due(self.verify_at(now)), Cause::Verify),
            (is_due(self.heed_others_at(now)), Cause::RulesChanged),
        ]
        .into_iter()
        .find_map(|(is_due, cause)| is_due.then_some(cause))
    }

    /// How long to wait, if a pass is not under way.
    fn wait(&self, now: Instant) -> Option<Wait> {
        let retry = match self.phase {
            // Others' commits do not matter before the first pass.
            Phase::Starting { until } => return Some(Wait { alarm: until, deaf_until: Some(until) }),
            Phase::Waiting => self.back_off.retry(),
            Phase::CheckingOwner => None,
            Phase::Passing { .. } | Phase::Ended => return None,
        };
        let alarms = [retry, self.verify_at(now), self.heed_others_at(now), self.reload.due()];
        let alarm = alarms.into_iter().flatten().fold(self.tick, Instant::min);
        Some(Wait { alarm, deaf_until: self.back_off.not_before() })
    }

    /// When to try again what failed; `None` while another process owns the table, as that is checked first.
    const fn retry_at(&self) -> Option<Instant> {
        if self.back_off.owned().is_some() { None } else { self.back_off.retry() }
    }

    /// When to read long lists again, because others committed since.
    fn verify_at(&self, now: Instant) -> Option<Instant> {
        self.are_long_lists_due.then(|| self.long_lists_not_before.unwrap_or(now))
    }

    /// When commits of others that were heard of lead to a pass.
    fn heed_others_at(&self, now: Instant) -> Option<Instant> {
        self.waiting.heard.is_something().then(|| self.back_off.not_before().unwrap_or(now))
    }

    fn owner_checked(&mut self, now: Instant, is_owned: bool) {
        if !matches!(self.phase, Phase::CheckingOwner) {
            return;
        }
        self.phase = Phase::Waiting;
        if is_owned {
            self.back_off.check_owner_later(now);
        } else {
            self.waiting.owner_ended = true;
        }
    }
}

#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod reload_tests;
#[cfg(test)]
mod report_tests;
#[cfg(test)]
mod start_tests;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tests;
