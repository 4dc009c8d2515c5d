//! A fleet, simulated: each node a network namespace with a real agent, a policy rolled out ring by ring, and faults.
//!
//! The controller ([`rollout`]) does what Kubernetes does with a DaemonSet in each ring; what must hold is judged beside
//! it: the order of the rings and the budget of unavailable nodes by [`monitor`], every packet of a sample of nodes by
//! [`oracle`], and who does not follow the policy by [`audit`]. `FLEET_NODES` and `FLEET_SEED` say which fleet, and
//! `FLEET_AGENT` which binary; `make fleet` tries two hundred nodes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic here is a failed test with a line number"
)]

mod audit;
mod cost;
mod figures;
mod fleet;
mod isolated;
#[path = "../chaos/layout.rs"]
#[allow(dead_code, reason = "tests/chaos uses more of it")]
mod layout;
mod monitor;
mod node;
#[path = "../chaos/oracle.rs"]
#[allow(dead_code, reason = "tests/chaos uses more of it")]
mod oracle;
mod plan;
#[path = "../chaos/policy.rs"]
#[allow(dead_code, reason = "tests/chaos uses more of it")]
mod policy;
#[path = "../chaos/random.rs"]
#[allow(dead_code, reason = "tests/chaos uses more of it")]
mod random;
mod rest;
mod rollout;
#[cfg(test)]
mod rollout_tests;
mod sample;
mod scale;
mod story;
#[path = "../support/mod.rs"]
mod support;
#[path = "../chaos/traffic.rs"]
#[allow(dead_code, reason = "tests/chaos uses more of it")]
mod traffic;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use fleet::{Act, Change, Checked, Content, Fleet, Sabotage, binary};
use isolated::isolated;
use layout::Layout;
use plan::{Character, Plan};
use random::Random;
use rest::rest;
use rollout::Flaw;
use sample::Sample;
use scale::Scale;
use story::{Policies, roll_out_with_faults, stops_in_its_ring_and_goes_back, tell};
use support::netns::Netns;
use support::setting;
use traffic::Clock;

/// What every machine tries. `make fleet` tries others.
const SEED: u64 = 24;
const NODES: u64 = 12;
/// Of the logs of nodes at which something does not hold, so many are shown.
const SHOWN: usize = 3;
/// And so many of the last lines of each.
const LINES: usize = 40;

#[test]
fn a_fleet_follows_its_policy_ring_by_ring_and_whoever_does_not_is_named_by_the_audit() {
    isolated("a_fleet_follows_its_policy_ring_by_ring_and_whoever_does_not_is_named_by_the_audit", || {
        let (seed, nodes) = (setting("FLEET_SEED", SEED), setting("FLEET_NODES", NODES));
        let scale = Scale::of(usize::try_from(nodes).unwrap());
        println!("this is repeated by: make fleet NODES={nodes} SEED={seed}");
        let held = with_fleet(seed, scale, None, |fleet, policies| tell(fleet, &scale, policies));
        if let Err(what) = held {
            panic!("{what}\nthis is repeated by: make fleet NODES={nodes} SEED={seed}");
        }
    });
}

