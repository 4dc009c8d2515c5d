//! Which layout of rules this kernel can carry: found out by handing it the rules themselves. A transaction that the kernel
//! refuses leaves nothing behind, and one that it takes is what was wanted.

use std::collections::VecDeque;
use std::fmt;

use thiserror::Error;

use super::reconcile::reconcile_if_the_layout_fits;
use super::{Backend, Outcome, Partial, ReconcileError, preview, reconcile};
use crate::backend::nftables::{Cache, Plan, unfinished};
use crate::rules::{Layout, Protection, Ruleset};

/// `--backend`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Wanted {
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

/// The rules that shall be in force, in the first layout that the kernel has not refused.
#[derive(Debug)]
pub struct Selection {
    layout: Layout,
    /// What to try if the kernel refuses the layout, in order. A refused one goes to the end of the line: the modules that
    /// it needs may come later.
    others: VecDeque<Layout>,
    ruleset: Ruleset,
    known: Cache,
}

/// What was done in which layout.
#[derive(Debug)]
pub struct Selected<R> {
    /// The layout.
    pub layout: Layout,
    /// The layouts that were tried before it, this time.
    pub refused: Vec<Refusal>,
    /// What was done.
    pub result: R,
}

impl<R> Selected<R> {
    /// Which layout the kernel takes, in words.
    #[must_use]
    pub fn choice(&self) -> String {
        format!("backend: {}, which the kernel takes", self.layout)
    }
}

/// A layout that the kernel cannot carry.
#[derive(Debug)]
pub struct Refusal {
    layout: Layout,
    error: ReconcileError,
}

/// Why the rules could not be brought into force in any layout.
#[derive(Debug, Error)]
pub enum SelectError {
    /// In the only layout that is left, or whatever the layout.
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
    /// The kernel refused every layout.
    #[error(
        "no backend works on this kernel: {}; nft-compat needs nf_tables with nat and iptables' extensions (modules \
         nft_chain_nat, nft_compat, xt_MASQUERADE, xt_addrtype, xt_comment), nft needs nft_chain_nat, nft_masq and nft_fib",
        .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    Nothing(Vec<Refusal>),
}

impl SelectError {
    /// May the next pass succeed without anybody having mended anything, so that it should not wait for long?
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Reconcile(error) => error.is_transient(),
            Self::Nothing(_) => false,
        }
    }

    /// Is a privilege missing, so that trying again is of no use?
    #[must_use]
    pub const fn is_denied(&self) -> bool {
        matches!(self, Self::Reconcile(error) if error.is_denied())
    }

    /// Could the rules not even be read? Then nothing is known of them.
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

/// Rules in a layout.
pub type Compile<'a> = &'a dyn Fn(Layout) -> Ruleset;

impl Selection {
    /// The rules in the layout that is preferred.
    #[must_use]
    pub fn new(wanted: Wanted, protect: Protect, compile: Compile<'_>) -> Self {
        let protections = match protect {
            Protect::Auto => &[Protection::OwnerPersist, Protection::Off][..],
            Protect::On => &[Protection::OwnerPersist],
            Protect::Off => &[Protection::Off],
        };
        let native = protections.iter().map(|protection| Layout::OwnTable(*protection));
        let mut layouts: VecDeque<Layout> = match wanted {
            // Only tables of our own can be protected.
            Wanted::Auto if protect == Protect::On => native.collect(),
            Wanted::Auto => [Layout::IptablesNat].into_iter().chain(native).collect(),
            Wanted::NftCompat => VecDeque::new(),
            Wanted::Nft => native.collect(),
        };
        let layout = layouts.pop_front().unwrap_or(Layout::IptablesNat);
        Self { layout, others: layouts, ruleset: compile(layout), known: Cache::default() }
    }

    /// The rules shall be others from now on.
    pub fn renew(&mut self, compile: Compile<'_>) {
        self.ruleset = compile(self.layout);
    }

    /// The rules, in the layout that the kernel has not refused so far.
    #[must_use]
    pub const fn ruleset(&self) -> &Ruleset {
        &self.ruleset
    }

    /// Brings the rules into force ([`reconcile`]). A layout that the kernel refuses, twice and on two readings of the rules,
    /// or that meets with a conflict which others would not, is not tried again before all others were. Where each is refused
    /// or has a conflict, one with a conflict is put in place as far as that goes.
    ///
    /// # Errors
    ///
    /// [`SelectError`]; what was there before is there still, or was replaced by a whole commit of ours.
    pub fn reconcile(
        &mut self,
        backend: &mut dyn Backend,
        compile: Compile<'_>,
    ) -> Result<Selected<Outcome>, SelectError> {
        self.reconcile_assuming(false, backend, compile)
    }

