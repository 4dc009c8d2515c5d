//! The flows that began under other rules, and how they are made to follow those in force (`--conntrack=fix`).

use std::sync::Arc;

use super::flow_worker::{FlowReport, Job};
use crate::conntrack::{Before, ConntrackError, Decisions, Fixed};

/// Remembers under which policies flows may have begun, until they were looked at.
#[derive(Debug)]
pub(super) struct EarlierFlows {
    /// The policy of the last pass, whether or not its rules came into force: they may have, for a moment.
    last: Option<Decisions>,
    /// Whether rules have been in force since the start.
    settled: bool,
    /// The policies whose flows no job has looked at, or only one that failed or was interrupted.
    due: Before,
    /// The job that is under way.
    under_way: Option<Arc<Job>>,
}

impl EarlierFlows {
    pub(super) const fn new() -> Self {
        Self { last: None, settled: false, due: Before::nothing(), under_way: None }
    }

    /// Whether it has followed any policy so far.
    pub(super) const fn knows_a_policy(&self) -> bool {
        self.last.is_some()
    }

    /// To be called before the rules are made those of this policy. Returns the job for another policy, which has to be
    /// interrupted first, because it would soon delete flows that are right; its work is due again.
    #[must_use]
    pub(super) fn renew(&mut self, now: Decisions) -> Option<Arc<Job>> {
        if self.last.as_ref() == Some(&now) {
            return None;
        }
        let interrupted = self.under_way.take();
        if let Some(job) = &interrupted {
            self.take_over(job);
        }
        if let Some(earlier) = self.last.replace(now) {
            self.due.add(earlier);
        }
        interrupted
    }

    /// Takes note of a pass over the rules: whether they are in force, and whether it changed what may have made a
    /// difference to packets. Returns the job to do now, if there may be flows that do not fit them.
    #[must_use]
    pub(super) fn follow(&mut self, is_in_force: bool, affects_packets: bool) -> Option<Arc<Job>> {
        if !self.settled {
            // What an earlier process applied is not known. If its rules are as ours shall be, so are its flows.
            if affects_packets || !is_in_force {
                self.due = Before::Unknown;
            }
            self.settled = is_in_force;
        }
        if !is_in_force || self.due.is_nothing() {
            return None;
        }
        // A job that is under way leaves nothing due.
        let now = self.last.clone()?;
        let job = Arc::new(Job::new(std::mem::replace(&mut self.due, Before::nothing()), now));
        self.under_way = Some(Arc::clone(&job));
        Some(job)
    }

    /// Takes note of the end of a job, and returns its result, unless it was interrupted. After a failure, the next
    /// pass makes a new one.
    pub(super) fn ended(&mut self, report: FlowReport) -> Option<Result<Fixed, ConntrackError>> {
        let job = self.under_way.take_if(|job| Arc::ptr_eq(job, &report.job))?;
        if report.result.is_err() {
            self.take_over(&job);
        }
        Some(report.result)
    }

    /// Makes the work of this job due again.
    fn take_over(&mut self, job: &Job) {
        let later = std::mem::replace(&mut self.due, job.before.clone());
        self.due.extend(&later);
    }
}

#[cfg(test)]
#[path = "earlier_flows_tests.rs"]
mod tests;
