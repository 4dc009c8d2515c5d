//! The one place where the agent meets the backend: a request in, a plain value out.

use std::sync::Arc;
use std::time::Duration;

use tracing::Level;

use super::timed_backend::TimedBackend;
use crate::backend::nftables::{Conflict, Generation, plan_lines};
use crate::backend::{Backend, Outcome, Protect, ReconcileError, SelectError, Selected, Selection, Wanted};
use crate::config::Config;
use crate::net::Family;
use crate::policy::{Flags, Policy};
use crate::report::{BackendReport, Cause, ChangeLine, Failure, PassResult, PassTimes, RulesReport};
use crate::rules::{Layout, Ruleset, TableId, compile};

/// A request to bring the rules in line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reconcile {
    /// Why.
    pub(super) cause: Cause,
    /// What they shall follow.
    pub(super) config: Arc<Config>,
    /// The families of which rules that stand stay as they are.
    pub(super) keep_standing: Vec<Family>,
    /// Are long lists taken to be what they were as long as they are as long, so that a lost jump is quickly put back?
    pub(super) is_quick: bool,
    /// If the rules are still of this generation, nothing is to be done.
    pub(super) settled: Option<Generation>,
}

/// What it came to.
#[derive(Debug)]
pub(super) struct Reconciled {
    /// What there is to say of it.
    pub(super) rules: RulesReport,
    /// What it came to; whether it was a repair is for somebody else to say.
    pub(super) result: PassResult,
    /// The generation in which the rules were seen to be as they shall be.
    pub(super) generation: Option<Generation>,
    /// The families in whose rules something was changed.
    pub(super) changed: Vec<Family>,
    /// Could a change have made a difference to packets?
    pub(super) affects_packets: bool,
    /// The families of which rules were found standing, and stay as they are.
    pub(super) standing: Vec<Family>,
    /// Is the result so only if long lists are what they were before somebody else committed?
    pub(super) is_partly_assumed: bool,
    /// How long it took to read long lists, if there are any and they were read.
    pub(super) long_reading: Option<Duration>,
    /// The time that it took.
    pub(super) took: PassTimes,
}

/// The kernel's rules, and what was found out about the layouts that it takes.
#[derive(Debug)]
pub(super) struct KernelRules<B> {
    backend: B,
    wanted: Wanted,
    protect: Protect,
    flags: Flags,
    /// `None` before the first request, and behind it what that was for.
    selection: Option<(Selection, Arc<Config>, Vec<Family>)>,
}

impl<B: Backend> KernelRules<B> {
    pub(super) const fn new(backend: B, wanted: Wanted, protect: Protect, flags: Flags) -> Self {
        Self { backend, wanted, protect, flags, selection: None }
    }

    /// The way to the kernel, for tests to meddle with.
    #[cfg(test)]
    pub(super) const fn backend(&mut self) -> &mut B {
        &mut self.backend
    }

    /// Does another process own this table? What cannot be told is for a pass to find out.
    pub(super) fn is_owned_by_another(&mut self, table: TableId) -> bool {
        self.backend.is_owned_by_another(table).unwrap_or(false)
    }

    /// Brings the rules in line. If nobody has changed any since they were as they shall be, nothing is read.
    pub(super) fn reconcile(&mut self, request: &Reconcile) -> Reconciled {
        if let Some(settled) = request.settled
            && self.backend.generation().is_ok_and(|now| now == settled)
        {
            return Reconciled::untouched(settled);
        }
        let Reconcile { config, keep_standing, is_quick, .. } = request;
        // What shall be in the kernel, and be ours while we live.
        let compile = |layout: Layout| Ruleset {
            hold: true,
            keep_standing: keep_standing.clone(),
            ..compile(&Policy::new(config, &self.flags), layout)
        };
        let selection = match &mut self.selection {
            Some((selection, before, standing)) => {
                if !Arc::ptr_eq(before, config) || standing != keep_standing {
                    selection.renew(&compile);
                    (*before, *standing) = (Arc::clone(config), keep_standing.clone());
                }
                selection
            }
            none => {
                let selection = Selection::new(self.wanted, self.protect, &compile);
                &mut none.insert((selection, Arc::clone(config), keep_standing.clone())).0
            }
        };
        let mut backend = TimedBackend::new(&mut self.backend);
        let selected = if *is_quick {
            selection.reconcile_quickly(&mut backend, &compile)
        } else {
            selection.reconcile(&mut backend, &compile)
        };
        let mut took = backend.took();
        let long_reading = (!is_quick && selection.has_long_lists()).then(|| backend.longest_reading());
        if long_reading.is_some() {
            // That has its own pause, and what is quickly read none that is so long.
            took.reading = took.reading.saturating_sub(backend.reading());
        }
        Reconciled { long_reading, took, ..reconciled(selected) }
    }
}

