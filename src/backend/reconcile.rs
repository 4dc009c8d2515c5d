//! Read, plan, commit, read back: until what is there is what shall be there.

use std::fmt;

use thiserror::Error;

use super::{Backend, BackendError, Outcome};
use crate::backend::nftables::plan_lines;
use crate::backend::nftables::{
    Action, Cache, Conflict, Generation, Observed, PART, Plan, Planned, nat_overlaps, plan_for, stands,
};
use crate::net::Family;
use crate::rules::{Ruleset, TableId};

/// How often the whole is begun again, because somebody else changed the rules in between, before it is an error.
/// Each round takes a fraction of a millisecond at ordinary sizes, so this outlasts kube-proxy writing its services.
const MAX_ROUNDS: usize = 16;

/// How often in a row a commit may fail before the pass does. After the first time all is read again: that tells what became
/// of a commit whose answer was lost, and what was misread or has passed does not come again.
const MAX_FAILURES: usize = 2;

/// Why a pass over the rules failed.
#[derive(Debug, Error)]
pub enum ReconcileError {
    /// The rules could not be read, so that nothing is known of them.
    #[error("{}: {source}", unread(*.committed))]
    Look {
        /// What the kernel said.
        source: BackendError,
        /// Was a change sent before, in the same pass?
        committed: bool,
    },
    /// The kernel refused a change.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// Something of somebody else stands in the way.
    #[error(transparent)]
    Conflict(Box<Partial>),
    /// Every time that we looked, somebody else had changed the rules again.
    #[error(
        "the rules were changed by somebody else {MAX_ROUNDS} times in a row while ours were being put in place; {}",
        StillToDo(.remaining)
    )]
    Unsettled {
        /// What was left to be done.
        remaining: Plan,
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

fn sentences(conflicts: &[Conflict]) -> String {
    conflicts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; and ")
}

fn rest(others: &[Family]) -> String {
    let sentences: Vec<String> = others.iter().map(|family| format!("; {} is not affected", family.human())).collect();
    sentences.concat()
}

impl ReconcileError {
    /// Does it concern the layout of the rules, so that the same policy may stand in another?
    #[must_use]
    pub fn is_of_the_layout(&self) -> bool {
        match self {
            Self::Backend(error) => error.is_refusal(),
            Self::Conflict(partial) => partial.conflicts.iter().any(Conflict::is_of_the_layout),
            Self::Look { .. } | Self::Unsettled { .. } => false,
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

    /// Have others only changed the rules again and again meanwhile? Nothing is wrong then, and nothing was undone.
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
            Self::Backend(BackendError::Owned(table)) => Some(*table),
            _ => None,
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

/// Brings the rules into the desired state and proves it by reading back. Nothing is written if nothing differs. What is
/// known spares reading it before the first commit, and of large sets also after a commit; what is known afterwards is left
/// for the next time.
///
/// A commit that fails is followed by a new look at the rules and by one more try, if that can fare better.
///
/// A family of [`Ruleset::keep_standing`] of which rules are seen not to stand is brought into the desired state as a whole,
/// however many commits that takes.
///
/// # Errors
///
/// [`ReconcileError`]; what was there before is there still, or was replaced by a whole commit of ours. A conflict in one
/// family does not keep the other from the desired state.
pub fn reconcile(backend: &mut dyn Backend, desired: &Ruleset, known: &mut Cache) -> Result<Outcome, ReconcileError> {
    bring(backend, desired, known, false)
}

/// The same, but nothing is written if there is a conflict that the rules would not meet with in another layout.
///
/// # Errors
///
/// As [`reconcile`].
pub(super) fn reconcile_if_the_layout_fits(
    backend: &mut dyn Backend,
    desired: &Ruleset,
    known: &mut Cache,
) -> Result<Outcome, ReconcileError> {
    bring(backend, desired, known, true)
}

fn bring(
    backend: &mut dyn Backend,
    desired: &Ruleset,
    known: &mut Cache,
    only_if_the_layout_fits: bool,
) -> Result<Outcome, ReconcileError> {
    let assumes = known.assumes();
    let brought = bring_assuming(assumes, backend, desired, known, only_if_the_layout_fits);
    known.assume(assumes);
    brought
}

/// Within the pass long lists count as known while they are as long; if that is not to be `assumed` at the end, they are read
/// then.
fn bring_assuming(
    assumed: bool,
    backend: &mut dyn Backend,
    desired: &Ruleset,
    known: &mut Cache,
    only_if_the_layout_fits: bool,
) -> Result<Outcome, ReconcileError> {
    let mut outcome = Outcome::default();
    let mut remaining = Plan::default();
    // The last commit, if it is not known what became of it, and what it was built on.
    let mut unsure: Option<(Plan, Generation)> = None;
    let mut failures = 0;
    let mut kept = desired.keep_standing.clone();
    // Was all done by the last commit, as far as nobody interferes? And how often had somebody then?
    let (mut complete, mut undone) = (false, 0);
    // A commit that builds on it is refused if the generation has passed.
    let unread = |committed| move |source| ReconcileError::Look { source, committed };
    let mut at_hand = known.take(backend.generation().map_err(unread(false))?);
    let (mut rounds, mut parts) = (0, None);
    while rounds < MAX_ROUNDS {
        rounds += 1;
        let committed = unsure.is_some() || !outcome.plan.is_empty();
        let (observed, was_read) = match at_hand.take() {
            Some(observed) => (observed, false),
            None => (backend.observe(&desired.chain, known).map_err(unread(committed))?, true),
        };
        let parts = parts.get_or_insert_with(|| most_parts(desired, &observed));
        kept.retain(|family| stands(*family, &observed));
        let Planned { plan, conflicts, leftovers } = plan_but(&kept, desired, &observed, known);
        if only_if_the_layout_fits && conflicts.iter().any(Conflict::is_of_the_layout) {
            return Err(conflict(conflicts, Vec::new(), outcome));
        }
        remaining = plan;
        remaining.changes.retain(|change| !outcome.in_use.contains(change));
        if let Some((mut plan, generation)) = unsure.take()
            && observed.generation != generation
            && plan != remaining
        {
            outcome.committed(&mut plan);
        }
        undone += usize::from(std::mem::take(&mut complete) && !remaining.is_empty());
        if remaining.is_empty() {
            let nat_overlaps = nat_overlaps(desired, &observed);
            let Observed { generation, is_partly_assumed, .. } = observed;
            *known = Cache::of(observed).assuming(assumed);
            if !was_read {
                // What is reported as in force was read in this pass.
                continue;
            }
            if is_partly_assumed && !assumed {
                known.forget();
                continue;
            }
            let outcome = Outcome { is_partly_assumed, generation, nat_overlaps, leftovers, kept, ..outcome };
            if conflicts.is_empty() {
                return Ok(outcome);
            }
            return Err(conflict(conflicts, families(desired), outcome));
        }
        match backend.commit(&remaining, observed.generation) {
            Ok(()) => {
                // First, so that what was known is changed and not copied.
                known.forget();
                *known = Cache::after(observed, &remaining).assuming(true);
                complete = !remaining.more;
                outcome.committed(&mut remaining);
                failures = 0;
                if remaining.more && *parts > 0 {
                    (rounds, *parts) = (0, *parts - 1);
                }
            }
            Err(BackendError::Stale) => {
                *known = Cache::of(observed).assuming(true);
                outcome.restarts += 1;
            }
            Err(BackendError::InUse(change)) if matches!(change.action, Action::DeleteChain { .. }) => {
                outcome.in_use.push(*change);
            }
            Err(error) => {
                // It may have been carried out, with only the answer lost.
                known.forget();
                failures += 1;
                if failures == MAX_FAILURES || !error.is_worth_another_look() {
                    return Err(error.into());
                }
                outcome.failures.push(error.to_string());
                unsure = error.is_transient().then(|| (remaining.clone(), observed.generation));
            }
        }
    }
    Err(ReconcileError::Unsettled { remaining, undone })
}

/// What [`reconcile`] would commit now, if the kernel would take it: it is asked, and takes everything back.
///
/// # Errors
///
/// As [`reconcile`].
pub fn preview(backend: &mut dyn Backend, desired: &Ruleset) -> Result<Plan, ReconcileError> {
    let nothing = Cache::default();
    let mut failures = 0;
    loop {
        let look = backend.observe(&desired.chain, &nothing);
        let observed = look.map_err(|source| ReconcileError::Look { source, committed: false })?;
        let kept: Vec<Family> =
            desired.keep_standing.iter().copied().filter(|family| stands(*family, &observed)).collect();
        let Planned { plan, conflicts, .. } = plan_but(&kept, desired, &observed, &nothing);
        match backend.probe(&plan) {
            // A chain that has to stay is told of when it matters.
            Ok(()) | Err(BackendError::InUse(_)) if conflicts.is_empty() => return Ok(plan),
            Ok(()) | Err(BackendError::InUse(_)) => {
                return Err(conflict(conflicts, families(desired), Outcome { plan, ..Outcome::default() }));
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

/// What has to change in all families but those of which the rules are kept.
fn plan_but(kept: &[Family], desired: &Ruleset, observed: &Observed, known: &Cache) -> Planned {
    let families: Vec<Family> = Family::ALL.into_iter().filter(|family| !kept.contains(family)).collect();
    plan_for(&families, desired, observed, known)
}

/// The families of which something shall be there.
fn families(desired: &Ruleset) -> Vec<Family> {
    desired.tables.iter().map(|table| table.id.family).collect()
}

fn conflict(conflicts: Vec<Conflict>, mut others: Vec<Family>, outcome: Outcome) -> ReconcileError {
    others.retain(|family| conflicts.iter().all(|conflict| conflict.family() != *family));
    ReconcileError::Conflict(Box::new(Partial { conflicts, others, outcome }))
}

/// How many of the commits that are only the next part of a large change begin a new count of rounds: as many as it takes to
/// make each set anew, and to empty those that are there.
fn most_parts(desired: &Ruleset, observed: &Observed) -> usize {
    let wanted = desired.tables.iter().flat_map(|table| &table.sets).map(|set| set.elements.len());
    let present = observed.tables.iter().flat_map(|table| &table.sets).map(|set| set.elements.len());
    wanted.chain(present).map(|elements| elements.div_ceil(PART)).sum::<usize>()
}

/// What is left of a plan, in a few words.
struct StillToDo<'a>(&'a Plan);

impl fmt::Display for StillToDo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changes = self.0.changes.len();
        match plan_lines(self.0).next() {
            None => f.write_str("the last commit was taken, but not read back"),
            Some(line) if changes == 1 => write!(f, "still to be done: \"{line}\""),
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
