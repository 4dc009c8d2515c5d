//! Read, compare, commit and read back, until the rules are the desired ones.

use std::fmt;

use thiserror::Error;

use super::interface::{Backend, Change, ChangeLine, Committed, Conflict, DiffOptions, Difference, Look, Snapshot};
use super::{BackendError, Outcome, Preview};
use crate::net::Family;
use crate::rules::{Ruleset, TableId};

/// How many rounds of reading and committing a pass makes, because others change the rules in between, before it is an error.
/// Each round takes a fraction of a millisecond at ordinary sizes, so this outlasts kube-proxy writing its services.
const MAX_ROUNDS: usize = 16;

/// How many commits in a row may fail before the pass does. After the first failure all is read again: that shows whether a
/// commit whose answer was lost was carried out, and an error that came from a misreading or passed by itself does not recur.
const MAX_FAILURES: usize = 2;

/// How the rules are brought into force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReconcileOptions {
    /// The families in which our rules are left standing as they are; the desired rules are only put in place where none
    /// stand.
    pub keep_standing: Vec<Family>,
    /// Whether this process owns its protected tables for as long as it lives.
    pub hold: bool,
    /// How thoroughly the rules are read, before the first commit and at the end.
    pub look: Look,
    /// Whether nothing is written if there is a conflict that another layout would not have.
    pub only_if_layout_fits: bool,
}

/// Why a pass over the rules failed.
#[derive(Debug, Error)]
pub enum ReconcileError {
    /// The rules could not be read, so that nothing is known of them.
    #[error("{}: {source}", unread(*.committed))]
    Look {
        /// The error of the backend.
        source: BackendError,
        /// Whether a change was sent before, in the same pass.
        committed: bool,
    },
    /// A change was refused.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// An object of another process is in the way.
    #[error(transparent)]
    Conflict(Box<Partial>),
    /// In every round another process had changed the rules again.
    #[error(
        "the rules were changed by somebody else {MAX_ROUNDS} times in a row while ours were being put in place; {remaining}"
    )]
    Unsettled {
        /// What was left to be done.
        remaining: Remaining,
        /// How often our rules were in place, but had been changed when they were read back. In the other rounds a commit of
        /// another process came between reading and committing, which need not have touched our rules.
        undone: usize,
    },
}

/// What was done in the families that have no conflict.
#[derive(Debug, Error)]
#[error("{}{}", sentences(.conflicts), rest(.others))]
pub struct Partial {
    /// What stands in the way, one for each family that it concerns.
    pub conflicts: Vec<Conflict>,
    /// The families whose rules are the desired ones.
    pub others: Vec<Family>,
    /// What was done to them.
    pub outcome: Outcome,
}

/// What is left to be done of a change, in a few words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remaining {
    changes: usize,
    first: Option<String>,
}

fn sentences(conflicts: &[Conflict]) -> String {
    conflicts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; and ")
}

fn rest(others: &[Family]) -> String {
    let sentences: Vec<String> = others.iter().map(|family| format!("; {} is not affected", family.human())).collect();
    sentences.concat()
}

impl ReconcileError {
    /// Whether it concerns the layout of the rules or the backend, so that another candidate may carry the same policy.
    #[must_use]
    pub fn is_of_the_candidate(&self) -> bool {
        match self {
            Self::Look { source, .. } | Self::Backend(source) => source.is_unsupported(),
            Self::Conflict(partial) => partial.conflicts.iter().any(Conflict::is_of_the_layout),
            Self::Unsettled { .. } => false,
        }
    }

    /// What was done in the families without a conflict, if the error is a conflict.
    #[must_use]
    pub fn partial(&self) -> Option<&Partial> {
        if let Self::Conflict(partial) = self { Some(partial) } else { None }
    }

