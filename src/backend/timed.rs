//! How long a pass reads the rules, and how long it writes them.

use std::time::{Duration, Instant};

use super::interface::{Backend, Committed, DiffOptions, Difference, Look, Token};
use super::{BackendError, ChangeSource, WatchRules};
use crate::net::ChainName;
use crate::rules::{Ruleset, TableId};

/// The time that a pass spent on the rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassTimes {
    /// Reading them, and comparing them with the desired ones.
    pub reading: Duration,
    /// Waiting for the kernel to commit changes.
    pub committing: Duration,
}

impl PassTimes {
    /// The sum of both.
    #[must_use]
    pub const fn whole(self) -> Duration {
        self.reading.saturating_add(self.committing)
    }
}

/// The commits of a pass, by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Commits {
    /// They were carried out.
    pub done: u32,
    /// Nothing was changed, because the rules had changed since they were read.
    pub stale: u32,
    /// Nothing was changed, because others use something that would have been removed.
    pub in_use: u32,
    /// They failed, or their answer was lost.
    pub failed: u32,
}

/// Adds up the time of a pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopwatch {
    began: Instant,
    whole: Duration,
    committing: Duration,
    reading: Duration,
    longest_reading: Duration,
    commits: Commits,
}

impl Stopwatch {
    /// Starts now.
    pub(super) fn start() -> Self {
        let [whole, committing, reading, longest_reading] = [Duration::ZERO; 4];
        Self { began: Instant::now(), whole, committing, reading, longest_reading, commits: Commits::default() }
    }

    pub(super) fn stop(&mut self) {
        self.whole = self.began.elapsed();
    }

    /// The time that was not spent on committing counts as reading and comparing.
    pub(super) const fn took(&self) -> PassTimes {
        PassTimes { reading: self.whole.saturating_sub(self.committing), committing: self.committing }
    }

    pub(super) const fn commits(&self) -> Commits {
        self.commits
    }

    /// The time for reading alone.
    pub(super) const fn reading(&self) -> Duration {
        self.reading
    }

    /// The time for the reading that took longest.
    pub(super) const fn longest_reading(&self) -> Duration {
        self.longest_reading
    }
}

/// A backend whose reads and commits are timed.
pub(super) struct Timed<'a, B> {
    pub(super) backend: &'a mut B,
    pub(super) stopwatch: &'a mut Stopwatch,
}

impl<B: Backend> Backend for Timed<'_, B> {
    type Snapshot = B::Snapshot;
    type Change = B::Change;

    fn begin(&mut self) -> Result<Option<Self::Snapshot>, BackendError> {
        self.backend.begin()
    }

    fn read(&mut self, chain: &ChainName, look: Look) -> Result<Self::Snapshot, BackendError> {
        let began = Instant::now();
        let snapshot = self.backend.read(chain, look);
        let took = began.elapsed();
        self.stopwatch.reading += took;
        self.stopwatch.longest_reading = self.stopwatch.longest_reading.max(took);
        snapshot
    }

    fn diff(&self, want: &Ruleset, have: &Self::Snapshot, options: &DiffOptions<'_>) -> Difference<Self::Change> {
        self.backend.diff(want, have, options)
    }

    fn probe(&mut self, change: &Self::Change) -> Result<(), BackendError> {
        self.backend.probe(change)
    }

    fn commit(&mut self, change: &Self::Change, on: Self::Snapshot) -> Result<Committed, BackendError> {
        let began = Instant::now();
        let committed = self.backend.commit(change, on);
        self.stopwatch.committing += began.elapsed();
        let commits = &mut self.stopwatch.commits;
        *match &committed {
            Ok(Committed::Done | Committed::More) => &mut commits.done,
            Ok(Committed::Stale) => &mut commits.stale,
            Ok(Committed::InUse) => &mut commits.in_use,
            Err(_) => &mut commits.failed,
        } += 1;
        committed
    }

    fn settle(&mut self, have: Self::Snapshot) {
        self.backend.settle(have);
    }

    fn recall(&mut self, memory: &[u8]) {
        self.backend.recall(memory);
    }

    fn remember(&self) -> Option<Vec<u8>> {
        self.backend.remember()
    }

    fn take_back(&mut self, chain: &ChainName) {
        self.backend.take_back(chain);
    }

    fn is_current(&mut self, token: Token) -> Result<bool, BackendError> {
        self.backend.is_current(token)
    }

    fn is_owned_by_another(&mut self, table: TableId) -> Result<bool, BackendError> {
        self.backend.is_owned_by_another(table)
    }

    fn has_long_lists(&self) -> bool {
        self.backend.has_long_lists()
    }

    fn watch(&mut self, how: WatchRules) -> Result<Option<ChangeSource>, BackendError> {
        self.backend.watch(how)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::nftables::fake::{Kernel, Memory};
    use crate::backend::{ReconcileOptions, reconcile};
    use crate::rules::tests::policy;
    use crate::rules::{Layout, compile};

    /// How long a commit takes here.
    const COMMIT: Duration = Duration::from_millis(50);

    #[test]
    fn committing_is_not_reading() {
        let takes_long: fn(&mut Memory) = |_| {
            let began = Instant::now();
            while began.elapsed() < COMMIT {
                std::hint::spin_loop();
            }
        };
        let kernel = Kernel::from(Memory { interference: vec![takes_long], ..Memory::default() });
        let desired = compile(&policy(&["10.0.0.0/8"], ""), Layout::IptablesNat);
        let began = Instant::now();
        let mut stopwatch = Stopwatch::start();
        let mut timed = Timed { backend: &mut kernel.backend(), stopwatch: &mut stopwatch };
        reconcile(&mut timed, &desired, &ReconcileOptions::default()).unwrap();
        stopwatch.stop();
        let took = stopwatch.took();
        assert!(took.committing >= COMMIT, "{took:?}");
        assert!(took.whole() <= began.elapsed(), "{took:?}");
        assert!(took.reading < COMMIT, "{took:?}");
    }
}
