//! How long the agent waits before it looks at the rules again.
//!
//! Three things must not happen: that a program which undoes each repair and the agent keep a node busy with each other; that
//! a program which commits without end keeps the agent busy with looking; and that a failing attempt is repeated without
//! end. No wait is longer than the resync interval.

use std::time::{Duration, Instant};

use crate::backend::{Heard, PassTimes};
use crate::report::{ConflictNews, PassResult};
use crate::rules::TableId;

/// So many repairs are made without a pause, so that an operator who flushes the rules by hand is not taken for a
/// program that undoes them.
const AT_ONCE: u32 = 8;

/// The pause after the first repair beyond [`AT_ONCE`], and after the first failure. Each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Repairs count as belonging to one conflict until the rules were left alone for so long, and for one and a half times
/// the latest pause.
const QUIET: Duration = Duration::from_secs(60);

/// While others commit without touching our rules, reading takes at most one part in so many of the time. The same
/// holds for attempts that fail while others commit.
const SHARE: u32 = 10;

/// How often the agent checks whether the process that owns a table has ended: the kernel sends no notification of it.
const OWNER_CHECK: Duration = Duration::from_millis(250);

/// The latest repairs and failures, and the waits that follow from them.
#[derive(Debug, Default)]
pub(super) struct BackOff {
    /// The repairs without a quiet time between them.
    repairs: u32,
    first_repair: Option<Instant>,
    last_repair: Option<Instant>,
    /// The pause after the last of them.
    last_pause: Duration,
    /// The commits of others that were heard of before them.
    suspects: Heard,
    /// The failures without a success between them, but for those of attempts that a commit of others led to.
    failures: u32,
    not_before: Option<Instant>,
    retry: Option<Instant>,
    owned: Option<TableId>,
}

impl BackOff {
    /// Takes note of a pass that ended `now`; `heard` are others' commits before it, `interval` is the resync interval.
    /// Rules may have been `repaired` whatever the result: those of one family, while those of the other one could not
    /// be.
    pub(super) fn learn(
        &mut self,
        now: Instant,
        took: PassTimes,
        (result, repaired): (PassResult, bool),
        heard: Heard,
        interval: Duration,
    ) -> Option<ConflictNews> {
        let before = self.retry.take();
        (self.not_before, self.owned) = (None, None);
        if result != PassResult::Failed {
            self.failures = 0;
        }
        let share_of = |time: Duration| now + time.saturating_mul(SHARE - 1).min(interval);
        match result {
            PassResult::InForce | PassResult::Stuck | PassResult::Owned(_) => {
                let news = if repaired {
                    self.repaired(now, heard, interval)
                } else {
                    self.not_before = heard.is_something().then(|| share_of(took.reading));
                    self.forget(now, interval)
                };
                if let PassResult::Owned(table) = result {
                    self.owned = Some(table);
                    self.check_owner_later(now);
                }
                news
            }
            PassResult::Repaired => self.repaired(now, heard, interval),
            PassResult::Undone => {
                let news = self.repaired(now, heard, interval);
                self.retry = Some(self.not_before.unwrap_or(now));
                news
            }
            PassResult::Overtaken => {
                self.retry = Some(share_of(took.reading));
                self.not_before = self.retry;
                None
            }
            PassResult::Failed => {
                // An early attempt, because others committed, does not put off the one that is due.
                let retry = before.filter(|retry| *retry > now).unwrap_or_else(|| {
                    let pause = pause(self.failures, interval);
                    self.failures = self.failures.saturating_add(1);
                    now + pause
                });
                self.retry = Some(retry);
                self.not_before = heard.is_something().then(|| share_of(took.whole()).min(retry));
                None
            }
        }
    }

    /// Forgets all repairs, failures and waits.
    pub(super) fn start_afresh(&mut self) {
        *self = Self::default();
    }

    /// Until when commits of others lead to no pass.
    pub(super) const fn not_before(&self) -> Option<Instant> {
        self.not_before
    }

    /// When to try again what failed.
    pub(super) const fn retry(&self) -> Option<Instant> {
        self.retry
    }

    /// The table that another process owns, if a retry is of no use before that process has ended.
    pub(super) const fn owned(&self) -> Option<TableId> {
        self.owned
    }

    /// The owner was found alive `now`.
    pub(super) fn check_owner_later(&mut self, now: Instant) {
        self.retry = Some(now + OWNER_CHECK);
    }

    fn repaired(&mut self, now: Instant, heard: Heard, interval: Duration) -> Option<ConflictNews> {
        // A conflict may have ended, by a quiet time, before this repair.
        let ended = self.forget(now, interval);
        self.repairs = self.repairs.saturating_add(1);
        self.last_repair = Some(now);
        self.suspects.extend(heard);
        let first = *self.first_repair.get_or_insert(now);
        let too_many = self.repairs.checked_sub(AT_ONCE + 1)?;
        self.last_pause = pause(too_many, interval);
        self.not_before = Some(now + self.last_pause);
        if too_many > 0 {
            return ended;
        }
        let suspects = self.suspects.processes.clone();
        Some(ConflictNews::Started { repairs: self.repairs, time: now.duration_since(first), suspects })
    }

    /// Forgets everything after a quiet time, and says so if that ends a conflict.
    fn forget(&mut self, now: Instant, interval: Duration) -> Option<ConflictNews> {
        let quiet = QUIET.min(interval).max(self.last_pause + self.last_pause / 2);
        if now.duration_since(self.last_repair?) <= quiet {
            return None;
        }
        let was_conflict = self.repairs > AT_ONCE;
        self.start_afresh();
        was_conflict.then_some(ConflictNews::Ended)
    }
}

/// The pause after so many attempts.
fn pause(before: u32, interval: Duration) -> Duration {
    let factor = 2_u32.checked_pow(before).unwrap_or(u32::MAX);
    FIRST_PAUSE.saturating_mul(factor).min(interval)
}

#[cfg(test)]
#[path = "back_off_tests.rs"]
mod tests;
