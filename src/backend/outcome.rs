//! What a pass over the rules came to.

use std::collections::HashMap;

use crate::backend::nftables::change_line;
use crate::backend::nftables::{Action, Change, Conflict, Generation, Handle, NatOverlap, Plan};
use crate::net::Family;
use crate::text::counted;

/// What a pass over the rules did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The changes that were committed, less those that somebody undid and a later commit did again. Empty if all was as it
    /// shall be.
    pub plan: Plan,
    /// What was said of the commits that failed, or seemed to, before others did what was to be done.
    pub failures: Vec<String>,
    /// The deletions left undone because rules that are not ours still jump to these chains, which are empty now.
    pub in_use: Vec<Change>,
    /// How often somebody else changed the rules while we were at it.
    pub restarts: usize,
    /// Is that so only if long lists are what they were before somebody else committed?
    pub is_partly_assumed: bool,
    /// The generation in which all was as it shall be.
    pub generation: Generation,
    /// What of other programs can undo what ours decide.
    pub nat_overlaps: Vec<NatOverlap>,
    /// Why what is left of ours stays in a family that is off.
    pub leftovers: Vec<Conflict>,
    /// The families of which rules of ours were found standing, and stay as they are.
    pub kept: Vec<Family>,
}

impl Outcome {
    /// The plan was committed too, and is empty then. What it does that was done before, somebody has undone in between: that
    /// counts once.
    pub(super) fn committed(&mut self, plan: &mut Plan) {
        if !self.plan.is_empty() {
            let mut again: HashMap<String, usize> = HashMap::new();
            for change in &plan.changes {
                *again.entry(effect(change)).or_default() += 1;
            }
            self.plan.changes.retain(|change| {
                let Some(count @ 1..) = again.get_mut(&effect(change)) else { return true };
                *count -= 1;
                false
            });
        }
        self.plan.append(std::mem::take(&mut plan.changes));
    }

    /// What was in the way and what went wrong, and was overcome, in sentences.
    pub fn mishaps(&self) -> impl Iterator<Item = String> {
        let restarts = self.restarts;
        let interference = (restarts > 0).then(|| {
            let times = counted(restarts, "time");
            format!("somebody else changed the rules {times} meanwhile; each time all was read again")
        });
        let setback = |failure| format!("{failure}; all was read again, and what was to be done is done");
        interference.into_iter().chain(self.failures.iter().map(setback))
    }

    /// What others have in the kernel that is to be known, in sentences that stay the same while it does.
    pub fn worries(&self) -> impl Iterator<Item = String> {
        let leftover = |conflict: &Conflict| {
            format!(
                "{} is off, but what is left of the agent's rules cannot be removed: {conflict}",
                conflict.family().human()
            )
        };
        self.nat_overlaps.iter().map(ToString::to_string).chain(self.leftovers.iter().map(leftover))
    }

    /// What was left undone, in sentences.
    pub fn left_undone(&self) -> impl Iterator<Item = String> {
        self.in_use.iter().map(|change| {
            let line = change_line(change);
            format!("\"{line}\" was left undone: a rule that is not ours still jumps to that chain, which is empty now")
        })
    }
}

/// What a change does, whichever number the kernel gave to the rule that goes.
fn effect(change: &Change) -> String {
    let mut change = change.clone();
    if let Action::Delete { was, .. } = &mut change.action {
        was.handle = Handle(0);
    }
    change_line(&change)
}
