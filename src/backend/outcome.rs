//! What a pass over the rules did, or would do.

use super::{ChangeLine, Conflict, Token};
use crate::net::Family;
use crate::text::counted;

/// What a pass over the rules did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The changes that were committed. One that another process undid and a later commit repeated counts once. Empty if
    /// all was as desired.
    pub changes: Vec<ChangeLine>,
    /// The errors of commits that failed, or seemed to, before a later one succeeded.
    pub failures: Vec<String>,
    /// The removals of chains, which are empty now, that were left undone because rules of others still jump to them.
    pub in_use: Vec<ChangeLine>,
    /// How often another process changed the rules between reading and committing.
    pub restarts: usize,
    /// Whether long lists were not read, but assumed to be what they were before another process committed.
    pub is_partly_assumed: bool,
    /// The state of the rules in which all was as desired.
    pub token: Token,
    /// Overlapping NAT chains: what others have that can undo what our rules decide, in sentences.
    pub overlaps: Vec<String>,
    /// Why what is left of our rules stays in families that are switched off.
    pub leftovers: Vec<Conflict>,
    /// The families in which rules of ours stood and were left standing as they are.
    pub left_standing: Vec<Family>,
}

/// What a pass would commit first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// The changes.
    pub changes: Vec<ChangeLine>,
    /// Whether other commits would follow.
    pub more: bool,
}

impl Outcome {
    /// Whether packets may be treated otherwise after it.
    #[must_use]
    pub fn affects_packets(&self) -> bool {
        self.changes.iter().any(|change| change.affects_packets)
    }

    /// The interferences and errors that the pass overcame, in sentences.
    pub fn mishaps(&self) -> impl Iterator<Item = String> {
        let restarts = self.restarts;
        let interference = (restarts > 0).then(|| {
            let times = counted(restarts, "time");
            format!("somebody else changed the rules {times} in the meantime; each time all was read again")
        });
        let setback = |failure| format!("{failure}; all was read again, and what was to be done is done");
        interference.into_iter().chain(self.failures.iter().map(setback))
    }

    /// What an administrator should look into: overlapping NAT chains, and rules that cannot be removed. The sentences stay
    /// the same as long as the state does, so that each is logged once.
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
