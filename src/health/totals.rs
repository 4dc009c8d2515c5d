//! What was done since the start, in numbers that only grow.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::backend::{Commits, Object};
use crate::config::ReadError;
use crate::conntrack::Fixed;
use crate::last_good::FileStatus;
use crate::net::Family;
use crate::report::{Cause, PassReport, Report};

/// Numbers that only grow, each under the values of its labels.
#[derive(Clone, Debug)]
pub struct Totals {
    /// Readings of the file, by their result.
    pub(crate) reads: BTreeMap<&'static str, u64>,
    /// Passes, by what led to them and how they ended.
    pub(crate) passes: BTreeMap<(&'static str, &'static str), u64>,
    /// How long they took, by what led to them.
    pub(crate) pass_seconds: BTreeMap<&'static str, Histogram>,
    /// Commits, by their result.
    pub(crate) commits: BTreeMap<&'static str, u64>,
    /// Changes made by repairs.
    pub(crate) repairs: BTreeMap<(Family, Object), u64>,
    /// Others' commits, by whether our rules had to be repaired after them.
    pub(crate) foreign_commits: BTreeMap<bool, u64>,
    /// From hearing of others' commits until what they had undone was read back.
    pub(crate) repair_seconds: Histogram,
    /// Flows that began under another policy, by what became of them.
    pub(crate) flows: BTreeMap<&'static str, u64>,
}

/// How often something took how long.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// By bucket, and at the end those that took longer than any.
    counts: [u64; Histogram::BUCKETS + 1],
    sum: f64,
}

impl Default for Totals {
    /// Labels whose values are known beforehand begin at 0, so that the first time counts as a change.
    fn default() -> Self {
        let zero = |names: &[&'static str]| names.iter().map(|name| (*name, 0)).collect();
        Self {
            reads: zero(&["applied", "unchanged", "invalid", "missing"]),
            passes: BTreeMap::new(),
            pass_seconds: BTreeMap::new(),
            commits: zero(&["done", "stale", "in_use", "failed"]),
            repairs: BTreeMap::new(),
            foreign_commits: [(false, 0), (true, 0)].into(),
            repair_seconds: Histogram::default(),
            flows: zero(&["exempt", "masqueraded", "vanished", "in_doubt", "refused", "failed"]),
        }
    }
}

impl Totals {
    pub(super) fn add(&mut self, report: &Report) {
        match report {
            Report::Pass(report) => self.passed(report),
            Report::Flows { result: Ok(fixed), .. } => {
                let Fixed { looked_at: _, exempt, masqueraded, vanished, in_doubt, refused } = fixed;
                for (name, count) in [
                    ("exempt", exempt),
                    ("masqueraded", masqueraded),
                    ("vanished", vanished),
                    ("in_doubt", in_doubt),
                    ("refused", refused),
                ] {
                    *self.flows.entry(name).or_default() += *count as u64;
                }
            }
            Report::Flows { result: Err(_), .. } => *self.flows.entry("failed").or_default() += 1,
            Report::Save(_) | Report::Reloading | Report::Reloaded { .. } | Report::Stopping(_) => {}
        }
    }

    fn passed(&mut self, report: &PassReport) {
        let read = match (&report.file, report.cause) {
            (Some(FileStatus::Valid(_)), _) => Some("applied"),
            (Some(FileStatus::Missing | FileStatus::Unusable { error: ReadError::Missing(_), .. }), _) => {
                Some("missing")
            }
            (Some(FileStatus::Unusable { .. }), _) => Some("invalid"),
            (None, Cause::FileUnchanged) => Some("unchanged"),
            (None, _) => None,
        };
        if let Some(read) = read {
            *self.reads.entry(read).or_default() += 1;
        }
        let trigger = report.cause.name();
        *self.passes.entry((trigger, report.result.name())).or_default() += 1;
        self.pass_seconds.entry(trigger).or_default().add(report.took.whole());
        let Commits { done, stale, in_use, failed } = report.commits;
        for (name, count) in [("done", done), ("stale", stale), ("in_use", in_use), ("failed", failed)] {
            *self.commits.entry(name).or_default() += u64::from(count);
        }
        for (place, count) in &report.rules.objects {
            if report.repaired.contains(&place.0) {
                *self.repairs.entry(*place).or_default() += *count as u64;
            }
        }
        *self.foreign_commits.entry(!report.repaired.is_empty()).or_default() += report.heard.commits;
        if let Some(delay) = report.repair_delay {
            self.repair_seconds.add(delay);
        }
    }
}

impl Histogram {
    const BUCKETS: usize = 15;

    fn add(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = Self::bounds().take_while(|bound| *bound < seconds).count();
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum += seconds;
    }

    /// The bounds of the buckets: a millisecond, and each twice the one before.
    fn bounds() -> impl Iterator<Item = f64> {
        std::iter::successors(Some(0.001), |bound| Some(bound * 2.0)).take(Self::BUCKETS)
    }

    /// Each bucket with its bound and how many are in it alone; the last one has no bound.
    pub(crate) fn buckets(&self) -> Vec<(f64, u64)> {
        Self::bounds().chain([f64::INFINITY]).zip(self.counts).collect()
    }

    pub(crate) const fn sum(&self) -> f64 {
        self.sum
    }

    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        let mut histogram = Histogram::default();
        for micros in [0, 1_000, 1_001, 2_000, 16_384_000, 16_385_000] {
            histogram.add(Duration::from_micros(micros));
        }
        let buckets = histogram.buckets();
        assert_eq!(buckets.len(), 16);
        assert_eq!((buckets[0], buckets[1]), ((0.001, 2), (0.002, 2)));
        assert_eq!((buckets[14], buckets[15]), ((16.384, 1), (f64::INFINITY, 1)));
        assert_eq!(histogram.count(), 6);
    }
}
