//! The thread that looks at conntrack's flows: a hundred thousand of them take seconds, in which no repair may wait.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::conntrack::{Before, ConntrackError, Decisions, FixFlows, Fixed};

/// A request to look at flows.
#[derive(Debug)]
pub(super) struct Job {
    /// Under which policies they may have begun.
    pub(super) before: Before,
    /// Which policy they shall follow.
    pub(super) now: Decisions,
    interrupted: AtomicBool,
}

/// The end of a job.
#[derive(Debug)]
pub(super) struct FlowReport {
    pub(super) job: Arc<Job>,
    pub(super) result: Result<Fixed, ConntrackError>,
}

/// The handle of the thread.
#[derive(Debug)]
pub struct FlowWorker {
    next: Arc<Next>,
    reports: Option<UnboundedReceiver<FlowReport>>,
}

/// The job that comes next: one at most, because a later one includes what an earlier one has left to do.
#[derive(Debug, Default)]
struct Next {
    job: Mutex<Option<Arc<Job>>>,
    put: Condvar,
}

impl Job {
    pub(super) const fn new(before: Before, now: Decisions) -> Self {
        Self { before, now, interrupted: AtomicBool::new(false) }
    }

    #[cfg(test)]
    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Acquire)
    }

    /// Has the job end soon. It deletes no flow that began after this call.
    pub(super) fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Release);
    }
}

impl FlowWorker {
    /// Starts the thread, which lives as long as the process.
    ///
    /// # Errors
    ///
    /// If the thread cannot be started.
    pub(crate) fn start(mut fixer: Box<dyn FixFlows>) -> io::Result<Self> {
        let next = Arc::new(Next::default());
        let (tell, reports) = unbounded_channel();
        let jobs = Arc::clone(&next);
        thread::Builder::new().name("flows".to_owned()).spawn(move || work(&jobs, fixer.as_mut(), &tell))?;
        Ok(Self { next, reports: Some(reports) })
    }

    /// Makes this the next job, in place of one that waits. The job under way goes on, unless it is interrupted.
    pub(super) fn put(&self, job: Arc<Job>) {
        *self.next.lock() = Some(job);
        self.next.put.notify_one();
    }

    /// Where the reports come in; for the first caller.
    pub(super) const fn reports(&mut self) -> Option<UnboundedReceiver<FlowReport>> {
        self.reports.take()
    }
}

impl Next {
    fn lock(&self) -> MutexGuard<'_, Option<Arc<Job>>> {
        self.job.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a job.
    fn take(&self) -> Arc<Job> {
        let mut job = self.lock();
        loop {
            if let Some(job) = job.take() {
                return job;
            }
            job = self.put.wait(job).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Ends when nobody takes the reports any more.
fn work(next: &Next, fixer: &mut dyn FixFlows, tell: &UnboundedSender<FlowReport>) {
    loop {
        let job = next.take();
        let result = fixer.fix(&job.before, &job.now, &job.interrupted);
        if tell.send(FlowReport { job, result }).is_err() {
            return;
        }
    }
}

#[cfg(test)]
#[path = "flow_worker_tests.rs"]
mod tests;
