//! The fleet: its nodes, what is under way at them, and what is seen of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::audit::strays;
use super::layout::{Layout, Rules};
use super::monitor::Monitor;
use super::node::{Node, Place};
use super::oracle::Moment;
use super::plan::{Fault, Plan, Way};
use super::policy::Policy;
use super::random::Random;
use super::rollout::{Rollout, Seen, Step};
use super::sample::Sample;
use super::scale::Scale;
use super::support::netns::{AGENT, Netns};
use super::traffic::Clock;

/// Between two looks at what is due.
const TICK: Duration = Duration::from_millis(50);
/// Between two probes of a node that is as it should be (`periodSeconds`).
const PROBE_PERIOD: Duration = Duration::from_secs(1);

/// What does not hold.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) what: String,
    /// Whose log tells more.
    pub(crate) nodes: Vec<usize>,
}

pub(crate) type Checked<T = ()> = Result<T, Broken>;

/// What comes to a node, and the policy that it brings, if it is one.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) text: String,
    pub(crate) brings: Option<Rc<Policy>>,
}

impl Content {
    pub(crate) fn of(policy: &Rc<Policy>) -> Self {
        Self { text: policy.text.clone(), brings: Some(Rc::clone(policy)) }
    }

    /// A text that must bring no policy: it is bad, or an old one, or nothing can come of it.
    pub(crate) const fn without_effect(text: String) -> Self {
        Self { text, brings: None }
    }
}

/// Something that is to happen at a node.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Deliver(Content),
    Swap(Content),
    StartBesideTheOldOne(Content),
    ReplaceBoth(Content),
    Signal(Signal),
    Kill,
    Start,
    Flush,
    Contest,
}

/// How a rollout changes a node.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// The fingerprint that the nodes are to have.
    pub(crate) wanted: String,
    pub(crate) act: Act,
    /// Whether the faults of the plan happen.
    pub(crate) with_faults: bool,
}

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    Stalled,
}

/// What somebody does behind the back of all checks, so that these are seen to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// All rules of this node are flushed, again and again.
    Flush(usize),
    /// This node gets the old policy instead of the new one.
    OldPolicy(usize),
}

/// The nodes, by number.
#[derive(Debug)]
pub(crate) struct Fleet<'a> {
    clock: Clock,
    scale: Scale,
    random: Random,
    pub(crate) plan: Plan,
    pub(crate) nodes: Vec<Node<'a>>,
    /// What is to happen at which node when.
    due: Vec<(Moment, usize, Act)>,
    seen: Vec<Seen>,
    probed: Option<Moment>,
    /// What came last to each node.
    current: Vec<Rc<Policy>>,
    /// A namespace that holds nothing but what the agent makes, and what that was.
    fresh: Netns,
    made: BTreeMap<(&'static str, String), Rules>,
    pub(crate) sabotage: Option<Sabotage>,
}

impl<'a> Fleet<'a> {
    /// Makes the nodes. `None` where the kernel cannot be used.
    pub(crate) fn new(
        clock: Clock,
        scale: Scale,
        random: Random,
        plan: Plan,
        samples: &'a [Sample],
        binary: &Path,
        first: &Rc<Policy>,
    ) -> Option<Self> {
        let mut samples = samples.iter();
        let mut nodes = Vec::new();
        for (number, character) in plan.nodes.iter().enumerate() {
            let place =
                if character.is_sampled { Place::Sampled(samples.next()?) } else { Place::Alone(Netns::new("node")?) };
            nodes.push(Node::new(number, *character, place, binary, first));
        }
        let current = vec![Rc::clone(first); nodes.len()];
        let seen = vec![Seen::default(); nodes.len()];
        let (due, made) = (Vec::new(), BTreeMap::new());
        let fresh = Netns::new("fresh")?;
        Some(Self { clock, scale, random, plan, nodes, due, seen, probed: None, current, fresh, made, sabotage: None })
    }

    /// Starts all agents at once, and waits until all are ready with this fingerprint. How long that took.
    pub(crate) fn start(&mut self, fingerprint: &str) -> Checked<Duration> {
        let began = Instant::now();
        for node in 0..self.nodes.len() {
            let first = Content::of(&self.current[node]);
            self.announce(node, &first);
            self.nodes[node].start();
        }
        self.wait_until("all agents are ready with the first policy", |fleet| {
            let ready = Seen { is_ready: true, fingerprint: fingerprint.to_owned() };
            let waiting: Vec<usize> = (0..fleet.nodes.len()).filter(|node| fleet.seen[*node] != ready).collect();
            fleet.probe(waiting.iter().copied());
            waiting
        })?;
        Ok(began.elapsed())
    }

