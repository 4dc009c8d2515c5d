//! What the first packet of a flow pays.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::topology::{Topology, lines};
use super::{Bench, Picture, Question};
use crate::agent::{Backend, Versions};
use crate::figures::{Samples, Unit};
use crate::program::Program;
use crate::ranges::{self, Range};
use crate::section::{Goal, Row, Section};
use crate::texts;

/// By which binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Now,
    Before,
}

/// Which rules the node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rules {
    /// One masquerade rule and nothing else: what all others are compared with.
    Bare,
    Ours(Backend, Version),
    /// Upstream's chain, by iptables of this flavour.
    Upstream(&'static str),
    Ipset,
    /// One interval set and no more than has to be around it.
    IntervalSet,
    /// One interval set, and around it all that is around ours.
    IntervalSetAlike,
}

/// Which list they have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    /// Link-local, and ranges of this length.
    TwoLengths(u8),
    TwentyLengths,
}

/// One of the things that are compared, each in a topology of its own.
struct Condition {
    rules: Rules,
    list: List,
    size: usize,
    topology: Topology,
    destinations: PathBuf,
    packets: u32,
    quiet: Vec<f64>,
    disturbed: Vec<f64>,
}

/// What is measured twice differs by less than this.
const NO_DEARER: f64 = 1.05;

/// What the rules add to the cost of the first packet of a flow.
pub(super) const QUESTION: Question = Question {
    name: "flows",
    title: "New flows through the rules",
    about: "UDP packets, each of them the first of its flow, from a pod through the node (veth, forwarding, conntrack, \
            masquerade) to the world; three namespaces for each set of rules, all measured in turn. Given is what a packet \
            costs more than with one bare `masquerade` rule, the cost of which is the first row. The destinations are in no \
            range. The bare *nft interval set* is the shortest table that exempts the same; the one with *all else alike* has \
            what ours has around its set: the test by `fib` in the base chain, the jump, a counter for each rule, the same \
            priority. The packets are sent on one processor, at real-time priority; of each set of rules only the samples \
            count that were taken while the other processors were less than a tenth busy, if there were any.",
    pictures: &[
        Picture {
            file: "flows.svg",
            title: "Added to a new flow, ranges of two lengths (/28)",
            axis: AXIS,
            shows: |ours| ours.ends_with("two lengths (/16, /28)"),
        },
        Picture {
            file: "flows-24.svg",
            title: "Added to a new flow, ranges of two lengths (/24)",
            axis: AXIS,
            shows: |ours| ours.ends_with("two lengths (/16, /24)"),
        },
        Picture {
            file: "flows-20-lengths.svg",
            title: "Added to a new flow, ranges of twenty lengths",
            axis: AXIS,
            shows: |ours| ours.ends_with("twenty lengths"),
        },
    ],
    ask,
};

const AXIS: &str = "time over a bare masquerade, median";
/// The name of what is subtracted from all others.
const BARE: &str = "one bare masquerade rule, in all";

fn ask(bench: &Bench, section: &mut Section) {
    let mut conditions = Vec::new();
    for (number, (rules, list, size)) in plan(bench).into_iter().enumerate() {
        let what = format!("{} with {size} ranges of {}", rules.name(), list.name());
        section.group(&what, || {
            conditions.push(Condition::set_up(bench, number, rules, list, size)?);
            Ok(Vec::new())
        });
    }
    let mut samples = (0, 0);
    section.group("samples", || {
        measure(bench, &mut conditions)?;
        samples = conditions.iter().fold((0, 0), |(quiet, all), condition| {
            (quiet + condition.quiet.len(), all + condition.quiet.len() + condition.disturbed.len())
        });
        rows(&conditions)
    });
    let (quiet, all) = samples;
    section
        .notes
        .push(format!("{quiet} of {all} samples were taken while the other processors were less than a tenth busy"));
}

