//! Whether the loop turns.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What is granted to a pass, however short those before it were. Passes over 100,000 ranges take a few seconds on a slow
/// machine.
const LONG_PASS: Duration = Duration::from_secs(20);

/// More is granted to none, so that a loop that was stuck once is found stuck again.
const LONGEST_PASS: Duration = Duration::from_secs(100);

/// So many passes may follow one another without a moment in which the loop waits.
const PASSES: u32 = 3;

/// Marks that the loop leaves each time it wakes and each time it waits. Neither waits for whoever reads them.
#[derive(Debug)]
pub struct Pulse {
    began: Instant,
    /// Since when the loop has been at work; [`WAITS`] if it waits.
    at_work_since: AtomicU64,
    /// When its alarm is due; [`NEVER`] before it is set for the first time.
    alarm: AtomicU64,
    /// How long it was at work, at the longest.
    longest: AtomicU64,
    wakeups: AtomicU64,
}

const WAITS: u64 = u64::MAX;
const NEVER: u64 = u64::MAX;

impl Default for Pulse {
    fn default() -> Self {
        Self::new(Instant::now())
    }
}

impl Pulse {
    /// A loop that has not begun to turn.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            began: now,
            at_work_since: AtomicU64::new(WAITS),
            alarm: AtomicU64::new(NEVER),
            longest: AtomicU64::new(0),
            wakeups: AtomicU64::new(0),
        }
    }

    /// The loop has something to do.
    pub fn wakes(&self, now: Instant) {
        self.at_work_since.store(self.nanos(now), Ordering::Relaxed);
        self.wakeups.fetch_add(1, Ordering::Relaxed);
    }

    /// The loop will be woken then, if nothing else wakes it before.
    pub fn sets_alarm(&self, due: Instant) {
        self.alarm.store(self.nanos(due), Ordering::Relaxed);
    }

    /// The loop waits for whatever happens next.
    pub fn waits(&self, now: Instant) {
        let since = self.at_work_since.swap(WAITS, Ordering::Relaxed);
        self.longest.fetch_max(self.nanos(now).saturating_sub(since), Ordering::Relaxed);
    }

    /// How often it woke.
    #[must_use]
    pub fn wakeups(&self) -> u64 {
        self.wakeups.load(Ordering::Relaxed)
    }

    /// For how long the loop has been stuck: at work, or asleep after its alarm, for longer than three passes may take. A pass
    /// may take 20 seconds, or as long as the longest so far, but no more than 100.
    #[must_use]
    pub fn stuck_for(&self, now: Instant) -> Option<Duration> {
        let since = match self.at_work_since.load(Ordering::Relaxed) {
            WAITS => self.alarm.load(Ordering::Relaxed),
            since => since,
        };
        let longest = Duration::from_nanos(self.longest.load(Ordering::Relaxed));
        let stuck = Duration::from_nanos(self.nanos(now).saturating_sub(since));
        (stuck > longest.clamp(LONG_PASS, LONGEST_PASS).saturating_mul(PASSES)).then_some(stuck)
    }

    fn nanos(&self, at: Instant) -> u64 {
        // 500 years of them.
        u64::try_from(at.saturating_duration_since(self.began).as_nanos()).unwrap_or(u64::MAX - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_stuck_once_it_works_or_oversleeps_for_longer_than_three_passes_may_take() {
        let began = Instant::now();
        let at = |seconds: u64| began + Duration::from_secs(seconds);
        let stuck = |pulse: &Pulse, seconds| pulse.stuck_for(at(seconds)).map(|stuck| stuck.as_secs());
        let pulse = Pulse::new(began);
        assert_eq!(stuck(&pulse, 10_000), None, "it has not begun");
        pulse.wakes(at(100));
        assert_eq!((stuck(&pulse, 160), stuck(&pulse, 161)), (None, Some(61)));
        pulse.sets_alarm(at(1_000));
        pulse.waits(at(130));
        assert_eq!((stuck(&pulse, 1_090), stuck(&pulse, 1_091)), (None, Some(91)), "a pass took 30 seconds");
        pulse.wakes(at(1_100));
        assert_eq!((stuck(&pulse, 1_101), pulse.wakeups()), (None, 2));
        pulse.waits(at(9_000));
        pulse.wakes(at(10_000));
        assert_eq!((stuck(&pulse, 10_300), stuck(&pulse, 10_301)), (None, Some(301)), "that was no pass");
    }
}
