//! The rollout controller: which nodes get the new policy next. It knows only what was seen of the nodes.
//!
//! Each ring is rolled out as Kubernetes' DaemonSet controller rolls out a DaemonSet (`RollingUpdate`): at most
//! `maxUnavailable` of its nodes are unavailable because of the change, a node counts as available once it has been ready
//! for `minReadySeconds`, and an old node that is unavailable anyway is replaced at once. A ring begins when the one
//! before is whole: every node of it ready, with the new fingerprint.

use std::collections::BTreeSet;
use std::time::Duration;

use super::oracle::Moment;

/// The nodes of each ring, in the order in which they are changed.
pub(crate) type Rings = Vec<Vec<usize>>;

/// How a node was seen last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) is_ready: bool,
    pub(crate) fingerprint: String,
}

/// How fast a ring may go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// `maxUnavailable`, in percent of a ring's nodes, rounded up as the DaemonSet controller does.
    pub(crate) max_unavailable: usize,
    /// `minReadySeconds`.
    pub(crate) min_ready: Duration,
    /// Without progress for so long the rollout is given up (`kubectl rollout status --timeout`).
    pub(crate) deadline: Duration,
}

impl Pace {
    /// How many nodes of a ring may be unavailable.
    pub(crate) fn budget(&self, ring: &[usize]) -> usize {
        (ring.len() * self.max_unavailable).div_ceil(100)
    }
}

/// What a controller can do wrong. The self-tests make it do that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// The next ring begins as soon as all nodes of the one before were changed.
    DoesNotWaitForRings,
    /// A node that is ready counts as new, whatever its fingerprint.
    TrustsReadiness,
    IgnoresTheBudget,
    IgnoresMinReady,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// These nodes get the new policy.
    Change(Vec<usize>),
    Wait,
    /// Nothing has become better for longer than [`Pace::deadline`].
    Stalled,
    /// All rings are whole.
    Done,
}

/// One rollout.
#[derive(Debug)]
pub(crate) struct Rollout {
    rings: Rings,
    wanted: String,
    pace: Pace,
    flaw: Option<Flaw>,
    ring: usize,
    changed: BTreeSet<usize>,
    /// Since when each node has been ready with the new policy.
    whole_since: Vec<Option<Moment>>,
    /// How many were at most, and when there was progress last.
    best: usize,
    progress: Option<Moment>,
}

impl Rollout {
    /// Brings the fingerprint `wanted` to all nodes but those of `has_it`, whose template is the wanted one already.
    pub(crate) fn new(rings: Rings, wanted: &str, has_it: BTreeSet<usize>, pace: Pace, flaw: Option<Flaw>) -> Self {
        let nodes = rings.iter().map(Vec::len).sum();
        let whole_since = vec![None; nodes];
        Self {
            rings,
            wanted: wanted.to_owned(),
            pace,
            flaw,
            ring: 0,
            changed: has_it,
            whole_since,
            best: 0,
            progress: None,
        }
    }

    /// The ring whose turn it is.
    pub(crate) const fn ring(&self) -> usize {
        self.ring
    }

    /// The nodes that have been told to follow the new policy.
    pub(crate) const fn changed(&self) -> &BTreeSet<usize> {
        &self.changed
    }

    /// Whether a node has been seen whole for long enough.
    pub(crate) fn is_available(&self, node: usize, now: Moment) -> bool {
        let min_ready = if self.flaw == Some(Flaw::IgnoresMinReady) { Duration::ZERO } else { self.pace.min_ready };
        self.whole_since[node].is_some_and(|since| since + min_ready <= now)
    }

    /// Whether the next step may begin the next ring, so that the nodes should be looked at anew.
    pub(crate) fn is_about_to_turn(&self, now: Moment) -> bool {
        self.rings[self.ring].iter().all(|node| self.is_available(*node, now))
    }

    /// Somebody has mended what was in the way: the deadline counts from now.
    pub(crate) const fn go_on(&mut self, now: Moment) {
        self.progress = Some(now);
    }

    /// What is to be done, by how the nodes were seen now.
    pub(crate) fn step(&mut self, now: Moment, seen: &[Seen]) -> Step {
        self.take_note(now, seen);
        loop {
            let ring = &self.rings[self.ring];
            let is_whole = match self.flaw {
                Some(Flaw::DoesNotWaitForRings) if self.ring + 1 < self.rings.len() => {
                    ring.iter().all(|node| self.changed.contains(node))
                }
                _ => ring.iter().all(|node| self.changed.contains(node) && self.is_available(*node, now)),
            };
            if !is_whole {
                break;
            }
            if self.ring + 1 == self.rings.len() {
                return Step::Done;
            }
            self.ring += 1;
            self.progress = Some(now);
        }
        let next = self.next(now, seen);
        if !next.is_empty() {
            self.changed.extend(&next);
            return Step::Change(next);
        }
        let since = *self.progress.get_or_insert(now);
        if now.saturating_sub(since) > self.pace.deadline { Step::Stalled } else { Step::Wait }
    }

    fn take_note(&mut self, now: Moment, seen: &[Seen]) {
        for (node, (since, seen)) in self.whole_since.iter_mut().zip(seen).enumerate() {
            let is_new = seen.fingerprint == self.wanted
                || self.flaw == Some(Flaw::TrustsReadiness) && self.changed.contains(&node);
            if !(seen.is_ready && is_new) {
                *since = None;
            } else if since.is_none() {
                *since = Some(now);
            }
        }
        let whole = self.whole_since.iter().flatten().count();
        if whole > self.best {
            (self.best, self.progress) = (whole, Some(now));
        }
    }

    fn next(&self, now: Moment, seen: &[Seen]) -> Vec<usize> {
        let ring = &self.rings[self.ring];
        let (new, old): (Vec<usize>, Vec<usize>) = ring.iter().partition(|node| self.changed.contains(node));
        let unavailable = new.into_iter().filter(|node| !self.is_available(*node, now)).count();
        let room = if self.flaw == Some(Flaw::IgnoresTheBudget) {
            ring.len()
        } else {
            self.pace.budget(ring).saturating_sub(unavailable)
        };
        let (sound, broken): (Vec<usize>, Vec<usize>) = old.into_iter().partition(|node| seen[*node].is_ready);
        broken.into_iter().chain(sound.into_iter().take(room)).collect()
    }
}