/// What is compared; the bare rule first.
fn plan(bench: &Bench) -> Vec<(Rules, List, usize)> {
    const ALL: &[usize] = &[4, 64, 1_000, 10_000, 100_000];
    // These have one rule for each range: beyond this number the cost is too high to be of interest.
    const FEW: &[usize] = &[4, 64, 1_000];
    const COMPAT: &[usize] = &[64, 1_000, 10_000];
    const IPSET: &[usize] = &[1_000, 100_000];
    const TWENTY: &[usize] = &[64, 1_000, 10_000, 100_000];
    let before = [
        (Rules::Ours(Backend::Native, Version::Before), List::TwoLengths(28), ALL),
        (Rules::Ours(Backend::Native, Version::Before), List::TwentyLengths, TWENTY),
        (Rules::Ours(Backend::Compat, Version::Before), List::TwoLengths(24), COMPAT),
    ];
    let conditions: [(Rules, List, &[usize]); 12] = [
        (Rules::Bare, List::TwoLengths(28), &[0]),
        (Rules::Ours(Backend::Native, Version::Now), List::TwoLengths(28), ALL),
        (Rules::IntervalSet, List::TwoLengths(28), ALL),
        (Rules::Ours(Backend::Native, Version::Now), List::TwentyLengths, TWENTY),
        (Rules::IntervalSetAlike, List::TwentyLengths, TWENTY),
        (Rules::IntervalSet, List::TwentyLengths, TWENTY),
        (Rules::Ipset, List::TwoLengths(28), IPSET),
        (Rules::Upstream("nft"), List::TwoLengths(28), FEW),
        (Rules::Upstream("legacy"), List::TwoLengths(28), FEW),
        (Rules::Ours(Backend::Compat, Version::Now), List::TwoLengths(24), COMPAT),
        (Rules::Upstream("nft"), List::TwoLengths(24), COMPAT),
        (Rules::Upstream("legacy"), List::TwoLengths(24), COMPAT),
    ];
    let sized = |(rules, list, sizes): (Rules, List, &[usize])| {
        bench.effort.sizes(sizes).map(|size| (rules, list, size)).collect::<Vec<_>>()
    };
    let before = before.into_iter().filter(|_| bench.agents.before.is_some());
    conditions.into_iter().chain(before).flat_map(sized).collect()
}

/// Takes samples in turn until every condition has enough quiet ones, or the machine is too busy for it.
fn measure(bench: &Bench, conditions: &mut [Condition]) -> Result<()> {
    let wanted = bench.effort.flow_samples();
    for _ in 0..3 * wanted {
        for condition in conditions.iter_mut().filter(|condition| condition.quiet.len() < wanted) {
            condition.take(bench)?;
        }
    }
    Ok(())
}

/// Ours against those that have the same list.
fn rows(conditions: &[Condition]) -> Result<Vec<Row>> {
    let bare =
        conditions.iter().find(|condition| condition.rules == Rules::Bare).context("no bare rule was measured")?;
    let bare = bare.samples();
    let added = |condition: &Condition| condition.samples().less(bare.median());
    let mut rows = vec![Row::new(BARE, 0, bare.clone())];
    for ours in conditions {
        let Rules::Ours(backend, Version::Now) = ours.rules else { continue };
        let alike = || conditions.iter().filter(|other| (other.list, other.size) == (ours.list, ours.size));
        let before = alike().find(|other| other.rules == Rules::Ours(backend, Version::Before)).map(added);
        let row = || {
            let samples = Versions { now: added(ours), before: before.clone() };
            Row::new(format!("{}, {}", ours.rules.name(), ours.list.name()), ours.size, samples)
        };
        let absolute = match (backend, ours.list, ours.size) {
            (Backend::Native, List::TwoLengths(_), 4 | 64) => Some(Goal::AtMost(350e-9)),
            (Backend::Native, List::TwoLengths(_), 100_000) => Some(Goal::AtMost(450e-9)),
            _ => None,
        };
        rows.extend(absolute.map(|goal| row().with_goal(goal)));
        for peer in alike().filter(|peer| !matches!(peer.rules, Rules::Ours(..))) {
            let goal = match (backend, ours.list, peer.rules) {
                (Backend::Native, List::TwentyLengths, Rules::IntervalSetAlike) => Some(Goal::AtMostTimes(NO_DEARER)),
                (Backend::Compat, _, Rules::Upstream("nft")) => Some(Goal::TimesLess(4.0)),
                _ => None,
            };
            rows.push(row().against(peer.rules.name(), &added(peer)).with_goal(goal));
        }
    }
    Ok(rows)
}

