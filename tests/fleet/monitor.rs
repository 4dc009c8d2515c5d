//! What must hold of a rollout, judged beside the controller by what was seen and done: nothing here asks the controller.

use std::collections::BTreeSet;
use std::time::Duration;

use super::oracle::Moment;
use super::rollout::{Pace, Rings, Seen};

/// When a ring began and was whole.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turn {
    pub(crate) began: Option<Moment>,
    pub(crate) whole: Option<Moment>,
}

impl Turn {
    /// How long it took, if it has ended.
    pub(crate) fn took(&self) -> Option<Duration> {
        Some(self.whole?.saturating_sub(self.began?))
    }
}

/// The judge of one rollout.
#[derive(Debug)]
pub(crate) struct Monitor {
    rings: Rings,
    wanted: String,
    pace: Pace,
    seen: Vec<Seen>,
    since: Vec<Option<Moment>>,
    changed: BTreeSet<usize>,
    turns: Vec<Turn>,
}

impl Monitor {
    pub(crate) fn new(rings: Rings, wanted: &str, has_it: BTreeSet<usize>, pace: Pace) -> Self {
        let nodes = rings.iter().map(Vec::len).sum();
        Self {
            wanted: wanted.to_owned(),
            pace,
            seen: vec![Seen::default(); nodes],
            since: vec![None; nodes],
            changed: has_it,
            turns: vec![Turn::default(); rings.len()],
            rings,
        }
    }

    /// The turns of the rings so far.
    pub(crate) fn turns(&self) -> &[Turn] {
        &self.turns
    }

    /// Takes note of how the nodes are.
    pub(crate) fn see(&mut self, now: Moment, seen: &[Seen]) {
        self.seen.clone_from_slice(seen);
        for (since, seen) in self.since.iter_mut().zip(seen) {
            let is_whole = seen.is_ready && seen.fingerprint == self.wanted;
            *since = if is_whole { since.or(Some(now)) } else { None };
        }
        for ring in 0..self.rings.len() {
            let is_whole = self.turns[ring].began.is_some() && self.laggards(ring, now).is_empty();
            if is_whole && self.turns[ring].whole.is_none() {
                self.turns[ring].whole = Some(now);
            }
        }
    }

    /// Nodes are about to be changed. Says what is wrong with that.
    pub(crate) fn change(&mut self, now: Moment, nodes: &[usize]) -> Result<(), String> {
        for node in nodes {
            let of_the_node = self.rings.iter().position(|ring| ring.contains(node));
            let ring = of_the_node.ok_or_else(|| format!("node {node} is in no ring"))?;
            if self.turns[ring].began.is_none() {
                for before in 0..ring {
                    let laggards = self.laggards(before, now);
                    if !laggards.is_empty() {
                        return Err(format!(
                            "ring {ring} begins with node {node} while ring {before} is not whole: nodes {laggards:?}"
                        ));
                    }
                }
                self.turns[ring].began = Some(now);
            }
        }
        for ring in &self.rings {
            self.keeps_to_the_budget(now, ring, nodes)?;
        }
        self.changed.extend(nodes);
        Ok(())
    }

    /// The rollout is said to have ended. Says what is missing.
    pub(crate) fn done(&self, now: Moment) -> Result<(), String> {
        let laggards: Vec<usize> = (0..self.rings.len()).flat_map(|ring| self.laggards(ring, now)).collect();
        if laggards.is_empty() { Ok(()) } else { Err(format!("nodes {laggards:?} do not have the new policy")) }
    }

    /// What was not changed keeps its policy. Says which nodes beyond a ring were touched.
    pub(crate) fn stays_within(&self, last: usize) -> Result<(), String> {
        let beyond: Vec<&usize> = self.rings.iter().skip(last + 1).flatten().collect();
        let touched: Vec<&&usize> = beyond.iter().filter(|node| self.changed.contains(node)).collect();
        if touched.is_empty() { Ok(()) } else { Err(format!("nodes {touched:?} beyond ring {last} were changed")) }
    }

    fn keeps_to_the_budget(&self, now: Moment, ring: &[usize], nodes: &[usize]) -> Result<(), String> {
        let is_new = |node: &&usize| self.changed.contains(node);
        let unavailable = ring.iter().filter(is_new).filter(|node| !self.has_been_whole(**node, now)).count();
        let taken = nodes.iter().filter(|node| ring.contains(node) && self.seen[**node].is_ready).count();
        let budget = self.pace.budget(ring);
        if taken > 0 && unavailable + taken > budget {
            return Err(format!(
                "{taken} sound nodes are changed while {unavailable} changed ones are not available yet: {budget} may be"
            ));
        }
        Ok(())
    }

    fn has_been_whole(&self, node: usize, now: Moment) -> bool {
        self.since[node].is_some_and(|since| since + self.pace.min_ready <= now)
    }

    /// The nodes of a ring that are not whole.
    fn laggards(&self, ring: usize, now: Moment) -> Vec<usize> {
        self.rings[ring].iter().copied().filter(|node| !self.has_been_whole(*node, now)).collect()
    }
}
