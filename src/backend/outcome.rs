//! What a pass over the rules came to.

use super::{ChangeLine, Conflict, Token};
use crate::net::Family;
use crate::text::counted;

/// What a pass over the rules did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The changes that were committed, less those that somebody undid and a later commit did again. Empty if all was as it
    /// shall be.
    pub changes: Vec<ChangeLine>,
    /// What was said of the commits that failed, or seemed to, before others did what was to be done.
    pub failures: Vec<String>,
    /// The removals left undone because rules that are not ours still jump to these chains, which are empty now.
    pub in_use: Vec<ChangeLine>,
    /// How often somebody else changed the rules while we were at it.
    pub restarts: usize,
    /// Is that so only if long lists are what they were before somebody else committed?
    pub is_partly_assumed: bool,
    /// As of when all was as it shall be.
    pub token: Token,
    /// What of other programs can undo what ours decide, in sentences.
    pub overlaps: Vec<String>,
    /// Why what is left of ours stays in a family that is off.
    pub leftovers: Vec<Conflict>,
    /// The families of which rules of ours were found standing, and stay as they are.
    pub left_standing: Vec<Family>,
}

/// What a pass would commit first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// The changes.
    pub changes: Vec<ChangeLine>,
    /// Would other commits follow?
    pub more: bool,
}

impl Outcome {
    /// Can packets fare otherwise after it?
    #[must_use]
    pub fn affects_packets(&self) -> bool {
        self.changes.iter().any(|change| change.affects_packets)
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
        self.overlaps.iter().cloned().chain(self.leftovers.iter().map(leftover))
    }

    /// What was left undone, in sentences.
    pub fn left_undone(&self) -> impl Iterator<Item = String> {
        self.in_use.iter().map(|line| {
            format!("\"{line}\" was left undone: a rule that is not ours still jumps to that chain, which is empty now")
        })
    }
}
