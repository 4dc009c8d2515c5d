//! Backend selection: which backend and which layout of rules this kernel can carry. That is found out by sending it the
//! rules themselves: a transaction that the kernel refuses leaves nothing behind, and one that it accepts is what was
//! wanted.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use thiserror::Error;

use super::candidates::{Backends, Candidate, Kind, Reconciler};
use super::interface::Token;
use super::timed::{Commits, PassTimes, Stopwatch};
use super::{BackendError, ChangeSource, Outcome, Partial, Preview, ReconcileError, ReconcileOptions, WatchRules};
use crate::rules::{Layout, Protection, Ruleset, TableId};

/// `--backend`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum BackendOption {
    /// The first of the others that the kernel can carry
    #[default]
    Auto,
    /// Upstream's rules in iptables' nat table
    NftCompat,
    /// Tables of the agent's own, with the ranges in sets
    Nft,
}

/// `--protect`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Protect {
    /// Protected where the kernel knows how
    #[default]
    Auto,
    /// Protected, or an error
    On,
    /// Open to whoever has the privilege
    Off,
}

/// The desired rules, and the first candidate that the kernel has not refused to carry them.
#[derive(Debug)]
pub struct Selection {
    backends: Backends,
    candidate: Candidate,
    /// The candidates to try if the kernel refuses this one, in order. A refused one goes to the end of the queue: the kernel
    /// modules that it needs may be loaded later.
    others: VecDeque<Candidate>,
    ruleset: Ruleset,
    /// The times of the last [`Selection::reconcile`].
    stopwatch: Stopwatch,
}

/// What was done, and by which candidate.
#[derive(Debug)]
pub struct Selected<R> {
    /// Its layout.
    pub layout: Layout,
    /// The candidates that were tried before it in this pass.
    pub refused: Vec<Refusal>,
    /// What was done.
    pub result: R,
}

impl<R> Selected<R> {
    /// Which candidate the kernel accepts, in words.
    #[must_use]
    pub fn choice(&self) -> String {
        format!("backend: {}, which the kernel takes", self.layout)
    }
}

/// A candidate that the kernel cannot carry.
#[derive(Debug)]
pub struct Refusal {
    layout: Layout,
    error: ReconcileError,
}

/// Why the rules could not be brought into force by any candidate.
#[derive(Debug, Error)]
pub enum SelectError {
    /// The only candidate failed, or the error has nothing to do with the candidate.
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
    /// The kernel refused every candidate.
    #[error(
        "no backend works on this kernel: {}; nft-compat needs nf_tables with nat and iptables' extensions (modules \
         nft_chain_nat, nft_compat, xt_MASQUERADE, xt_addrtype, xt_comment), nft needs nft_chain_nat, nft_masq and nft_fib",
        .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    Nothing(Vec<Refusal>),
}

impl SelectError {
    /// Whether the next pass may succeed without anybody having repaired anything, so that it should not wait for long.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Reconcile(error) => error.is_transient(),
            Self::Nothing(_) => false,
        }
    }

    /// Whether a privilege is missing, so that trying again is of no use.
    #[must_use]
    pub const fn is_denied(&self) -> bool {
        matches!(self, Self::Reconcile(error) if error.is_denied())
    }

    /// Whether the rules could not even be read. Then nothing is known of them.
    #[must_use]
    pub const fn is_of_looking(&self) -> bool {
        matches!(self, Self::Reconcile(ReconcileError::Look { .. }))
    }

    /// What was done in the families that have no conflict.
    #[must_use]
    pub fn partial(&self) -> Option<&Partial> {
        match self {
            Self::Reconcile(error) => error.partial(),
            Self::Nothing(_) => None,
        }
    }
}

/// Compiles the rules for a layout.
pub type Compile<'a> = &'a dyn Fn(Layout) -> Ruleset;