    /// The moment, as the packets count it.
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Rolls out until the end, or until nothing gets better.
    pub(crate) fn roll_out(&mut self, change: &Change, rollout: &mut Rollout, monitor: &mut Monitor) -> Checked<End> {
        self.probe(0..self.nodes.len());
        loop {
            self.tick()?;
            self.look(rollout);
            let now = self.clock.now();
            monitor.see(now, &self.seen);
            match rollout.step(now, &self.seen) {
                Step::Change(nodes) => {
                    monitor.change(now, &nodes).map_err(|what| Broken { what, nodes: nodes.clone() })?;
                    for node in nodes {
                        self.begin(node, change);
                    }
                }
                Step::Wait => {}
                Step::Stalled => return Ok(End::Stalled),
                Step::Done => {
                    monitor.done(now).map_err(|what| Broken { what, nodes: Vec::new() })?;
                    return Ok(End::Done);
                }
            }
            pause(TICK);
        }
    }

    /// Looks at the nodes whose turn it is, and from time to time at those before.
    fn look(&mut self, rollout: &Rollout) {
        let now = self.clock.now();
        if rollout.is_about_to_turn(now) {
            self.probe(0..self.nodes.len());
            return;
        }
        let rings = &self.plan.rings[..=rollout.ring()];
        let is_time = self.probed.is_none_or(|at| at + PROBE_PERIOD <= now);
        let all: Vec<usize> = rings.iter().flatten().copied().collect();
        let is_of_interest =
            |node: &usize| is_time || rollout.changed().contains(node) && !rollout.is_available(*node, now);
        self.probe(all.into_iter().filter(is_of_interest));
        if is_time {
            self.probed = Some(now);
        }
    }

    fn probe(&mut self, nodes: impl IntoIterator<Item = usize>) {
        for node in nodes {
            self.seen[node] = self.nodes[node].seen();
        }
    }

    /// What is to happen at a node by a change, and by its fault.
    fn begin(&mut self, node: usize, change: &Change) {
        let delay = Duration::from_millis(self.random.below(self.scale.longest_delay).into());
        let longest = Duration::from_millis(self.scale.longest_delay.into());
        let content = match &change.act {
            Act::Deliver(content) => content.clone(),
            act => return self.schedule(delay, node, act.clone()),
        };
        let old = Content::without_effect(format!("# pinned\n{}", self.current[node].text));
        if self.sabotage == Some(Sabotage::OldPolicy(node)) {
            return self.schedule(delay, node, Act::Deliver(old));
        }
        let deliver = Act::Deliver(content.clone());
        let fault = self.plan.nodes[node].fault.filter(|_| change.with_faults);
        let acts = match fault {
            None | Some(Fault::FullState | Fault::ReadOnlyState | Fault::Deaf) => vec![(delay, deliver)],
            Some(Fault::Frozen) => {
                let thawed = delay + longest;
                let delivered = if self.plan.nodes[node].way == Way::Swap { delay } else { thawed + TICK };
                vec![
                    (Duration::ZERO, Act::Signal(Signal::SIGSTOP)),
                    (delivered, deliver),
                    (thawed, Act::Signal(Signal::SIGCONT)),
                ]
            }
            Some(Fault::Killed) => vec![(delay, deliver), (delay + TICK, Act::Kill), (delay + longest, Act::Start)],
            Some(Fault::Flushed) => vec![(delay, deliver), (delay.mul_f64(1.2), Act::Flush)],
            Some(Fault::Contested) => vec![(Duration::ZERO, Act::Contest), (delay, deliver)],
            Some(Fault::Late) => vec![(delay + longest * 3, deliver)],
            Some(Fault::Partial) => {
                let half = content.text[..content.text.len() / 2].to_owned();
                vec![(delay, Act::Deliver(Content::without_effect(half))), (delay + longest / 2, Act::Swap(content))]
            }
            Some(Fault::NeverComes) => Vec::new(),
            Some(Fault::Pinned) => vec![(delay, Act::Deliver(old))],
        };
        for (after, act) in acts {
            self.schedule(after, node, act);
        }
    }

    fn schedule(&mut self, after: Duration, node: usize, act: Act) {
        self.due.push((self.clock.now() + after, node, act));
        self.due.sort_by_key(|(at, ..)| *at);
    }

    /// What somebody does who was told by the audit.
    pub(crate) fn mend(&mut self, node: usize, content: Content) {
        let act = match self.plan.nodes[node].fault {
            Some(Fault::Deaf) => Act::Signal(Signal::SIGHUP),
            _ => Act::Deliver(content),
        };
        self.schedule(Duration::ZERO, node, act);
    }

