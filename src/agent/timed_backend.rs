//! How long a pass reads the rules, and how long it writes them.

use std::time::{Duration, Instant};

use crate::backend::nftables::{Cache, Generation, Observed, Plan};
use crate::backend::{Backend, BackendError};
use crate::net::ChainName;
use crate::report::PassTimes;
use crate::rules::TableId;

/// A way to the rules that measures the time.
pub(super) struct TimedBackend<'a, B> {
    backend: &'a mut B,
    began: Instant,
    committing: Duration,
    reading: Duration,
    longest_reading: Duration,
}

impl<'a, B: Backend> TimedBackend<'a, B> {
    /// The time runs from now on.
    pub(super) fn new(backend: &'a mut B) -> Self {
        Self {
            backend,
            began: Instant::now(),
            committing: Duration::ZERO,
            reading: Duration::ZERO,
            longest_reading: Duration::ZERO,
        }
    }

    /// The time until now. What was not committing was reading and comparing.
    pub(super) fn took(&self) -> PassTimes {
        let committing = self.committing;
        PassTimes { reading: self.began.elapsed().saturating_sub(committing), committing }
    }
}

impl<B> TimedBackend<'_, B> {
    /// The time for reading alone.
    pub(super) const fn reading(&self) -> Duration {
        self.reading
    }

    /// The time for the reading that took longest.
    pub(super) const fn longest_reading(&self) -> Duration {
        self.longest_reading
    }
}

impl<B: Backend> Backend for TimedBackend<'_, B> {
    fn generation(&mut self) -> Result<Generation, BackendError> {
        self.backend.generation()
    }

    fn observe(&mut self, chain: &ChainName, known: &Cache) -> Result<Observed, BackendError> {
        let began = Instant::now();
        let observed = self.backend.observe(chain, known);
        let took = began.elapsed();
        self.reading += took;
        self.longest_reading = self.longest_reading.max(took);
        observed
    }

    fn is_owned_by_another(&mut self, table: TableId) -> Result<bool, BackendError> {
        self.backend.is_owned_by_another(table)
    }

    fn probe(&mut self, plan: &Plan) -> Result<(), BackendError> {
        self.backend.probe(plan)
    }

    fn commit(&mut self, plan: &Plan, generation: Generation) -> Result<(), BackendError> {
        let began = Instant::now();
        let committed = self.backend.commit(plan, generation);
        self.committing += began.elapsed();
        committed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::fake::Memory;
    use crate::backend::reconcile;
    use crate::rules::tests::policy;
    use crate::rules::{Layout, compile};

    /// How long a commit takes here.
    const COMMIT: Duration = Duration::from_millis(50);

    #[test]
    fn committing_is_not_reading() {
        let mut kernel = Memory::default();
        kernel.interference.push(|_| {
            let began = Instant::now();
            while began.elapsed() < COMMIT {
                std::hint::spin_loop();
            }
        });
        let desired = compile(&policy(&["10.0.0.0/8"], ""), Layout::IptablesNat);
        let began = Instant::now();
        let mut timed = TimedBackend::new(&mut kernel);
        reconcile(&mut timed, &desired, &mut Cache::default()).unwrap();
        let took = timed.took();
        assert!(took.committing >= COMMIT, "{took:?}");
        assert!(took.whole() <= began.elapsed(), "{took:?}");
        assert!(took.reading < COMMIT, "{took:?}");
    }
}