impl Selection {
    /// Begins with the preferred candidate. No backend is opened yet.
    #[must_use]
    pub fn new(backends: Backends, option: BackendOption, protect: Protect, compile: Compile<'_>) -> Self {
        let protections = match protect {
            Protect::Auto => &[Protection::OwnerPersist, Protection::Off][..],
            Protect::On => &[Protection::OwnerPersist],
            Protect::Off => &[Protection::Off],
        };
        let own_tables = protections.iter().map(|protection| Layout::OwnTable(*protection));
        let layouts: Vec<Layout> = match option {
            // Only tables of our own can be protected.
            BackendOption::Auto if protect == Protect::On => own_tables.collect(),
            BackendOption::Auto => [Layout::IptablesNat].into_iter().chain(own_tables).collect(),
            BackendOption::NftCompat => Vec::new(),
            BackendOption::Nft => own_tables.collect(),
        };
        let mut candidates: VecDeque<Candidate> =
            layouts.into_iter().map(|layout| Candidate { kind: Kind::Nftables, layout }).collect();
        let compat = Candidate { kind: Kind::Nftables, layout: Layout::IptablesNat };
        let candidate = candidates.pop_front().unwrap_or(compat);
        let (ruleset, stopwatch) = (compile(candidate.layout), Stopwatch::start());
        Self { backends, candidate, others: candidates, ruleset, stopwatch }
    }

    /// Replaces the desired rules.
    pub fn renew(&mut self, compile: Compile<'_>) {
        self.ruleset = compile(self.candidate.layout);
    }

    /// The desired rules, in the layout of the current candidate.
    #[must_use]
    pub const fn ruleset(&self) -> &Ruleset {
        &self.ruleset
    }

    /// Brings the rules into force ([`reconcile`](super::reconcile())). A candidate that the kernel refuses, twice and on
    /// two readings of the rules, or that has a conflict of its layout, is not tried again before all others were. If every
    /// candidate is refused or has a conflict, the first with a conflict is put in place in the families without one.
    ///
    /// # Errors
    ///
    /// [`SelectError`]; the rules of before are still there, or were replaced by whole commits of ours.
    pub fn reconcile(
        &mut self,
        options: &ReconcileOptions,
        compile: Compile<'_>,
    ) -> Result<Selected<Outcome>, SelectError> {
        let mut stopwatch = Stopwatch::start();
        let selected = self.reconcile_timed(options, compile, &mut stopwatch);
        stopwatch.stop();
        self.stopwatch = stopwatch;
        selected
    }

    fn reconcile_timed(
        &mut self,
        options: &ReconcileOptions,
        compile: Compile<'_>,
        stopwatch: &mut Stopwatch,
    ) -> Result<Selected<Outcome>, SelectError> {
        let if_it_fits = ReconcileOptions { only_if_layout_fits: true, ..options.clone() };
        let selected =
            self.first_that_fits(compile, &mut |backend, ruleset| backend.reconcile(ruleset, &if_it_fits, stopwatch));
        let Err(error) = &selected else { return selected };
        let (is_refusal, is_conflict) = (error.is_refusal(), error.is_conflict_of_the_layout());
        let Ok(backend) = self.backends.of_kind(self.candidate.kind).get() else { return selected };
        if is_refusal || is_conflict {
            // The first of several commits may have been accepted, and a later one refused.
            backend.take_back(&self.ruleset.chain);
        }
        if !is_conflict {
            return selected;
        }
        let result = backend.reconcile(&self.ruleset, options, stopwatch)?;
        Ok(Selected { layout: self.candidate.layout, refused: Vec::new(), result })
    }

    /// Takes up what an earlier process remembered ([`Selection::remember`]), as far as it is still true. Whatever it is, the
    /// rules that come into force are the same.
    pub fn recall(&mut self, memory: &[u8]) {
        // A backend that cannot be opened is reported by what follows.
        if let Ok(backend) = self.backends.of_kind(self.candidate.kind).get() {
            backend.recall(memory);
        }
    }

    /// What spares a later process reading long lists; `None` if there is none, or if what was recalled is still true.
    #[must_use]
    pub fn remember(&mut self) -> Option<Vec<u8>> {
        self.backends.of_kind(self.candidate.kind).opened()?.remember()
    }

    /// The time that the last [`Selection::reconcile`] took.
    #[must_use]
    pub const fn took(&self) -> PassTimes {
        self.stopwatch.took()
    }

    /// The commits of the last [`Selection::reconcile`].
    #[must_use]
    pub const fn commits(&self) -> Commits {
        self.stopwatch.commits()
    }

