//! A queue of reports for an observer that may block.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::{Observer, Report};

/// So many reports wait for an observer. A newer one takes the place of the oldest: each report of a pass says how everything
/// is after it, so that the newest one matters most.
const MOST_WAITING: usize = 64;

/// A bounded queue: putting something there never waits.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    reports: VecDeque<Arc<Report>>,
    /// So many were dropped before the first that waits.
    dropped: u64,
}

/// Starts a thread on which the observer takes what is put into the queue.
pub(super) fn start(name: &str, mut observer: Box<dyn Observer + Send>) -> io::Result<Arc<Queue>> {
    let queue = Arc::new(Queue::default());
    let source = Arc::clone(&queue);
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        loop {
            let (report, dropped) = source.take();
            observer.observe(&report, dropped);
        }
    })?;
    Ok(queue)
}

impl Queue {
    pub(super) fn put(&self, report: Arc<Report>) {
        let mut waiting = self.lock();
        if waiting.reports.len() == MOST_WAITING {
            waiting.reports.pop_front();
            waiting.dropped += 1;
        }
        waiting.reports.push_back(report);
        drop(waiting);
        self.filled.notify_one();
    }

    /// Waits for a report. Returns it, and how many were dropped before it.
    fn take(&self) -> (Arc<Report>, u64) {
        let mut waiting = self.lock();
        loop {
            if let Some(report) = waiting.reports.pop_front() {
                return (report, std::mem::take(&mut waiting.dropped));
            }
            waiting = self.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing can panic while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::config::SourcePaths;
    use crate::report::{Counters, Reports, ServiceManager};

    /// Says what it was given, and goes on when it is told to.
    struct Slow {
        began: Sender<(u64, u64)>,
        go_on: Receiver<()>,
    }

    impl Observer for Slow {
        fn observe(&mut self, report: &Report, dropped: u64) {
            let Report::Stopping(counters) = report else { return };
            self.began.send((counters.passes, dropped)).unwrap();
            let _ = self.go_on.recv();
        }
    }

    #[test]
    fn an_observer_that_waits_for_ever_makes_nobody_wait_and_misses_the_oldest_reports() {
        let (began, has_begun) = channel();
        let (continues, go_on) = channel();
        let mut reports = Reports::new(SourcePaths::one("config"), ServiceManager::default());
        reports.add("slow", Box::new(Slow { began, go_on })).unwrap();
        let mut publish = |passes| {
            reports.publish(&Arc::new(Report::Stopping(Counters { passes, ..Counters::default() })));
        };
        publish(0);
        assert_eq!(has_begun.recv().unwrap(), (0, 0));
        // It waits from here on. None of these waits for it.
        let most = MOST_WAITING as u64;
        for passes in 1..=10_000 {
            publish(passes);
        }
        assert!(has_begun.try_recv().is_err());
        for place in 0..most {
            continues.send(()).unwrap();
            let dropped = if place == 0 { 10_000 - most } else { 0 };
            assert_eq!(has_begun.recv().unwrap(), (10_000 - most + 1 + place, dropped));
        }
    }
}