type Work = fn(&mut Fleet<'_>, &Scale, &Policies) -> Checked;

#[test]
fn what_somebody_breaks_on_purpose_in_a_fleet_is_found() {
    isolated("what_somebody_breaks_on_purpose_in_a_fleet_is_found", || {
        let scale = Scale { faults: 0, patience: Duration::from_secs(3), ..Scale::of(4) };
        let plan = Plan::draw(&mut Random::new(SEED), scale.nodes, scale.faults, scale.samples);
        let last = plan.rings[2][0];
        let is_open = |node: &Character| node.is_sampled && node.layout != Layout::NativeProtected;
        let sampled = plan.nodes.iter().position(is_open).expect("the seed gives one");
        let overlapping_rings: Work = |fleet, scale, Policies { first, second, .. }| {
            roll_out_with_faults(fleet, scale, first, second, Some(Flaw::DoesNotWaitForRings))
        };
        let rollout: Work =
            |fleet, scale, Policies { first, second, .. }| roll_out_with_faults(fleet, scale, first, second, None);
        let good_for_bad: Work = |fleet, scale, Policies { first, second, .. }| {
            let act = Act::Deliver(Content::of(&second.policy));
            let change = Change { wanted: second.fingerprint.clone(), act, with_faults: false };
            stops_in_its_ring_and_goes_back(fleet, scale, first, &change, "a good file")
        };
        // The second policy has a short interval.
        let restless: Work = |fleet, scale, Policies { first, second, .. }| {
            roll_out_with_faults(fleet, scale, first, second, None)?;
            rest(fleet, Duration::from_secs(3), None)
        };
        for (what, sabotage, work, expected) in [
            ("rings overlap", None, overlapping_rings, "ring 1 begins with node".to_owned()),
            ("rules are flushed", Some(Sabotage::Flush(sampled)), rollout, "packets met a third answer".to_owned()),
            ("the old policy comes", Some(Sabotage::OldPolicy(last)), rollout, format!("not so at [{last}]")),
            ("a bad file is none", None, good_for_bad, "a good file: the rollout is Done in ring 2".to_owned()),
            ("agents wake", None, restless, "without events the loop of node".to_owned()),
        ] {
            let held = with_fleet(SEED, scale, sabotage, |fleet, policies| {
                fleet.start(&policies.first.fingerprint)?;
                work(fleet, &scale, policies)
            });
            let found = held.err().unwrap_or_else(|| panic!("nobody has noticed that {what}"));
            assert!(found.contains(&expected), "{what}: {found}");
        }
    });
}

/// Makes a fleet, does `work` with it, and removes it. Says what did not hold, with the logs of the nodes at which.
fn with_fleet(
    seed: u64,
    scale: Scale,
    sabotage: Option<Sabotage>,
    work: impl FnOnce(&mut Fleet<'_>, &Policies) -> Checked,
) -> Result<(), String> {
    let mut random = Random::new(seed);
    let plan = Plan::draw(&mut random, scale.nodes, scale.faults, scale.samples);
    let clock = Clock::start();
    let scratch = tempfile::tempdir().unwrap();
    let binary = for_everybody(scratch.path());
    let samples: Option<Vec<Sample>> = (0..scale.samples).map(|_| Sample::new(clock)).collect();
    let (Some(samples), Some(netns)) = (samples, Netns::new("render")) else { return Ok(()) };
    let policies = Policies::draw(&mut random, &netns);
    let mut held = Ok(());
    Sample::during_all(
        &samples,
        Box::new(|| {
            let first = &policies.first.policy;
            let fleet = Fleet::new(clock, scale, random, plan, &samples, &binary, first);
            let mut fleet = fleet.expect("the samples could be made, too");
            fleet.sabotage = sabotage;
            held = work(&mut fleet, &policies).map_err(|broken| {
                let logs = broken.nodes.iter().take(SHOWN).map(|node| {
                    let node = &fleet.nodes[*node];
                    let log = node.log();
                    let last: Vec<&str> = log.lines().skip(log.lines().count().saturating_sub(LINES)).collect();
                    format!("--- node {}: {:?}\n{}\n", node.number, node.character, last.join("\n"))
                });
                format!("{}\n{}", broken.what, logs.collect::<String>())
            });
        }),
    );
    held
}

/// The agent's binary where every user may execute it.
fn for_everybody(scratch: &Path) -> std::path::PathBuf {
    fs::set_permissions(scratch, fs::Permissions::from_mode(0o755)).unwrap();
    let path = scratch.join("ip-masq-agent");
    fs::copy(binary(), &path).unwrap_or_else(|error| panic!("{}: {error}", binary()));
    path
}
