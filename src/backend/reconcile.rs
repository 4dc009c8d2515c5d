//! Read, compare, commit, read back: until what is there is what shall be there.

use std::fmt;

use thiserror::Error;

use super::interface::{Backend, Change, ChangeLine, Committed, Conflict, DiffOptions, Difference, Look, Snapshot};
use super::{BackendError, Outcome, Preview};
use crate::net::Family;
use crate::rules::{Ruleset, TableId};

/// How often the whole is begun again, because somebody else changed the rules in between, before it is an error.
/// Each round takes a fraction of a millisecond at ordinary sizes, so this outlasts kube-proxy writing its services.
const MAX_ROUNDS: usize = 16;

/// How often in a row a commit may fail before the pass does. After the first time all is read again: that tells what became
/// of a commit whose answer was lost, and what was misread or has passed does not come again.
const MAX_FAILURES: usize = 2;

/// How the rules are brought into force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReconcileOptions {
    /// The families of which whatever rules of ours are found standing stay as they are: the desired ones only fill the place
    /// of missing ones.
    pub keep_standing: Vec<Family>,
    /// Shall this process own its protected tables for as long as it lives?
    pub hold: bool,
    /// How thoroughly the rules are read, before the first commit and at the end.
    pub look: Look,
    /// Is nothing written if there is a conflict that the rules would not meet with in another layout?
    pub only_if_layout_fits: bool,
}

/// Why a pass over the rules failed.
#[derive(Debug, Error)]
pub enum ReconcileError {
    /// The rules could not be read, so that nothing is known of them.
    #[error("{}: {source}", unread(*.committed))]
    Look {
        /// Why.
        source: BackendError,
        /// Was a change sent before, in the same pass?
        committed: bool,
    },
    /// A change was refused.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// Something of somebody else stands in the way.
    #[error(transparent)]
    Conflict(Box<Partial>),
    /// Every time that we looked, somebody else had changed the rules again.
    #[error(
        "the rules were changed by somebody else {MAX_ROUNDS} times in a row while ours were being put in place; {remaining}"
    )]
    Unsettled {
        /// What was left to be done.
        remaining: Remaining,
        /// How often ours were in place, and were changed before that was read back. The other times somebody else's
        /// commit came between our reading and our writing, which need not have touched what is ours.
        undone: usize,
    },
}

/// What was done in the families that have no conflict.
#[derive(Debug, Error)]
#[error("{}{}", sentences(.conflicts), rest(.others))]
pub struct Partial {
    /// What stands in the way, one for each family that it concerns.
    pub conflicts: Vec<Conflict>,
    /// The families whose rules are as they shall be.
    pub others: Vec<Family>,
    /// What was done to them.
    pub outcome: Outcome,
}

/// What is left of a change, in a few words.
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
    /// Does it concern the layout of the rules or the backend, so that the same policy may stand by another candidate?
    #[must_use]
    pub fn is_of_the_candidate(&self) -> bool {
        match self {
            Self::Look { source, .. } | Self::Backend(source) => source.is_unsupported(),
            Self::Conflict(partial) => partial.conflicts.iter().any(Conflict::is_of_the_layout),
            Self::Unsettled { .. } => false,
        }
    }

    /// What was done all the same.
    #[must_use]
    pub fn partial(&self) -> Option<&Partial> {
        if let Self::Conflict(partial) = self { Some(partial) } else { None }
    }

    /// May the next pass succeed without anybody having mended anything, so that it should not wait for long?
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Look { source, .. } | Self::Backend(source) => source.is_transient(),
            Self::Conflict(partial) => partial.conflicts.iter().any(Conflict::is_transient),
            Self::Unsettled { .. } => true,
        }
    }

    /// Have others only changed the rules again and again in the meantime? Nothing is wrong then, and nothing was undone.
    #[must_use]
    pub const fn is_contention(&self) -> bool {
        match self {
            Self::Look { source, .. } | Self::Backend(source) => source.is_contention(),
            Self::Conflict(_) => false,
            Self::Unsettled { undone, .. } => *undone == 0,
        }
    }

    /// Is a privilege missing, so that trying again is of no use?
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

/// Brings the rules into the desired state and proves it by reading back. Nothing is written if nothing differs.
///
/// A commit that fails is followed by a new look at the rules and by one more try, if that can fare better.
///
/// A family of [`ReconcileOptions::keep_standing`] of which rules are seen not to stand is brought into the desired state as a
/// whole, however many commits that takes.
///
/// # Errors
///
/// [`ReconcileError`]; what was there before is there still, or was replaced by a whole commit of ours. A conflict in one
/// family does not keep the other from the desired state.
pub fn reconcile<B: Backend>(
    backend: &mut B,
    desired: &Ruleset,
    options: &ReconcileOptions,
) -> Result<Outcome, ReconcileError> {
    let mut outcome = Outcome::default();
    let mut done = B::Change::default();
    let mut remaining = B::Change::default();
    // The last commit, if it is not known what became of it, and what it was built on.
    let mut unsure = None;
    let mut failures = 0;
    let mut keep_standing = options.keep_standing.clone();
    // Was all done by the last commit, as far as nobody interferes? And how often had somebody then?
    let (mut complete, mut undone) = (false, 0);
    let unread = |committed| move |source| ReconcileError::Look { source, committed };
    // A commit that builds on it is refused if somebody else has committed since.
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
                // What is reported as in force was read in this pass.
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
                // Until all is done, what we wrote counts as it was written.
                look = Look::Quick;
            }
            Ok(Committed::Stale) => {
                outcome.restarts += 1;
                look = Look::Quick;
            }
            Ok(Committed::InUse) => {}
            Err(error) => {
                // It may have been carried out, with only the answer lost.
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

/// What [`reconcile`] would commit now, if the kernel would take it: it is asked, and takes everything back.
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

/// The families of which something shall be there.
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
