//! The backends among which one is selected, each opened when it is first needed.

use std::fmt;

use super::interface::{Backend, Token};
use super::nftables::Nftables;
use super::timed::{Stopwatch, Timed};
use super::{
    BackendError, ChangeSource, Outcome, Preview, ReconcileError, ReconcileOptions, WatchRules, preview, reconcile,
};
use crate::net::ChainName;
use crate::netlink::Transport;
use crate::rules::{Layout, Ruleset, TableId};

/// A backend, and the layout in which it keeps the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) kind: Kind,
    pub(super) layout: Layout,
}

/// The kinds of backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// nf_tables over netlink.
    Nftables,
}

/// One backend of each kind.
#[derive(Debug)]
pub struct Backends {
    nftables: Lazy,
}

/// A backend that is opened when it is first needed.
pub(super) struct Lazy {
    open: fn() -> Result<Box<dyn Reconciler>, BackendError>,
    opened: Option<Box<dyn Reconciler>>,
}

/// A [`Backend`] without its associated types, so that backends of different kinds can be used alike.
pub(super) trait Reconciler {
    fn reconcile(
        &mut self,
        desired: &Ruleset,
        options: &ReconcileOptions,
        stopwatch: &mut Stopwatch,
    ) -> Result<Outcome, ReconcileError>;

    fn preview(&mut self, desired: &Ruleset, options: &ReconcileOptions) -> Result<Preview, ReconcileError>;

    fn recall(&mut self, memory: &[u8]);

    fn remember(&self) -> Option<Vec<u8>>;

    fn take_back(&mut self, chain: &ChainName);

    fn is_current(&mut self, token: Token) -> Result<bool, BackendError>;

    fn is_owned_by_another(&mut self, table: TableId) -> Result<bool, BackendError>;

    fn has_long_lists(&self) -> bool;

    fn watch(&mut self, how: WatchRules) -> Result<Option<ChangeSource>, BackendError>;
}

impl<B: Backend> Reconciler for B {
    fn reconcile(
        &mut self,
        desired: &Ruleset,
        options: &ReconcileOptions,
        stopwatch: &mut Stopwatch,
    ) -> Result<Outcome, ReconcileError> {
        reconcile(&mut Timed { backend: self, stopwatch }, desired, options)
    }

    fn preview(&mut self, desired: &Ruleset, options: &ReconcileOptions) -> Result<Preview, ReconcileError> {
        preview(self, desired, options)
    }

    fn recall(&mut self, memory: &[u8]) {
        Backend::recall(self, memory);
    }

    fn remember(&self) -> Option<Vec<u8>> {
        Backend::remember(self)
    }

    fn take_back(&mut self, chain: &ChainName) {
        Backend::take_back(self, chain);
    }

    fn is_current(&mut self, token: Token) -> Result<bool, BackendError> {
        Backend::is_current(self, token)
    }

    fn is_owned_by_another(&mut self, table: TableId) -> Result<bool, BackendError> {
        Backend::is_owned_by_another(self, table)
    }

    fn has_long_lists(&self) -> bool {
        Backend::has_long_lists(self)
    }

    fn watch(&mut self, how: WatchRules) -> Result<Option<ChangeSource>, BackendError> {
        Backend::watch(self, how)
    }
}

impl Backends {
    /// The backends of the network namespace in which they are first used.
    #[must_use]
    pub const fn of_this_namespace() -> Self {
        Self { nftables: Lazy { open: open_nftables, opened: None } }
    }

    /// The same, with an nf_tables backend that is open already.
    #[must_use]
    pub fn over<T: Transport + 'static>(nftables: Nftables<T>) -> Self {
        Self { nftables: Lazy { open: open_nftables, opened: Some(Box::new(nftables)) } }
    }

    /// A backend whose opening is this function.
    #[cfg(test)]
    pub(super) const fn unopenable(open: fn() -> Result<Box<dyn Reconciler>, BackendError>) -> Self {
        Self { nftables: Lazy { open, opened: None } }
    }

    pub(super) const fn of_kind(&mut self, kind: Kind) -> &mut Lazy {
        match kind {
            Kind::Nftables => &mut self.nftables,
        }
    }
}

fn open_nftables() -> Result<Box<dyn Reconciler>, BackendError> {
    Ok(Box::new(Nftables::open()?))
}

impl Lazy {
    /// The backend, opened now if it was not before.
    pub(super) fn get(&mut self) -> Result<&mut (dyn Reconciler + 'static), BackendError> {
        let opened = match self.opened.take() {
            Some(opened) => opened,
            None => (self.open)()?,
        };
        Ok(&mut **self.opened.insert(opened))
    }

    /// The backend, if it was opened.
    pub(super) fn opened(&self) -> Option<&(dyn Reconciler + 'static)> {
        self.opened.as_deref()
    }
}

impl fmt::Debug for Lazy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lazy").field("is_opened", &self.opened.is_some()).finish_non_exhaustive()
    }
}
