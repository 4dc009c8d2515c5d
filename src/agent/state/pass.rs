//! How a pass begins and what its end changes.

use std::time::{Instant, SystemTime};

use super::{FIRST_LOOK, Phase, State};
use crate::agent::FileNews;
use crate::agent::config_files::Content;
use crate::agent::event::{Effect, PassEnded, RunError};
use crate::agent::file_thread::Ask;
use crate::agent::reconcile::{Reconcile, Reconciled};
use crate::config::ReadError;
use crate::conntrack::Decisions;
use crate::last_good::{FileStatus, choose};
use crate::net::Family;
use crate::policy::{Fingerprint, Policy};
use crate::report::{Cause, ConflictNews, LastInForce, PassReport, PassResult, Report};

/// Reading long lists takes at most one part in so many of the time while others commit.
const SHARE_OF_LONG_LISTS: u32 = 20;

impl State {
    /// Begins a pass.
    pub(super) fn begin(&mut self, cause: Cause, effects: &mut Vec<Effect>) {
        self.counters.passes += 1;
        self.waiting.owner_ended = false;
        let heard = std::mem::take(&mut self.waiting.heard);
        let heard_since = self.waiting.heard_since.take();
        let mut file = None;
        match cause {
            Cause::Start | Cause::FileChanged => {
                // That there is no answer is news too. A later answer will be news of its own.
                let no_answer =
                    || Err(ReadError::Unanswered { sources: self.settings.paths.clone(), after: FIRST_LOOK });
                let news = self.waiting.news.take().unwrap_or_else(no_answer);
                file = Some(self.take_over(news));
                self.settled = None;
                self.renew_flows(effects);
                self.reload.pass_begins();
            }
            Cause::FileUnchanged => {
                self.waiting.file_unchanged = false;
                self.reload.pass_begins();
            }
            Cause::Reload => {
                self.waiting.reload = false;
                // The operator wants any back-off ended.
                self.back_off.start_afresh();
                effects.push(Effect::AskFile(Ask::Reload(self.reload.number())));
            }
            Cause::Tick => effects.push(Effect::AskFile(Ask::Resync)),
            Cause::Retry | Cause::Verify | Cause::RulesChanged => {}
        }
        // There is none before the first look at the file, which every start begins with.
        let Some(active) = &self.active else { return };
        effects.push(Effect::Reconcile(Reconcile {
            cause,
            config: active.config().clone(),
            keep_standing: active.standing().to_vec(),
            // After a commit of others, what is quick to read is read and repaired first.
            is_quick: cause == Cause::RulesChanged,
            settled: self.settled,
        }));
        self.phase = Phase::Passing { cause, file, heard, heard_since };
    }

    /// Takes over what is new about the file: a valid one is active from here on, and so is its absence, unless one is
    /// expected.
    fn take_over(&mut self, news: FileNews) -> FileStatus {
        let files = news.map(|Content { sources, reading }| (reading, sources));
        let before = self.active.take();
        let is_first = before.is_none();
        let (active, status) = choose(before, files, &self.settings.flags, &mut self.store);
        self.active = Some(active);
        if is_first || status.changes_the_rules() {
            self.stood.clear();
            self.fingerprint = None;
        }
        status
    }

    /// Takes note of the end of a pass.
    pub(super) fn pass_ended(&mut self, now: Instant, ended: PassEnded, effects: &mut Vec<Effect>) {
        if !matches!(self.phase, Phase::Passing { .. }) {
            return;
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Waiting);
        let (Phase::Passing { cause, file, mut heard, heard_since }, Some(active)) = (phase, self.active.take()) else {
            return;
        };
        let PassEnded { at, heard: since, reconciled } = ended;
        heard.extend(since);
        self.counters.foreign_commits += heard.commits;
        if let Some(failure) = reconciled.rules.failure.as_ref().filter(|failure| failure.is_denied) {
            // Nothing is in force, and nothing will be tried again: this error is all that is reported.
            self.phase = Phase::Ended;
            effects.push(Effect::End(Err(RunError::Denied(failure.text.clone()))));
            return;
        }
        let is_in_force = reconciled.rules.failure.is_none();
        let settles = is_in_force && reconciled.rules.was_read;
        let active = if settles { active.settle(&reconciled.standing) } else { active };
        self.active = Some(active.clone());
        let interval = active.config().resync_interval.value.into();
        if cause.begins_the_interval() {
            self.tick = now + interval;
        }
        self.note_what_was_read(now, &reconciled);
        self.note_when_in_force(at, is_in_force, file.as_ref());
        let repaired = self.note_what_stands(&reconciled);
        self.count(&reconciled, !repaired.is_empty());
        self.follow_with_flows(is_in_force, reconciled.affects_packets, effects);
        let is_repair = !repaired.is_empty();
        let result = match reconciled.result {
            PassResult::InForce if is_repair => PassResult::Repaired,
            result => result,
        };
        let conflict = self.back_off.learn(now, reconciled.took, (result, is_repair), heard.clone(), interval);
        self.counters.conflicts += u64::from(matches!(conflict, Some(ConflictNews::Started { .. })));
        let is_renewed = file.is_some();
        let repair_delay = heard_since.filter(|_| is_repair).map(|since| now.duration_since(since));
        let report = PassReport {
            cause,
            at,
            file,
            rules: reconciled.rules,
            result,
            took: reconciled.took,
            repaired,
            fingerprint: self.fingerprint(),
            active,
            last_in_force: self.last_in_force,
            conflict,
            heard,
            repair_delay,
            commits: reconciled.commits,
            counters: self.counters,
        };
        let is_ready = report.is_partly_in_force();
        effects.push(Effect::Report(Report::Pass(Box::new(report))));
        if self.reload.pass_ends() {
            effects.push(Effect::Report(Report::Reloaded { is_answered: true }));
        }
        if cause == Cause::Start && result == PassResult::Stuck && !is_ready && self.settings.has_service_manager {
            self.phase = Phase::Ended;
            effects.push(Effect::End(Err(RunError::NotReady)));
            return;
        }
        if is_in_force {
            effects.extend(self.store.due().map(Effect::Save));
        }
        if is_renewed {
            effects.push(Effect::GiveBackMemory);
        }
    }

