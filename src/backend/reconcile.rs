//! Read, plan, commit, read back: until what is there is what shall be there.

use std::fmt;

use thiserror::Error;

use super::{Backend, BackendError};
use crate::render::{change_line, plan_lines};
use crate::ruleset::{self, Action, Change, Conflict, Generation, Plan, Rivalry, Ruleset};

/// How often the whole is begun again, because somebody else changed the rules in between, before it is an error.
/// Each round takes a fraction of a millisecond at ordinary sizes, so this outlasts kube-proxy writing its services.
const MAX_ROUNDS: usize = 16;

/// What a pass over the rules did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The changes that were committed. Empty if all was as it shall be.
    pub plan: Plan,
    /// The deletions left undone because rules that are not ours still jump to these chains, which are empty now.
    pub in_use: Vec<Change>,
    /// How often somebody else changed the rules while we were at it.
    pub restarts: usize,
    /// The generation in which all was as it shall be.
    pub generation: Generation,
    /// The chains of other programs that can undo what ours decide.
    pub rivalries: Vec<Rivalry>,
}

impl Outcome {
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
         to be done:{}", Indented(.0)
    )]
    Unsettled(Plan),
}

/// Brings the rules into the desired state and proves it by reading back. Nothing is written if nothing differs.
///
/// # Errors
///
/// [`ReconcileError`]; what was there before is there still, or was replaced by a whole commit of ours.
pub fn reconcile(backend: &mut dyn Backend, desired: &Ruleset) -> Result<Outcome, ReconcileError> {
    let mut outcome = Outcome::default();
    let mut remaining = Plan::default();
    for _ in 0..MAX_ROUNDS {
        let observed = backend.observe(&desired.chain)?;
        remaining = ruleset::plan(desired, &observed)?;
        remaining.changes.retain(|change| !outcome.in_use.contains(change));
        if remaining.is_empty() {
            let rivalries = ruleset::rivalries(desired, &observed);
            return Ok(Outcome { generation: observed.generation, rivalries, ..outcome });
        }
        match backend.commit(&remaining, observed.generation) {
            Ok(()) => outcome.plan.changes.append(&mut remaining.changes),
            Err(BackendError::Stale) => outcome.restarts += 1,
            Err(BackendError::InUse(change)) if matches!(change.action, Action::DeleteChain { .. }) => {
                outcome.in_use.push(*change);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(ReconcileError::Unsettled(remaining))
}

/// What [`reconcile`] would commit now. Reads only.
///
/// # Errors
///
/// As [`reconcile`], less what only writing can meet.
pub fn preview(backend: &mut dyn Backend, desired: &Ruleset) -> Result<Plan, ReconcileError> {
    let observed = backend.observe(&desired.chain)?;
    Ok(ruleset::plan(desired, &observed)?)
}

struct Indented<'a>(&'a Plan);

impl fmt::Display for Indented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        plan_lines(self.0).try_for_each(|line| write!(f, "\n  {line}"))
    }
}

#[cfg(test)]
#[path = "reconcile_tests.rs"]
mod tests;