impl Reconciled {
    fn untouched(generation: Generation) -> Self {
        Self { generation: Some(generation), ..Self::of(PassResult::InForce) }
    }

    pub(super) fn of(result: PassResult) -> Self {
        Self {
            rules: RulesReport::default(),
            result,
            generation: None,
            changed: Vec::new(),
            affects_packets: false,
            standing: Vec::new(),
            is_partly_assumed: false,
            long_reading: None,
            took: PassTimes::default(),
        }
    }
}

/// What the backend's answer comes to, in nobody's protocol.
fn reconciled(selected: Result<Selected<Outcome>, SelectError>) -> Reconciled {
    match selected {
        Ok(selected) => {
            let (text, Selected { layout, refused, result }) = (selected.choice(), selected);
            let mut reconciled = of_outcome(PassResult::InForce, &result);
            reconciled.generation = Some(result.generation);
            reconciled.rules.backend = Some(BackendReport {
                layout,
                text,
                // Where all was left alone, the kernel was not asked to take anything.
                was_asked: result.kept.is_empty() || !result.plan.is_empty(),
                refused: refused.iter().map(ToString::to_string).collect(),
            });
            reconciled
        }
        Err(error) => {
            let result = result_of(&error);
            let partial = error.partial();
            let mut reconciled =
                partial.map_or_else(|| Reconciled::of(result), |partial| of_outcome(result, &partial.outcome));
            reconciled.rules.failure = Some(Failure {
                text: error.to_string(),
                is_of_reading: error.is_of_looking(),
                is_denied: error.is_denied(),
                in_conflict: partial
                    .iter()
                    .flat_map(|partial| partial.conflicts.iter().map(Conflict::family))
                    .collect(),
                unaffected: partial.iter().flat_map(|partial| partial.others.iter().copied()).collect(),
            });
            reconciled
        }
    }
}

fn of_outcome(result: PassResult, outcome: &Outcome) -> Reconciled {
    let changes = &outcome.plan.changes;
    // Millions of lines are made only for somebody who reads them.
    let most_lines = if tracing::enabled!(Level::DEBUG) { usize::MAX } else { RulesReport::LINES };
    let lines = changes.iter().zip(plan_lines(&outcome.plan)).take(most_lines);
    let mut families: Vec<Family> = changes.iter().map(|change| change.table.family).collect();
    families.sort_unstable();
    families.dedup();
    Reconciled {
        rules: RulesReport {
            was_read: true,
            backend: None,
            changes: changes.len(),
            change_lines: lines.map(|(change, text)| ChangeLine { family: change.table.family, text }).collect(),
            mishaps: outcome.mishaps().collect(),
            left_undone: outcome.left_undone().collect(),
            warnings: outcome.worries().collect(),
            failure: None,
        },
        changed: families,
        affects_packets: outcome.plan.concerns_packets(),
        standing: outcome.kept.clone(),
        is_partly_assumed: outcome.is_partly_assumed,
        ..Reconciled::of(result)
    }
}

/// How a failure is waited for.
fn result_of(error: &SelectError) -> PassResult {
    let error = match error {
        SelectError::Nothing(_) => return PassResult::Stuck,
        SelectError::Reconcile(error) => error,
    };
    match (error, error.owned_by_another()) {
        (_, Some(table)) => PassResult::Owned(table),
        (error, _) if error.is_contention() => PassResult::Overtaken,
        (ReconcileError::Unsettled { .. }, _) => PassResult::Undone,
        (error, _) if error.is_transient() => PassResult::Failed,
        _ => PassResult::Stuck,
    }
}

#[cfg(test)]
#[path = "reconcile_tests.rs"]
mod tests;
