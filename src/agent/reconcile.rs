//! The one place where the agent meets the backend: a request in, a plain value out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tracing::{Level, warn};

use crate::backend::{
    BackendOption, Backends, ChangeLine, ChangeSource, Commits, Conflict, Look, Object, Outcome, PassTimes, Protect,
    ReconcileError, ReconcileOptions, SelectError, Selected, Selection, Token, WatchRules,
};
use crate::config::{Config, Context};
use crate::net::Family;
use crate::policy::{Flags, Policy};
use crate::report::{BackendReport, Cause, Failure, LogOnce, PassResult, RulesReport};
use crate::rules::{TableId, compile};

/// A request to bring the rules in line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reconcile {
    /// Why the pass is made.
    pub(super) cause: Cause,
    /// The configuration that the rules shall follow.
    pub(super) config: Arc<Config>,
    /// The families whose rules, if any are found, are left standing.
    pub(super) keep_standing: Vec<Family>,
    /// Whether a long list is assumed to be unchanged if its length is, so that a lost jump is put back quickly.
    pub(super) is_quick: bool,
    /// The state in which the rules were last seen in force: if they are still in it, there is nothing to do.
    pub(super) settled: Option<Token>,
}

/// The result of such a request.
#[derive(Debug)]
pub(super) struct Reconciled {
    /// What reports say of the rules.
    pub(super) rules: RulesReport,
    /// How the request ended. Whether a change was a repair is decided by `state/pass.rs`.
    pub(super) result: PassResult,
    /// The state of the kernel's rules in which ours were seen in force.
    pub(super) token: Option<Token>,
    /// The families in whose rules something was changed.
    pub(super) changed: Vec<Family>,
    /// Whether a change could have made a difference to packets.
    pub(super) affects_packets: bool,
    /// The families whose rules were left standing as they were found.
    pub(super) standing: Vec<Family>,
    /// Whether the result holds only if long lists are what they were before others committed.
    pub(super) is_partly_assumed: bool,
    /// How long it took to read long lists, if there are any and they were read.
    pub(super) long_reading: Option<Duration>,
    /// The time that the pass took.
    pub(super) took: PassTimes,
    /// What was committed.
    pub(super) commits: Commits,
}

/// The kernel's rules, and the backend selection for them.
#[derive(Debug)]
pub(super) struct KernelRules {
    flags: Flags,
    selection: Selection,
    /// The configuration of the last request; `None` before the first one, when the selection has the flags' defaults.
    config: Option<Arc<Config>>,
    /// Whether it was logged that others' commits are not heard of.
    deaf: LogOnce,
}

impl KernelRules {
    pub(super) fn new(backends: Backends, option: BackendOption, protect: Protect, flags: Flags) -> Self {
        let policy = Policy::new(&Config::defaults(&Context::from(&flags)), &flags);
        let selection = Selection::new(backends, option, protect, &|layout| compile(&policy, layout));
        Self { flags, selection, config: None, deaf: LogOnce::default() }
    }

    /// Begins to watch for the commits of others in this way; `None` if that fails, or if there is none. Then their changes
    /// are noticed at the resync interval.
    pub(super) fn watch(&mut self, how: WatchRules) -> Option<ChangeSource> {
        if how == WatchRules::Off {
            return None;
        }
        match self.selection.watch(how) {
            Ok(changes) => {
                self.deaf.ends();
                changes
            }
            Err(error) => {
                let error = error.to_string();
                if self.deaf.is_new(&error) {
                    warn!(
                        event = "rules_not_watched",
                        error, "changes of the rules by others are noticed at the resync interval only: {error}"
                    );
                }
                None
            }
        }
    }

    /// Whether another process owns this table. `false` also if that cannot be read: the next pass finds out.
    pub(super) fn is_owned_by_another(&mut self, table: TableId) -> bool {
        self.selection.is_owned_by_another(table)
    }

    /// Brings the rules in line. If none was changed since they were last seen in force, nothing is read.
    pub(super) fn reconcile(&mut self, request: &Reconcile) -> Reconciled {
        if let Some(settled) = request.settled
            && self.selection.is_current(settled)
        {
            return Reconciled::untouched(settled);
        }
        let Reconcile { config, keep_standing, is_quick, .. } = request;
        let compile = |layout| compile(&Policy::new(config, &self.flags), layout);
        if self.config.as_ref().is_none_or(|before| !Arc::ptr_eq(before, config)) {
            self.selection.renew(&compile);
            self.config = Some(Arc::clone(config));
        }
        // Our protected tables are to be owned by this process for as long as it lives.
        let options = ReconcileOptions {
            keep_standing: keep_standing.clone(),
            hold: true,
            look: if *is_quick { Look::Quick } else { Look::Thorough },
            ..ReconcileOptions::default()
        };
        let selected = self.selection.reconcile(&options, &compile);
        let mut took = self.selection.took();
        let long_reading = (!is_quick && self.selection.has_long_lists()).then(|| self.selection.longest_reading());
        if long_reading.is_some() {
            // Long lists have a pause of their own; the time for reading them must not prolong the other one.
            took.reading = took.reading.saturating_sub(self.selection.reading());
        }
        Reconciled { long_reading, took, commits: self.selection.commits(), ..reconciled(selected) }
    }
}

impl Reconciled {
    fn untouched(token: Token) -> Self {
        Self { token: Some(token), ..Self::of(PassResult::InForce) }
    }

    pub(super) fn of(result: PassResult) -> Self {
        Self {
            rules: RulesReport::default(),
            result,
            token: None,
            changed: Vec::new(),
            affects_packets: false,
            standing: Vec::new(),
            is_partly_assumed: false,
            long_reading: None,
            took: PassTimes::default(),
            commits: Commits::default(),
        }
    }
}

/// The backend's answer as a value that names no backend.
fn reconciled(selected: Result<Selected<Outcome>, SelectError>) -> Reconciled {
    match selected {
        Ok(selected) => {
            let (text, Selected { layout, refused, result }) = (selected.choice(), selected);
            let mut reconciled = of_outcome(PassResult::InForce, &result);
            reconciled.token = Some(result.token);
            reconciled.rules.backend = Some(BackendReport {
                layout,
                text,
                // Where all was left standing, the kernel was not asked to take anything.
                was_asked: result.left_standing.is_empty() || !result.changes.is_empty(),
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
    let changes = &outcome.changes;
    // All lines are collected only if they are logged.
    let most_lines = if tracing::enabled!(Level::DEBUG) { usize::MAX } else { RulesReport::LINES };
    let lines = changes.iter().take(most_lines);
    let mut families: Vec<Family> = changes.iter().map(|change| change.family).collect();
    families.sort_unstable();
    families.dedup();
    Reconciled {
        rules: RulesReport {
            was_read: true,
            backend: None,
            changes: changes.len(),
            change_lines: lines.cloned().collect(),
            objects: objects(changes),
            mishaps: outcome.mishaps().collect(),
            left_undone: outcome.left_undone().collect(),
            warnings: outcome.worries().collect(),
            failure: None,
        },
        changed: families,
        affects_packets: outcome.affects_packets(),
        standing: outcome.left_standing.clone(),
        is_partly_assumed: outcome.is_partly_assumed,
        ..Reconciled::of(result)
    }
}

/// How many changes there are of each kind of object of each family.
fn objects(changes: &[ChangeLine]) -> BTreeMap<(Family, Object), usize> {
    let mut objects = BTreeMap::new();
    for change in changes {
        *objects.entry((change.family, change.object)).or_default() += 1;
    }
    objects
}

/// The pass result of a failure; it decides when the next attempt is made.
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