    /// The same, with long lists taken to be what they were as long as they are as long: that is quick enough to find between
    /// two commits of others that a jump is missing. [`Outcome::is_partly_assumed`] says whether that was so.
    ///
    /// # Errors
    ///
    /// As [`Selection::reconcile`].
    pub fn reconcile_quickly(
        &mut self,
        backend: &mut dyn Backend,
        compile: Compile<'_>,
    ) -> Result<Selected<Outcome>, SelectError> {
        self.reconcile_assuming(true, backend, compile)
    }

    fn reconcile_assuming(
        &mut self,
        assumes: bool,
        backend: &mut dyn Backend,
        compile: Compile<'_>,
    ) -> Result<Selected<Outcome>, SelectError> {
        self.known.assume(assumes);
        let selected =
            self.first_that_fits(compile, |ruleset, known| reconcile_if_the_layout_fits(backend, ruleset, known));
        let Err(error) = &selected else { return selected };
        let (is_refusal, is_conflict) = (error.is_refusal(), error.is_conflict_of_the_layout());
        if is_refusal || is_conflict {
            self.take_back(backend);
        }
        if !is_conflict {
            return selected;
        }
        let result = reconcile(backend, &self.ruleset, &mut self.known)?;
        Ok(Selected { layout: self.layout, refused: Vec::new(), result })
    }

    /// Are there lists that take long to read?
    #[must_use]
    pub fn has_long_lists(&self) -> bool {
        self.known.has_long_lists()
    }

    /// Of several commits the first may have been taken, and another not. What it left is without effect, so that it is
    /// enough to try once: the next attempt tries again.
    fn take_back(&mut self, backend: &mut dyn Backend) {
        self.known = Cache::default();
        let Ok(observed) = backend.observe(&self.ruleset.chain, &self.known) else { return };
        let plan = unfinished(&observed);
        if !plan.is_empty() {
            let _ = backend.commit(&plan, observed.generation);
        }
    }

    /// What [`Selection::reconcile`] would commit now, if the kernel would take it.
    ///
    /// # Errors
    ///
    /// As [`Selection::reconcile`].
    pub fn preview(&mut self, backend: &mut dyn Backend, compile: Compile<'_>) -> Result<Selected<Plan>, SelectError> {
        self.first_that_fits(compile, |ruleset, _| preview(backend, ruleset))
    }

    fn first_that_fits<R>(
        &mut self,
        compile: Compile<'_>,
        mut attempt: impl FnMut(&Ruleset, &mut Cache) -> Result<R, ReconcileError>,
    ) -> Result<Selected<R>, SelectError> {
        let mut refused = Vec::new();
        loop {
            let error = match attempt(&self.ruleset, &mut self.known) {
                Ok(result) => return Ok(Selected { layout: self.layout, refused, result }),
                Err(error) if error.is_of_the_layout() => error,
                Err(error) => return Err(error.into()),
            };
            if self.others.is_empty() {
                return Err(error.into());
            }
            refused.push(Refusal { layout: self.layout, error });
            self.next_layout(compile);
            if refused.len() > self.others.len() {
                break;
            }
        }
        // Of all these a conflict tells most: one family may have none, and somebody can mend the other's.
        let Some(at) = refused.iter().position(|refusal| refusal.error.partial().is_some()) else {
            return Err(SelectError::Nothing(refused));
        };
        for _ in 0..at {
            self.next_layout(compile);
        }
        Err(refused.swap_remove(at).error.into())
    }

    fn next_layout(&mut self, compile: Compile<'_>) {
        if let Some(next) = self.others.pop_front() {
            self.others.push_back(self.layout);
            self.layout = next;
            self.ruleset = compile(next);
        }
    }
}

impl SelectError {
    /// Would the rules stand in tables of our own, or in iptables' once somebody has mended something there?
    fn is_conflict_of_the_layout(&self) -> bool {
        matches!(self, Self::Reconcile(error @ ReconcileError::Conflict(_)) if error.is_of_the_layout())
    }

    /// Has the kernel refused the rules, in whatever layout?
    fn is_refusal(&self) -> bool {
        match self {
            Self::Reconcile(ReconcileError::Backend(error)) => error.is_refusal(),
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
