//! What happens to a fleet: a start, rest, a policy with faults, a bad one, one that a node's kernel refuses, and rest.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::figures::figures;
use super::fleet::{Act, Broken, Change, Checked, Content, End, Fleet, pause};
use super::layout::Rules;
use super::monitor::Monitor;
use super::plan::Fault;
use super::policy::{Policy, bad};
use super::random::Random;
use super::rest::rest;
use super::rollout::{Flaw, Rollout};
use super::scale::Scale;
use super::support::netns::Netns;

/// The resync interval of the first policy, after which a whole run has ended, and of the others.
const LONG_RESYNC: &str = "1h";
const SHORT_RESYNC: &str = "2s";
const SHORT: Duration = Duration::from_secs(2);
/// The lists are as long as a cluster's.
const MOST_RANGES: u32 = 200;

/// A policy and its fingerprint.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) policy: Rc<Policy>,
    pub(crate) fingerprint: String,
}

impl Named {
    /// A random one. A namespace is only needed to run the verb `render` in.
    pub(crate) fn random(random: &mut Random, number: u32, resync: &str, netns: &Netns) -> Self {
        let mut policy = Policy::random(random, number, MOST_RANGES);
        for other in ["1h", "5s"] {
            for form in ["resyncInterval: $", "\"resyncInterval\": \"$"] {
                policy.text = policy.text.replace(&form.replace('$', other), &form.replace('$', resync));
            }
        }
        assert!(policy.text.contains(resync), "{}", policy.text);
        let rendered = netns.agent("render --format json --enable-ipv6", &policy.text).stdout();
        let rendered: serde_json::Value = serde_json::from_str(&rendered).expect("`render --format json` prints JSON");
        let fingerprint = rendered["policyFingerprint"].as_str().expect("it has a fingerprint").to_owned();
        Self { policy: Rc::new(policy), fingerprint }
    }
}

/// The policies of a run.
#[derive(Debug)]
pub(crate) struct Policies {
    pub(crate) first: Named,
    pub(crate) second: Named,
    pub(crate) refused: Named,
    pub(crate) bad: String,
}

impl Policies {
    pub(crate) fn draw(random: &mut Random, netns: &Netns) -> Self {
        Self {
            first: Named::random(random, 1, LONG_RESYNC, netns),
            second: Named::random(random, 2, SHORT_RESYNC, netns),
            refused: Named::random(random, 3, SHORT_RESYNC, netns),
            bad: bad(random, 4),
        }
    }
}

/// All of it.
pub(crate) fn tell(fleet: &mut Fleet<'_>, scale: &Scale, policies: &Policies) -> Checked {
    let Policies { first, second, refused, bad } = policies;
    let began = Instant::now();
    let took = fleet.start(&first.fingerprint)?;
    println!("  start: all ready after {took:.1?}");
    let all = vec![first.fingerprint.clone(); scale.nodes];
    fleet.audit(&all, &BTreeSet::new())?;
    fleet.settle()?;
    rest(fleet, scale.idle, None)?;

    roll_out_with_faults(fleet, scale, first, second, None)?;

    let broken = Change {
        wanted: "that of a bad file".to_owned(),
        act: Act::Deliver(Content::without_effect(bad.clone())),
        with_faults: false,
    };
    stops_in_its_ring_and_goes_back(fleet, scale, second, &broken, "a bad file")?;
    let unwelcome = Change {
        wanted: refused.fingerprint.clone(),
        act: Act::StartBesideTheOldOne(Content::without_effect(refused.policy.text.clone())),
        with_faults: false,
    };
    stops_in_its_ring_and_goes_back(fleet, scale, second, &unwelcome, "refused by the kernel")?;

    // Nothing comes after a pass but the next look, once all have had one since their last change.
    fleet.settle()?;
    pause(scale.idle.min(Duration::from_secs(1)));
    rest(fleet, scale.idle.max(SHORT), Some(SHORT))?;
    figures(fleet, began.elapsed())
}

/// The second policy comes over the first, and faults happen. Whoever the audit names is mended.
pub(crate) fn roll_out_with_faults(
    fleet: &mut Fleet<'_>,
    scale: &Scale,
    old: &Named,
    new: &Named,
    flaw: Option<Flaw>,
) -> Checked {
    let change =
        Change { wanted: new.fingerprint.clone(), act: Act::Deliver(Content::of(&new.policy)), with_faults: true };
    let rings = fleet.plan.rings.clone();
    let mut rollout = Rollout::new(rings.clone(), &change.wanted, BTreeSet::new(), scale.pace, flaw);
    let mut monitor = Monitor::new(rings, &change.wanted, BTreeSet::new(), scale.pace);
    let (mut mended, mut stalls) = (BTreeSet::new(), 0);
    let began = Instant::now();
    while fleet.roll_out(&change, &mut rollout, &mut monitor)? == End::Stalled {
        stalls += 1;
        let wanted = wanted_by(scale, rollout.changed(), new, old);
        let lasting = fleet.plan.lasting_up_to(rollout.ring());
        let named: BTreeSet<usize> =
            lasting.into_iter().filter(|node| rollout.changed().contains(node) && !mended.contains(node)).collect();
        fleet.audit(&wanted, &named)?;
        for node in &named {
            let fault = fleet.plan.nodes[*node].fault.expect("a lasting one");
            println!("  the audit names node {node} in ring {}: {fault:?}", fleet.plan.ring_of(*node));
            fleet.mend(*node, Content::of(&new.policy));
        }
        mended.extend(named);
        let now = fleet.now();
        rollout.go_on(now);
    }
    fleet.audit(&vec![new.fingerprint.clone(); scale.nodes], &BTreeSet::new())?;
    let all = fleet.plan.lasting_up_to(fleet.plan.rings.len());
    if mended != all {
        return Err(Broken { what: format!("{mended:?} were named of {all:?}"), nodes: Vec::new() });
    }
    faults_have_shown(fleet)?;
    fleet.settle()?;
    let rings: Vec<String> = monitor
        .turns()
        .iter()
        .zip(&fleet.plan.rings)
        .map(|(turn, ring)| format!("{} nodes in {:.1?}", ring.len(), turn.took().unwrap_or_default()))
        .collect();
    println!("  rollout with faults: {}; {:.1?} in all, stalled {stalls} times", rings.join(", "), began.elapsed());
    Ok(())
}