    /// Does what is due, and checks what must hold at any moment.
    pub(crate) fn tick(&mut self) -> Checked {
        let now = self.clock.now();
        let later = self.due.partition_point(|(at, ..)| *at <= now);
        for (_, node, act) in self.due.drain(..later).collect::<Vec<_>>() {
            self.act(node, act);
        }
        if let Some(Sabotage::Flush(node)) = self.sabotage {
            self.nodes[node].flush();
        }
        for node in 0..self.nodes.len() {
            let broken = |what: String| Broken { what, nodes: vec![node] };
            if self.nodes[node].has_ended() {
                return Err(broken(format!("the agent of node {node} has ended by itself")));
            }
            let Some(sample) = self.nodes[node].sample() else { continue };
            sample.judge().map_err(|what| broken(format!("node {node}: {what}")))?;
            if !sample.is_settled() && !self.nodes[node].is_contested() {
                sample.look(|| Rules::of(&sample.topology.node, self.plan.nodes[node].layout));
            }
        }
        Ok(())
    }

    fn act(&mut self, node: usize, act: Act) {
        match act {
            Act::Deliver(content) => {
                self.announce(node, &content);
                self.nodes[node].deliver(&content.text);
            }
            Act::Swap(content) => {
                self.announce(node, &content);
                self.nodes[node].swap(&content.text);
            }
            Act::StartBesideTheOldOne(content) => {
                self.announce(node, &content);
                self.nodes[node].start_beside_the_old_one(&content.text);
            }
            Act::ReplaceBoth(content) => {
                self.announce(node, &content);
                self.nodes[node].replace_both(&content.text);
            }
            Act::Signal(signal) => self.nodes[node].signal(signal),
            Act::Kill => self.nodes[node].end(Signal::SIGKILL),
            Act::Start => self.nodes[node].start(),
            Act::Flush | Act::Contest => {
                let policy = Rc::clone(&self.current[node]);
                if let Some(sample) = self.nodes[node].sample() {
                    sample.may_be_damaged(self.rules(self.plan.nodes[node].layout, &policy));
                }
                if matches!(act, Act::Flush) { self.nodes[node].flush() } else { self.nodes[node].contest() }
            }
        }
    }

    /// Before a node gets something: which policy may come into force by that.
    fn announce(&mut self, node: usize, content: &Content) {
        let Some(policy) = &content.brings else { return };
        self.current[node] = Rc::clone(policy);
        if let Some(sample) = self.nodes[node].sample() {
            sample.may_come(policy, self.rules(self.plan.nodes[node].layout, policy));
        }
    }

    /// What the agent makes of a policy in a layout.
    pub(crate) fn rules(&mut self, layout: Layout, policy: &Policy) -> Rules {
        let key = (layout.table(), policy.text.clone());
        let made = || Rules::made_of(&self.fresh, layout, &policy.text);
        self.made.entry(key).or_insert_with(made).clone()
    }

    /// Waits until the audit by fingerprint names exactly these nodes.
    pub(crate) fn audit(&mut self, wanted: &[String], expected: &BTreeSet<usize>) -> Checked {
        let mut found = BTreeMap::new();
        let outcome = self.wait_until("the audit names exactly the broken nodes", |fleet| {
            let policies: Vec<_> = fleet.nodes.iter().map(Node::policy).collect();
            found = strays(wanted, &policies);
            let named: BTreeSet<usize> = found.keys().copied().collect();
            named.symmetric_difference(expected).copied().collect()
        });
        outcome.map_err(|broken| Broken {
            what: format!("{}: expected {expected:?}, found {found:?}", broken.what),
            ..broken
        })
    }

    /// Waits until no packet of the samples can meet two policies any more.
    pub(crate) fn settle(&mut self) -> Checked {
        self.wait_until("the rules of the samples were seen in the kernel", |fleet| {
            let is_open = |node: &usize| fleet.nodes[*node].sample().is_some_and(|sample| !sample.is_settled());
            (0..fleet.nodes.len()).filter(is_open).collect()
        })
    }

    /// Goes on until `rest` gives no node any more.
    fn wait_until(&mut self, what: &str, mut rest: impl FnMut(&mut Self) -> Vec<usize>) -> Checked {
        let patience = self.scale.patience;
        let give_up = Instant::now() + patience;
        loop {
            self.tick()?;
            let nodes = rest(self);
            if nodes.is_empty() {
                return Ok(());
            }
            if Instant::now() > give_up {
                return Err(Broken {
                    what: format!("waited {patience:?} in vain until {what}: not so at {nodes:?}"),
                    nodes,
                });
            }
            pause(TICK);
        }
    }
}

/// The agent that is tried: that of this build, or one that is named.
pub(crate) fn binary() -> String {
    std::env::var("FLEET_AGENT").unwrap_or_else(|_| AGENT.to_owned())
}

pub(crate) fn pause(time: Duration) {
    #[expect(clippy::disallowed_methods, reason = "the time between two looks, or in which nothing shall happen")]
    std::thread::sleep(time);
}