    /// The fingerprint of the active policy, computed when it is first asked for: after the rules are in force, because it
    /// takes a while for a long list.
    fn fingerprint(&mut self) -> Option<Fingerprint> {
        let active = self.active.as_ref().filter(|active| active.standing().is_empty())?;
        let policy = || Policy::new(active.config(), &self.settings.flags);
        Some(*self.fingerprint.get_or_insert_with(|| Fingerprint::of(&policy())))
    }

    /// Remembers the state in which the rules need not be read again, and when long lists are to be read again.
    fn note_what_was_read(&mut self, now: Instant, reconciled: &Reconciled) {
        if let Some(reading) = reconciled.long_reading {
            self.long_lists_not_before = Some(now + reading.saturating_mul(SHARE_OF_LONG_LISTS - 1));
        }
        self.are_long_lists_due = reconciled.is_partly_assumed;
        self.settled = reconciled.token.filter(|_| !reconciled.is_partly_assumed);
    }

    fn note_when_in_force(&mut self, at: SystemTime, is_in_force: bool, file: Option<&FileStatus>) {
        if is_in_force {
            self.last_in_force = Some(LastInForce { at, was_another_config: false });
        } else if let Some(last) = &mut self.last_in_force {
            last.was_another_config |= file.is_some_and(FileStatus::changes_the_rules);
        }
    }

    /// Remembers the families whose rules are in force. Returns those in which something was put back that had been in
    /// force.
    fn note_what_stands(&mut self, reconciled: &Reconciled) -> Vec<Family> {
        let repaired = reconciled.changed.iter().copied().filter(|family| self.stood.contains(family)).collect();
        match &reconciled.rules.failure {
            None => self.stood.extend(Family::ALL),
            Some(failure) => self.stood.extend(&failure.unaffected),
        }
        repaired
    }

    fn count(&mut self, reconciled: &Reconciled, is_repair: bool) {
        self.counters.repairs += u64::from(is_repair);
        if let Some(failure) = &reconciled.rules.failure {
            self.counters.failed_looks += u64::from(failure.is_of_reading);
            self.counters.failures += u64::from(!failure.is_of_reading);
        }
    }

    /// Has the flows looked at that began before the rules. Rules that were left standing follow an unknown policy, so
    /// flows are looked at only once no rules are left standing.
    fn follow_with_flows(&mut self, is_in_force: bool, affects_packets: bool, effects: &mut Vec<Effect>) {
        if self.flows.as_ref().is_some_and(|flows| !flows.knows_a_policy()) {
            self.renew_flows(effects);
        }
        if let (Some(flows), true) =
            (&mut self.flows, self.active.as_ref().is_some_and(|active| active.standing().is_empty()))
        {
            effects.extend(flows.follow(is_in_force, affects_packets).map(Effect::LookAtFlows));
        }
    }

    /// To be called when the policy has changed, or is known for the first time.
    fn renew_flows(&mut self, effects: &mut Vec<Effect>) {
        let Some(active) = self.active.as_ref().filter(|active| active.standing().is_empty()) else { return };
        if let Some(flows) = &mut self.flows {
            let policy = Policy::new(active.config(), &self.settings.flags);
            effects.extend(flows.renew(Decisions::of(&policy)).map(Effect::InterruptFlows));
        }
    }
}