    /// Whether the next pass may succeed without anybody having repaired anything, so that it should not wait for long.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Look { source, .. } | Self::Backend(source) => source.is_transient(),
            Self::Conflict(partial) => partial.conflicts.iter().any(Conflict::is_transient),
            Self::Unsettled { .. } => true,
        }
    }

    /// Whether others only changed the rules again and again in the meantime. Nothing is wrong then, and nothing was undone.
    #[must_use]
    pub const fn is_contention(&self) -> bool {
        match self {
            Self::Look { source, .. } | Self::Backend(source) => source.is_contention(),
            Self::Conflict(_) => false,
            Self::Unsettled { undone, .. } => *undone == 0,
        }
    }

    /// Whether a privilege is missing, so that trying again is of no use.
    #[must_use]
    pub const fn is_denied(&self) -> bool {
        matches!(self, Self::Look { source, .. } | Self::Backend(source) if source.is_denied())
    }

    /// The table that another process owns, if that is what is in the way.
    #[must_use]
    pub fn owned_by_another(&self) -> Option<TableId> {
        match self {
            Self::Conflict(partial) => partial.conflicts.iter().find_map(Conflict::owned_by_another),
            Self::Backend(error) => error.owned_by_another(),
            Self::Look { .. } | Self::Unsettled { .. } => None,
        }
    }
}

fn unread(committed: bool) -> &'static str {
    if committed {
        "a change of the rules was sent, but they could not be read back"
    } else {
        "could not look at the rules"
    }
}

/// Brings the rules into the desired state and verifies that by reading back. Nothing is written if nothing differs.
///
/// After a commit that fails the rules are read again and committed once more, if that may succeed.
///
/// A family of [`ReconcileOptions::keep_standing`] in which no rules stand is brought into the desired state as a whole,
/// however many commits that takes.
///
/// # Errors
///
/// [`ReconcileError`]; the rules of before are still there, or were replaced by whole commits of ours. A conflict in one
/// family does not keep the other from the desired state.
pub fn reconcile<B: Backend>(
    backend: &mut B,
    desired: &Ruleset,
    options: &ReconcileOptions,
) -> Result<Outcome, ReconcileError> {
    let mut outcome = Outcome::default();
    let mut done = B::Change::default();
    let mut remaining = B::Change::default();
    // The last commit, if it is not known whether it was carried out, and the token of the rules that it was made from.
    let mut unsure = None;
    let mut failures = 0;
    let mut keep_standing = options.keep_standing.clone();
    // Whether the last commit was to complete the rules, and how often they were found changed after such a commit.
    let (mut complete, mut undone) = (false, 0);
    let unread = |committed| move |source| ReconcileError::Look { source, committed };
    // A commit that builds on what is cached is refused if another process has committed since.
    let mut at_hand = backend.begin().map_err(unread(false))?;
    let mut look = options.look;
    let (mut rounds, mut parts) = (0, None);
    while rounds < MAX_ROUNDS {
        rounds += 1;
        let committed = unsure.is_some() || !done.is_empty();
        let (have, was_read) = match at_hand.take() {
            Some(have) => (have, false),
            None => (backend.read(&desired.chain, look).map_err(unread(committed))?, true),
        };
        let comparison = DiffOptions { hold: options.hold, keep_standing: &keep_standing };
        let difference = backend.diff(desired, &have, &comparison);
        let Difference { change, conflicts, leftovers, left_standing, in_use, overlaps, parts: most_parts } =
            difference;
        keep_standing.clone_from(&left_standing);
        let parts = parts.get_or_insert(most_parts);
        if options.only_if_layout_fits && conflicts.iter().any(Conflict::is_of_the_layout) {
            return Err(conflict(conflicts, Vec::new(), Outcome { changes: done.lines(), ..outcome }));
        }
        remaining = change;
        if let Some((change, token)) = unsure.take()
            && have.token() != token
            && change != remaining
        {
            done.append(change);
        }
        undone += usize::from(std::mem::take(&mut complete) && !remaining.is_empty());
        if remaining.is_empty() {
            let (token, is_partly_assumed) = (have.token(), have.is_partly_assumed());
            backend.settle(have);
            if !was_read {
                // Only rules that were read in this pass are reported as in force.
                continue;
            }
            if is_partly_assumed && options.look != Look::Quick {
                look = options.look;
                continue;
            }
            let changes = done.lines();
            outcome =
                Outcome { changes, in_use, is_partly_assumed, token, overlaps, leftovers, left_standing, ..outcome };
            if conflicts.is_empty() {
                return Ok(outcome);
            }
            return Err(conflict(conflicts, families(desired), outcome));
        }
        let token = have.token();
        match backend.commit(&remaining, have) {
            Ok(committed @ (Committed::Done | Committed::More)) => {
                complete = committed == Committed::Done;
                done.append(std::mem::take(&mut remaining));
                failures = 0;
                if !complete && *parts > 0 {
                    (rounds, *parts) = (0, *parts - 1);
                }
                // Until all is done, what we committed is taken for what is there.
                look = Look::Quick;
            }
            Ok(Committed::Stale) => {
                outcome.restarts += 1;
                look = Look::Quick;
            }
            Ok(Committed::InUse) => {}
            Err(error) => {
                // The commit may have been carried out, with only the answer lost.
                failures += 1;
                if failures == MAX_FAILURES || !error.is_worth_another_look() {
                    return Err(error.into());
                }
                outcome.failures.push(error.to_string());
                unsure = error.is_transient().then(|| (remaining.clone(), token));
            }
        }
    }
    Err(ReconcileError::Unsettled { remaining: Remaining::of(&remaining), undone })
}