/// A change that cannot succeed stops in the first ring; all keep the rules that they had; going back leaves no trace.
pub(crate) fn stops_in_its_ring_and_goes_back(
    fleet: &mut Fleet<'_>,
    scale: &Scale,
    before: &Named,
    change: &Change,
    name: &str,
) -> Checked {
    let rings = fleet.plan.rings.clone();
    let mut rollout = Rollout::new(rings.clone(), &change.wanted, BTreeSet::new(), scale.pace, None);
    let mut monitor = Monitor::new(rings.clone(), &change.wanted, BTreeSet::new(), scale.pace);
    let nowhere = |what: String| Broken { what, nodes: Vec::new() };
    let began = Instant::now();
    let end = fleet.roll_out(change, &mut rollout, &mut monitor)?;
    if end != End::Stalled || rollout.ring() != 0 {
        return Err(nowhere(format!("{name}: the rollout is {end:?} in ring {}", rollout.ring())));
    }
    monitor.stays_within(0).map_err(nowhere)?;
    let touched = rollout.changed().clone();
    let wanted: Vec<String> = (0..scale.nodes)
        .map(|node| if touched.contains(&node) { &change.wanted } else { &before.fingerprint }.clone())
        .collect();
    fleet.audit(&wanted, &touched)?;
    fleet.settle()?;
    for node in &touched {
        let layout = fleet.plan.nodes[*node].layout;
        let expected = fleet.rules(layout, &before.policy);
        if Rules::of(fleet.nodes[*node].netns(), layout).as_ref() != Some(&expected) {
            return Err(Broken { what: format!("{name}: node {node} has lost its old rules"), nodes: vec![*node] });
        }
        if fleet.nodes[*node].seen().is_ready {
            return Err(Broken { what: format!("{name}: node {node} is ready"), nodes: vec![*node] });
        }
    }
    let stopped = began.elapsed();

    let back = Instant::now();
    let act = match &change.act {
        Act::StartBesideTheOldOne(_) => Act::ReplaceBoth(Content::of(&before.policy)),
        _ => Act::Deliver(Content::of(&before.policy)),
    };
    let undo = Change { wanted: before.fingerprint.clone(), act, with_faults: false };
    let has_it: BTreeSet<usize> = (0..scale.nodes).filter(|node| !touched.contains(node)).collect();
    let mut rollout = Rollout::new(rings.clone(), &undo.wanted, has_it.clone(), scale.pace, None);
    let mut monitor = Monitor::new(rings, &undo.wanted, has_it, scale.pace);
    if fleet.roll_out(&undo, &mut rollout, &mut monitor)? != End::Done {
        return Err(nowhere(format!("{name}: the way back has stalled")));
    }
    fleet.audit(&vec![before.fingerprint.clone(); scale.nodes], &BTreeSet::new())?;
    fleet.settle()?;
    println!(
        "  {name}: stopped in ring 0 after {stopped:.1?}, {} nodes changed, {} not; back after {:.1?}",
        touched.len(),
        scale.nodes - touched.len(),
        back.elapsed()
    );
    Ok(())
}

/// The fingerprint that each node should have.
fn wanted_by(scale: &Scale, changed: &BTreeSet<usize>, new: &Named, old: &Named) -> Vec<String> {
    let of_a_node = |node| if changed.contains(&node) { &new.fingerprint } else { &old.fingerprint }.clone();
    (0..scale.nodes).map(of_a_node).collect()
}

/// What went wrong really did, as the agents have noticed it; and nobody else's rules were repaired.
fn faults_have_shown(fleet: &Fleet<'_>) -> Checked {
    for (number, node) in fleet.nodes.iter().enumerate() {
        let log = node.log();
        let fault = node.character.fault;
        let repaired = log.contains("somebody changed our rules, and they were repaired");
        let has_shown = match fault {
            Some(Fault::Flushed | Fault::Contested) => repaired,
            Some(Fault::FullState | Fault::ReadOnlyState) => log.contains("is not saved for the next start"),
            Some(Fault::Deaf) => log.contains("no inotify instance left"),
            _ => true,
        };
        let broken = |what: String| Broken { what, nodes: vec![number] };
        if !has_shown {
            return Err(broken(format!("nothing is to be seen of {fault:?} at node {number}")));
        }
        if repaired && !fault.is_some_and(Fault::damages_rules) {
            return Err(broken(format!("rules of node {number} were repaired, though nobody changed them")));
        }
        if log.contains("panicked at") {
            return Err(broken(format!("the agent of node {number} has panicked")));
        }
    }
    Ok(())
}
