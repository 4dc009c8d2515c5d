//! The controller before its judge, over nodes that are only numbers: right, and with each flaw that it can have.

use std::collections::BTreeSet;
use std::time::Duration;

use super::monitor::Monitor;
use super::rollout::{Flaw, Pace, Rings, Rollout, Seen, Step};

const PACE: Pace =
    Pace { max_unavailable: 10, min_ready: Duration::from_millis(300), deadline: Duration::from_secs(5) };
const TICK: Duration = Duration::from_millis(100);

/// What becomes of a node that is told to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nature {
    /// It is away for so many ticks, and then follows the new policy.
    Follows(u32),
    /// It stays ready with the old one.
    Pinned,
    /// It is ready with the new policy for two ticks, and away for five, and then stays.
    Stumbles,
    /// It keeps the old policy and is not ready.
    Refuses,
}
use Nature::{Follows, Pinned, Refuses, Stumbles};

fn rings(sizes: &[usize]) -> Rings {
    let mut first = 0;
    let of_size = |size: &usize| {
        first += size;
        (first - size..first).collect()
    };
    sizes.iter().map(of_size).collect()
}

/// What came of it: how it ended, in which ring, and what the judge has said.
fn rolled_out(natures: &[Nature], sizes: &[usize], flaw: Option<Flaw>) -> (Step, usize, Result<(), String>) {
    let rings = rings(sizes);
    let mut rollout = Rollout::new(rings.clone(), "new", BTreeSet::new(), PACE, flaw);
    let mut monitor = Monitor::new(rings, "new", BTreeSet::new(), PACE);
    let mut changed_at: Vec<Option<u32>> = vec![None; natures.len()];
    for tick in 0..10_000 {
        let now = TICK * tick;
        let seen = |(nature, at): (&Nature, &Option<u32>)| {
            let since = at.map(|at| tick - at);
            let (is_ready, is_new) = match (nature, since) {
                (_, None) | (Pinned, _) => (true, false),
                (Follows(ticks), Some(since)) => (since > *ticks, since > *ticks),
                (Stumbles, Some(since)) => (since <= 2 || since > 7, true),
                (Refuses, _) => (false, false),
            };
            Seen { is_ready, fingerprint: if is_new { "new" } else { "old" }.to_owned() }
        };
        let seen: Vec<Seen> = natures.iter().zip(&changed_at).map(seen).collect();
        monitor.see(now, &seen);
        match rollout.step(now, &seen) {
            Step::Change(nodes) => {
                if let Err(wrong) = monitor.change(now, &nodes) {
                    return (Step::Change(nodes), rollout.ring(), Err(wrong));
                }
                for node in nodes {
                    changed_at[node] = Some(tick);
                }
            }
            Step::Wait => {}
            Step::Stalled => return (Step::Stalled, rollout.ring(), monitor.stays_within(rollout.ring())),
            Step::Done => return (Step::Done, rollout.ring(), monitor.done(now)),
        }
    }
    panic!("the rollout neither ends nor stalls");
}

#[test]
fn nodes_that_follow_are_rolled_out_ring_by_ring_to_the_last() {
    for ticks in [0, 1, 7] {
        assert_eq!(rolled_out(&[Follows(ticks); 40], &[1, 4, 35], None), (Step::Done, 2, Ok(())), "{ticks}");
    }
    let mut mixed = [Follows(3); 40];
    mixed[0] = Stumbles;
    mixed[20] = Stumbles;
    assert_eq!(rolled_out(&mixed, &[1, 4, 35], None), (Step::Done, 2, Ok(())));
}

#[test]
fn a_node_that_keeps_the_old_policy_ready_or_not_holds_up_its_ring_and_none_before() {
    for nature in [Pinned, Refuses] {
        for (node, ring) in [(0, 0), (3, 1), (39, 2)] {
            let mut natures = [Follows(1); 40];
            natures[node] = nature;
            assert_eq!(rolled_out(&natures, &[1, 4, 35], None), (Step::Stalled, ring, Ok(())), "{nature:?} {node}");
        }
    }
}

#[test]
fn each_flaw_of_a_controller_is_found_by_what_was_seen() {
    let mut pinned = [Follows(2); 40];
    pinned[4] = Pinned;
    let mut stumbling = [Follows(2); 40];
    stumbling[0] = Stumbles;
    for (flaw, natures, expected) in [
        (Flaw::DoesNotWaitForRings, [Follows(2); 40], "ring 1 begins with node 1 while ring 0 is not whole: nodes [0]"),
        (Flaw::TrustsReadiness, pinned, "ring 2 begins with node 5 while ring 1 is not whole: nodes [4]"),
        (
            Flaw::IgnoresTheBudget,
            [Follows(2); 40],
            "4 sound nodes are changed while 0 changed ones are not available yet: 1 may be",
        ),
        (Flaw::IgnoresMinReady, stumbling, "ring 1 begins with node 1 while ring 0 is not whole: nodes [0]"),
    ] {
        let (_, _, judged) = rolled_out(&natures, &[1, 4, 35], Some(flaw));
        assert_eq!(judged, Err(expected.to_owned()), "{flaw:?}");
    }
}

#[test]
fn the_budget_is_rounded_up_as_the_daemonset_controller_does() {
    for (nodes, budget) in [(1, 1), (10, 1), (11, 2), (178, 18)] {
        assert_eq!(PACE.budget(&(0..nodes).collect::<Vec<_>>()), budget);
    }
}

#[test]
fn a_rollback_changes_only_those_that_were_changed_and_broken_ones_at_once() {
    let rings = rings(&[4, 6]);
    let has_it: BTreeSet<usize> = (2..10).collect();
    let mut rollout = Rollout::new(rings, "old", has_it, PACE, None);
    let seen = |is_ready: bool, fingerprint: &str| Seen { is_ready, fingerprint: fingerprint.to_owned() };
    let mut nodes = vec![seen(true, "old"); 10];
    // More than the budget of one node: what is unavailable anyway can only become better.
    nodes[0] = seen(false, "old");
    nodes[1] = seen(false, "");
    assert_eq!(rollout.step(TICK, &nodes), Step::Change(vec![0, 1]));
    nodes[..2].fill(seen(true, "old"));
    assert_eq!(rollout.step(TICK * 2, &nodes), Step::Wait);
    assert_eq!(rollout.step(TICK * 6, &nodes), Step::Done);
}