impl Condition {
    fn set_up(bench: &Bench, number: usize, rules: Rules, list: List, size: usize) -> Result<Self> {
        let ranges = list.ranges(size);
        let destinations = match rules {
            Rules::Bare => ranges::destinations(&list.ranges(1_000)),
            _ => ranges::destinations(&ranges),
        };
        let destinations = bench.file(&format!("destinations-{number}"), &lines(&destinations))?;
        let topology = Topology::new(bench)?;
        rules.install(bench, &topology, &ranges)?;
        let cost = topology.prove(bench, &destinations)?;
        let packets = packets_for(bench.effort.flow_sample_ns() * 1e-9, cost);
        Ok(Self { rules, list, size, topology, destinations, packets, quiet: Vec::new(), disturbed: Vec::new() })
    }

    fn take(&mut self, bench: &Bench) -> Result<()> {
        let sample = self.topology.sample(bench, &self.destinations, self.packets)?;
        let list = if sample.disturbed { &mut self.disturbed } else { &mut self.quiet };
        list.push(sample.per_packet);
        Ok(())
    }

    /// The undisturbed samples, or all, if there are none.
    fn samples(&self) -> Samples {
        let samples = if self.quiet.is_empty() { &self.disturbed } else { &self.quiet };
        Samples::new(Unit::Time, samples.clone())
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
fn packets_for(seconds: f64, seconds_per_packet: f64) -> u32 {
    (seconds / seconds_per_packet).clamp(400.0, 20_000.0) as u32
}

impl Rules {
    fn name(self) -> String {
        match self {
            Self::Bare => "bare masquerade".to_owned(),
            Self::Ours(backend, Version::Now) => format!("ip-masq-agent, {}", backend.name()),
            Self::Ours(backend, Version::Before) => format!("ip-masq-agent before, {}", backend.name()),
            Self::Upstream(flavour) => format!("upstream's chain, iptables-{flavour}"),
            Self::Ipset => "ipset hash:net".to_owned(),
            Self::IntervalSet => "nft interval set".to_owned(),
            Self::IntervalSetAlike => "nft interval set, all else alike".to_owned(),
        }
    }

    /// Puts the rules into the node.
    fn install(self, bench: &Bench, topology: &Topology, ranges: &[Range]) -> Result<()> {
        let node = topology.node();
        let nft = |text: &str| node.run(&Program::new("nft").argument("-f").argument(bench.file("flows.nft", text)?));
        let restore = |program: &str, file: &Path| node.run(&bench.iptables(program).input(file));
        match self {
            Self::Bare => nft(texts::BARE_MASQUERADE).map(drop),
            Self::IntervalSet => nft(&texts::interval_set(ranges)).map(drop),
            Self::IntervalSetAlike => nft(&texts::interval_set_alike(ranges)).map(drop),
            Self::Ours(backend, version) => {
                let configuration = bench.configuration("flows.yaml", ranges)?;
                let agent = match version {
                    Version::Now => &bench.agents.now,
                    Version::Before => bench.agents.before.as_ref().context("there is no binary to compare with")?,
                };
                node.run(&agent.writing("apply", backend, &configuration, &bench.runtime_dir())).map(drop)
            }
            Self::Upstream(flavour) => {
                let file = bench.file("flows.restore", &texts::upstream_restore(ranges))?;
                bench.upstream_start(node, flavour, &file)
            }
            Self::Ipset => {
                let set = bench.file("flows.ipset", &texts::ipset_restore(ranges))?;
                node.run(&Program::new("ipset").argument("restore").input(&set))?;
                restore("iptables-legacy-restore", &bench.file("flows.restore", &texts::ipset_rules())?).map(drop)
            }
        }
    }
}

impl List {
    fn ranges(self, size: usize) -> Vec<Range> {
        match self {
            Self::TwoLengths(prefix_len) => ranges::of_one_length(size, prefix_len),
            Self::TwentyLengths => ranges::of_twenty_lengths(size),
        }
    }

    fn name(self) -> String {
        match self {
            Self::TwoLengths(prefix_len) => format!("two lengths (/16, /{prefix_len})"),
            Self::TwentyLengths => "twenty lengths".to_owned(),
        }
    }
}
