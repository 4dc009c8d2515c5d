//! How long the agent lets others be before it looks at the rules again.
//!
//! Three things must not happen: that somebody who undoes each repair and the agent keep a node busy with each other; that
//! somebody who commits without end keeps the agent busy with looking; and that a failure is repeated without end. Each of
//! them ends at the resync interval.

use std::time::{Duration, Instant};

use crate::netlink::{Heard, Process};

/// So many repairs are made at once. Whoever flushes the rules by hand is not a program that undoes them.
const AT_ONCE: u32 = 8;

/// The pause behind the first repair that is too many, and behind the first failure. Each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// What was undone counts as undone again and again until it was left alone for so long, and for half as long again as the
/// latest pause.
const QUIET: Duration = Duration::from_secs(60);

/// Looking takes at most one part in so many of the time while others commit without touching what is ours.
const SHARE: u32 = 10;

/// What was repaired and what failed lately.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// The repairs without a quiet time between them.
    repairs: u32,
    first_repair: Option<Instant>,
    last_repair: Option<Instant>,
    /// The pause behind the last of them.
    last_pause: Duration,
    /// Who committed before they were needed.
    suspects: Heard,
    /// The failures without a success between them.
    failures: u32,
    not_before: Option<Instant>,
    retry: Option<Instant>,
}

/// The rules are undone again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Quarrel {
    /// How often they were repaired.
    pub(super) repairs: u32,
    /// In which time.
    pub(super) time: Duration,
    /// Who committed before.
    pub(super) suspects: Vec<Process>,
}

/// What a pass came to, as far as patience goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// All was as it shall be, or was changed because what shall be is another.
    InOrder,
    /// It was not, and is now.
    Repaired,
    /// It was not, and each time that it was put right, somebody had undone it before that was seen.
    Undone,
    /// It is not; another attempt may fare better.
    Failed,
    /// It is not, and cannot be before somebody has changed something.
    Stuck,
}

/// What is new after a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// From now on there are pauses between repairs.
    Quarrel(Quarrel),
    /// The rules were left alone for a while. There are no more pauses.
    Peace,
}

impl Patience {
    /// A pass began and ended, after others were heard or not; `interval` is the resync interval.
    pub(super) fn learn(
        &mut self,
        (began, ended): (Instant, Instant),
        finding: Finding,
        heard: Heard,
        interval: Duration,
    ) -> Option<News> {
        if finding != Finding::Failed {
            self.failures = 0;
        }
        (self.retry, self.not_before) = (None, None);
        match finding {
            Finding::InOrder | Finding::Stuck => {
                let peace = self.forget(ended, interval);
                self.not_before = heard.is_something().then(|| ended + ended.duration_since(began) * (SHARE - 1));
                peace
            }
            Finding::Repaired => self.repaired(ended, heard, interval),
            Finding::Undone => {
                let news = self.repaired(ended, heard, interval);
                self.retry = Some(self.not_before.unwrap_or(ended));
                news
            }
            Finding::Failed => {
                let pause = pause(self.failures, interval);
                self.failures = self.failures.saturating_add(1);
                self.retry = Some(ended + pause);
                self.not_before = self.retry;
                None
            }
        }
    }

    /// The operator wants no more waiting.
    pub(super) fn start_afresh(&mut self) {
        *self = Self::default();
    }

    /// Until when commits of others do not matter.
    pub(super) const fn not_before(&self) -> Option<Instant> {
        self.not_before
    }

    /// When to try again what failed.
    pub(super) const fn retry(&self) -> Option<Instant> {
        self.retry
    }

    fn repaired(&mut self, now: Instant, heard: Heard, interval: Duration) -> Option<News> {
        // The quiet may have ended with this one.
        let peace = self.forget(now, interval);
        self.repairs = self.repairs.saturating_add(1);
        self.last_repair = Some(now);
        self.suspects.extend(heard);
        let first = *self.first_repair.get_or_insert(now);
        let too_many = self.repairs.checked_sub(AT_ONCE + 1)?;
        self.last_pause = pause(too_many, interval);
        self.not_before = Some(now + self.last_pause);
        if too_many > 0 {
            return peace;
        }
        let suspects = self.suspects.processes.clone();
        Some(News::Quarrel(Quarrel { repairs: self.repairs, time: now.duration_since(first), suspects }))
    }

    /// A quiet time makes up for all.
    fn forget(&mut self, now: Instant, interval: Duration) -> Option<News> {
        let quiet = QUIET.min(interval).max(self.last_pause + self.last_pause / 2);
        if now.duration_since(self.last_repair?) <= quiet {
            return None;
        }
        let quarrelled = self.repairs > AT_ONCE;
        self.start_afresh();
        quarrelled.then_some(News::Peace)
    }
}

/// The pause before the next attempt after so many others.
fn pause(before: u32, interval: Duration) -> Duration {
    let factor = 2_u32.checked_pow(before).unwrap_or(u32::MAX);
    FIRST_PAUSE.saturating_mul(factor).min(interval)
}

#[cfg(test)]
#[path = "patience_tests.rs"]
mod tests;
