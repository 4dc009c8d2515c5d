//! The flows that began under other rules, and how they come to follow those in force (`--conntrack=fix`).

use std::sync::Arc;

use super::flow_worker::{FlowReport, Job};
use crate::conntrack::{Before, Decisions};
use crate::conntrack::{ConntrackError, Fixed};

/// Remembers under which policies flows may have begun, until they were looked at.
#[derive(Debug)]
pub(super) struct EarlierFlows {
    /// The policy of the last pass, whether or not its rules came into force: they may have, for a moment.
    last: Option<Decisions>,
    /// Have rules come into force since the start?
    settled: bool,
    /// What no job has been made of, or a job that failed or was interrupted.
    due: Before,
    /// What is being done.
    under_way: Option<Arc<Job>>,
}

impl EarlierFlows {
    pub(super) const fn new() -> Self {
        Self { last: None, settled: false, due: Before::nothing(), under_way: None }
    }

    /// Has it followed any policy so far?
    pub(super) const fn knows_a_policy(&self) -> bool {
        self.last.is_some()
    }

    /// The rules are about to be made those of this policy. What is being done for another one is to be interrupted before,
    /// because it would soon delete flows that are right; what it has left to do is due again.
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
    /// difference to packets. The job to do now, if there may be flows that do not fit them.
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
        // What is under way has left nothing due.
        let now = self.last.clone()?;
        let job = Arc::new(Job::new(std::mem::replace(&mut self.due, Before::nothing()), now));
        self.under_way = Some(Arc::clone(&job));
        Some(job)
    }

    /// A job has ended. What it came to, unless it was interrupted. After a failure, the next pass makes a new one.
    pub(super) fn ended(&mut self, report: FlowReport) -> Option<Result<Fixed, ConntrackError>> {
        let job = self.under_way.take_if(|job| Arc::ptr_eq(job, &report.job))?;
        if report.result.is_err() {
            self.take_over(&job);
        }
        Some(report.result)
    }

    /// What it had to do is due again.
    fn take_over(&mut self, job: &Job) {
        let later = std::mem::replace(&mut self.due, job.before.clone());
        self.due.extend(&later);
    }
}

#[cfg(test)]
#[path = "earlier_flows_tests.rs"]
mod tests;