    /// Begins to watch for the commits of others in this way; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`BackendError`], if the backend cannot be opened, or that cannot be set up.
    pub fn watch(&mut self, how: WatchRules) -> Result<Option<ChangeSource>, BackendError> {
        self.backends.of_kind(self.candidate.kind).get()?.watch(how)
    }

    /// Its time for reading alone.
    pub(crate) const fn reading(&self) -> Duration {
        self.stopwatch.reading()
    }

    /// Its time for the reading that took longest.
    pub(crate) const fn longest_reading(&self) -> Duration {
        self.stopwatch.longest_reading()
    }

    /// Whether there are lists that take long to read.
    #[must_use]
    pub fn has_long_lists(&mut self) -> bool {
        self.backends.of_kind(self.candidate.kind).opened().is_some_and(Reconciler::has_long_lists)
    }

    /// Whether the rules are still those of this token; `false` if that cannot be read, so that a pass finds out.
    #[must_use]
    pub fn is_current(&mut self, token: Token) -> bool {
        let backend = self.backends.of_kind(self.candidate.kind).get();
        backend.and_then(|backend| backend.is_current(token)).unwrap_or(false)
    }

    /// Whether another process still owns this table; `false` if that cannot be read, so that a pass finds out.
    #[must_use]
    pub fn is_owned_by_another(&mut self, table: TableId) -> bool {
        let backend = self.backends.of_kind(self.candidate.kind).get();
        backend.and_then(|backend| backend.is_owned_by_another(table)).unwrap_or(false)
    }

    /// What [`Selection::reconcile`] would commit now, if the kernel would accept it.
    ///
    /// # Errors
    ///
    /// As [`Selection::reconcile`].
    pub fn preview(
        &mut self,
        options: &ReconcileOptions,
        compile: Compile<'_>,
    ) -> Result<Selected<Preview>, SelectError> {
        self.first_that_fits(compile, &mut |backend, ruleset| backend.preview(ruleset, options))
    }

    fn first_that_fits<R>(
        &mut self,
        compile: Compile<'_>,
        attempt: &mut dyn FnMut(&mut dyn Reconciler, &Ruleset) -> Result<R, ReconcileError>,
    ) -> Result<Selected<R>, SelectError> {
        let mut refused = Vec::new();
        loop {
            let unopened = |source| ReconcileError::Look { source, committed: false };
            let backend = self.backends.of_kind(self.candidate.kind).get().map_err(unopened);
            let error = match backend.and_then(|backend| attempt(backend, &self.ruleset)) {
                Ok(result) => return Ok(Selected { layout: self.candidate.layout, refused, result }),
                Err(error) if error.is_of_the_candidate() => error,
                Err(error) => return Err(error.into()),
            };
            if self.others.is_empty() {
                return Err(error.into());
            }
            refused.push(Refusal { layout: self.candidate.layout, error });
            self.next_candidate(compile);
            if refused.len() > self.others.len() {
                break;
            }
        }
        // A conflict is the most useful of these errors: it may concern one family only, and an administrator can resolve it.
        let Some(at) = refused.iter().position(|refusal| refusal.error.partial().is_some()) else {
            return Err(SelectError::Nothing(refused));
        };
        for _ in 0..at {
            self.next_candidate(compile);
        }
        Err(refused.swap_remove(at).error.into())
    }

    fn next_candidate(&mut self, compile: Compile<'_>) {
        if let Some(next) = self.others.pop_front() {
            self.others.push_back(self.candidate);
            self.candidate = next;
            self.ruleset = compile(next.layout);
        }
    }
}

impl SelectError {
    /// Whether it is a conflict with the layout of the candidate: another layout would not have it.
    fn is_conflict_of_the_layout(&self) -> bool {
        matches!(self, Self::Reconcile(error @ ReconcileError::Conflict(_)) if error.is_of_the_candidate())
    }

    /// Whether the kernel refused the rules of every candidate that was tried.
    fn is_refusal(&self) -> bool {
        match self {
            Self::Reconcile(ReconcileError::Backend(error) | ReconcileError::Look { source: error, .. }) => {
                error.is_unsupported()
            }
            Self::Reconcile(_) => false,
            Self::Nothing(_) => true,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not {}: {}", self.layout, self.error)
    }
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
