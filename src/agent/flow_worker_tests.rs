//! The thread: one job at a time, and one that waits.

use std::time::{Duration, Instant};

use super::*;
use crate::rules::tests::policy;

/// Looks at flows until it is interrupted, unless nothing is to be done.
#[derive(Debug)]
struct Endless(UnboundedSender<()>);

impl FixFlows for Endless {
    fn fix(&mut self, before: &Before, _: &Decisions, interrupted: &AtomicBool) -> Result<Fixed, ConntrackError> {
        self.0.send(()).unwrap();
        if before.is_nothing() {
            return Ok(Fixed::default());
        }
        let give_up = Instant::now() + Duration::from_secs(20);
        while !interrupted.load(Ordering::Acquire) {
            assert!(Instant::now() < give_up, "nobody interrupts it");
            thread::yield_now();
        }
        Err(ConntrackError::Interrupted)
    }
}

fn job(before: Before) -> Arc<Job> {
    Arc::new(Job::new(before, Decisions::of(&policy(&["10.0.0.0/8"], ""))))
}

#[test]
fn a_job_that_is_interrupted_ends_and_of_those_that_wait_only_the_latest_is_done() {
    let (began, mut has_begun) = unbounded_channel();
    let mut worker = FlowWorker::start(Box::new(Endless(began))).unwrap();
    let mut reports = worker.reports().unwrap();
    assert!(worker.reports().is_none());
    let endless = job(Before::Unknown);
    worker.put(Arc::clone(&endless));
    has_begun.blocking_recv().unwrap();

    let waiting = [0, 1, 2].map(|_| job(Before::nothing()));
    for job in &waiting {
        worker.put(Arc::clone(job));
    }
    endless.interrupt();
    let report = reports.blocking_recv().unwrap();
    assert!(Arc::ptr_eq(&report.job, &endless) && matches!(report.result, Err(ConntrackError::Interrupted)));
    let report = reports.blocking_recv().unwrap();
    assert!(Arc::ptr_eq(&report.job, &waiting[2]) && report.result.is_ok());
    assert!(reports.try_recv().is_err(), "the others are forgotten");
}
