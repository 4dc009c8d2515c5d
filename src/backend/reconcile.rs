//! Read, plan, commit, read back: until what is there is what shall be there.

use std::fmt;

use thiserror::Error;

use super::{Backend, BackendError};
use crate::net::Family;
use crate::render::{change_line, plan_lines};
use crate::ruleset::{self, Action, Change, Conflict, Generation, Known, Observed, Plan, Rivalry, Ruleset, stands};

/// How often the whole is begun again, because somebody else changed the rules in between, before it is an error.
/// Each round takes a fraction of a millisecond at ordinary sizes, so this outlasts kube-proxy writing its services.
const MAX_ROUNDS: usize = 16;

/// How often in a row a commit may fail before the pass does. After the first time all is read again: that tells what became
/// of a commit whose answer was lost, and what was misread or has passed does not come again.
const MAX_FAILURES: usize = 2;

/// What a pass over the rules did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The changes that were committed. Empty if all was as it shall be.
    pub plan: Plan,
    /// What was said of the commits that failed, or seemed to, before others did what was to be done.
    pub failures: Vec<String>,
    /// The deletions left undone because rules that are not ours still jump to these chains, which are empty now.
    pub in_use: Vec<Change>,
    /// How often somebody else changed the rules while we were at it.
    pub restarts: usize,
    /// The generation in which all was as it shall be.
    pub generation: Generation,
    /// The chains of other programs that can undo what ours decide.
    pub rivalries: Vec<Rivalry>,
    /// The families of which rules of ours were found standing, and stay as they are.
    pub kept: Vec<Family>,
}

impl Outcome {
    /// What was in the way and what went wrong, and was overcome, in sentences.
    pub fn mishaps(&self) -> impl Iterator<Item = String> {
        let restarts = self.restarts;
        let interference = (restarts > 0).then(|| {
            format!("somebody else changed the rules {restarts} times meanwhile; each time all was read again")
        });
        let setback = |failure| format!("{failure}; all was read again, and what was to be done is done");
        interference.into_iter().chain(self.failures.iter().map(setback))
    }

    /// What was left undone, in sentences.
    pub fn left_undone(&self) -> impl Iterator<Item = String> {
        self.in_use.iter().map(|change| {
            let line = change_line(change);
            format!("\"{line}\" was left undone: a rule that is not ours still jumps to that chain, which is empty now")
        })
    }
}

/// Why a pass over the rules failed.
#[derive(Debug, Error)]
pub enum ReconcileError {
    /// The kernel refused.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// Something of somebody else stands in the way.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// Every time that we looked, somebody else had changed the rules again.
    #[error(
        "the rules were changed by somebody else {MAX_ROUNDS} times in a row while ours were being put in place; still \
         to be done: {}", InOneLine(.0)
    )]
    Unsettled(Plan),
}

impl ReconcileError {
    /// May the next pass succeed without anybody having mended anything, so that it should not wait for long?
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Backend(error) => error.is_transient(),
            // The owner may end at any moment, as an agent does that is being replaced.
            Self::Conflict(conflict) => matches!(conflict, Conflict::Owned(_)),
            Self::Unsettled(_) => true,
        }
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
/// [`ReconcileError`]; what was there before is there still, or was replaced by a whole commit of ours.
pub fn reconcile(backend: &mut dyn Backend, desired: &Ruleset, known: &mut Known) -> Result<Outcome, ReconcileError> {
    let mut outcome = Outcome::default();
    let mut remaining = Plan::default();
    // The last commit, if it is not known what became of it, and what it was built on.
    let mut unsure: Option<(Plan, Generation)> = None;
    let mut failures = 0;
    let mut kept = desired.keep_standing.clone();
    // A commit that builds on it is refused if the generation has passed.
    let mut at_hand = known.take(backend.generation()?);
    for _ in 0..MAX_ROUNDS {
        let (observed, was_read) = match at_hand.take() {
            Some(observed) => (observed, false),
            None => (backend.observe(&desired.chain, known)?, true),
        };
        kept.retain(|family| stands(*family, &observed));
        remaining = plan_but(&kept, desired, &observed, known)?;
        remaining.changes.retain(|change| !outcome.in_use.contains(change));
        if let Some((mut plan, generation)) = unsure.take()
            && observed.generation != generation
            && plan != remaining
        {
            outcome.plan.changes.append(&mut plan.changes);
        }
        if remaining.is_empty() {
            let rivalries = ruleset::rivalries(desired, &observed);
            let generation = observed.generation;
            *known = Known::of(observed);
            if !was_read {
                // What is reported as in force was read in this pass.
                continue;
            }
            return Ok(Outcome { generation, rivalries, kept, ..outcome });
        }
        match backend.commit(&remaining, observed.generation) {
            Ok(()) => {
                *known = Known::after(observed, &remaining);
                outcome.plan.changes.append(&mut remaining.changes);
                failures = 0;
            }
            Err(BackendError::Stale) => {
                *known = Known::of(observed);
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
    Err(ReconcileError::Unsettled(remaining))
}

/// What [`reconcile`] would commit now, if the kernel would take it: it is asked, and takes everything back.
///
/// # Errors
///
/// As [`reconcile`].
pub fn preview(backend: &mut dyn Backend, desired: &Ruleset) -> Result<Plan, ReconcileError> {
    let nothing = Known::default();
    let mut failures = 0;
    loop {
        let observed = backend.observe(&desired.chain, &nothing)?;
        let kept: Vec<Family> =
            desired.keep_standing.iter().copied().filter(|family| stands(*family, &observed)).collect();
        let plan = plan_but(&kept, desired, &observed, &nothing)?;
        match backend.probe(&plan) {
            // A chain that has to stay is told of when it matters.
            Ok(()) | Err(BackendError::InUse(_)) => return Ok(plan),
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
fn plan_but(kept: &[Family], desired: &Ruleset, observed: &Observed, known: &Known) -> Result<Plan, Conflict> {
    let families: Vec<Family> = Family::ALL.into_iter().filter(|family| !kept.contains(family)).collect();
    ruleset::plan_for(&families, desired, observed, known)
}

/// The changes of a plan within a sentence: a message is one line of the log.
struct InOneLine<'a>(&'a Plan);

impl fmt::Display for InOneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        let shown: Vec<String> = plan_lines(self.0).take(SHOWN).collect();
        f.write_str(&shown.join("; "))?;
        match self.0.changes.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "; … and {more} more"),
        }
    }
}

#[cfg(test)]
#[path = "reconcile_tests.rs"]
mod tests;