/// What [`reconcile`] would commit now. The kernel is asked whether it would accept it; it tries, and rolls everything back.
///
/// # Errors
///
/// As [`reconcile`].
pub fn preview<B: Backend>(
    backend: &mut B,
    desired: &Ruleset,
    options: &ReconcileOptions,
) -> Result<Preview, ReconcileError> {
    let unread = |source| ReconcileError::Look { source, committed: false };
    let comparison = DiffOptions { hold: options.hold, keep_standing: &options.keep_standing };
    let mut failures = 0;
    loop {
        backend.begin().map_err(unread)?;
        let have = backend.read(&desired.chain, Look::Fresh).map_err(unread)?;
        let Difference { change, conflicts, .. } = backend.diff(desired, &have, &comparison);
        match backend.probe(&change) {
            Ok(()) if conflicts.is_empty() => {
                return Ok(Preview { changes: change.lines(), more: change.is_followed() });
            }
            Ok(()) => {
                let outcome = Outcome { changes: change.lines(), ..Outcome::default() };
                return Err(conflict(conflicts, families(desired), outcome));
            }
            Err(error) => {
                failures += 1;
                if failures == MAX_FAILURES || !error.is_worth_another_look() {
                    return Err(error.into());
                }
            }
        }
    }
}

/// The families that have desired rules.
fn families(desired: &Ruleset) -> Vec<Family> {
    desired.tables.iter().map(|table| table.id.family).collect()
}

fn conflict(conflicts: Vec<Conflict>, mut others: Vec<Family>, outcome: Outcome) -> ReconcileError {
    others.retain(|family| conflicts.iter().all(|conflict| conflict.family() != *family));
    ReconcileError::Conflict(Box::new(Partial { conflicts, others, outcome }))
}

impl Remaining {
    fn of(change: &impl Change) -> Self {
        let lines = change.lines();
        Self { changes: lines.len(), first: lines.into_iter().next().map(|ChangeLine { text, .. }| text) }
    }
}

impl fmt::Display for Remaining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { changes, first } = self;
        match first {
            None => f.write_str("the last commit was taken, but not read back"),
            Some(line) if *changes == 1 => write!(f, "still to be done: \"{line}\""),
            Some(line) => write!(f, "still to be done: {changes} changes, of which the first is \"{line}\""),
        }
    }
}

#[cfg(test)]
#[path = "reconcile_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "reconcile_error_tests.rs"]
mod error_tests;

#[cfg(test)]
#[path = "partial_tests.rs"]
mod partial_tests;
