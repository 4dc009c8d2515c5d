//! What the first packet of a flow pays.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::Bench;
use super::topology::{Topology, lines};
use crate::agent::Backend;
use crate::chart::Chart;
use crate::figures::{Samples, Unit};
use crate::program::Program;
use crate::ranges::{self, Range};
use crate::report::{Goal, Row, Section};
use crate::texts;

/// Which rules the node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rules {
    /// One masquerade rule and nothing else: what all others are compared with.
    Bare,
    Ours(Backend),
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
pub(super) fn flows(bench: &Bench) -> Result<Section> {
    let mut conditions = plan(bench)
        .into_iter()
        .enumerate()
        .map(|(number, (rules, list, size))| {
            Condition::set_up(bench, number, rules, list, size)
                .with_context(|| format!("{} with {size} ranges of {}", rules.name(), list.name()))
        })
        .collect::<Result<Vec<_>>>()?;
    measure(bench, &mut conditions)?;

    let (quiet, all) = conditions.iter().fold((0, 0), |(quiet, all), condition| {
        (quiet + condition.quiet.len(), all + condition.quiet.len() + condition.disturbed.len())
    });
    let bare = conditions.first().map(Condition::samples).context("nothing was measured")?;
    let mut section = Section {
        title: "New flows through the rules",
        about: format!(
            "UDP packets, each of them the first of its flow, from a pod through the node (veth, forwarding, conntrack, \
             masquerade) to the world; three namespaces for each set of rules, all measured in turn. Given is what a \
             packet costs more than with one bare `masquerade` rule, with which it costs {bare}. The destinations are in \
             no range. The bare *nft interval set* is the shortest table that exempts the same; the one with *all else alike* \
             has what ours has around its set: the test by `fib` in the base chain, the jump, a counter for each rule, the \
             same priority. It is what a list of twenty lengths, which is kept in an interval set, must not be dearer than. \
             The packets are sent on one processor, at real-time priority; {quiet} of {all} samples were taken \
             while the other processors were less than a tenth busy, and of each set of rules only such samples count, if \
             there were any."
        ),
        ..Section::default()
    };
    let added = |condition: &Condition| condition.samples().less(bare.median());
    section.rows = rows(&conditions, added);
    for (file, list, title) in [
        ("flows.svg", List::TwoLengths(28), "Added to a new flow, ranges of two lengths (/28)"),
        ("flows-24.svg", List::TwoLengths(24), "Added to a new flow, ranges of two lengths (/24)"),
        ("flows-20-lengths.svg", List::TwentyLengths, "Added to a new flow, ranges of twenty lengths"),
    ] {
        let mut chart = Chart::new(title, "time over a bare masquerade, median");
        for condition in conditions.iter().filter(|condition| condition.list == list && condition.rules != Rules::Bare)
        {
            chart.point(&condition.rules.name(), condition.size, added(condition).median());
        }
        section.charts.push((file, chart));
    }
    Ok(section)
}

/// What is compared; the bare rule first.
fn plan(bench: &Bench) -> Vec<(Rules, List, usize)> {
    const ALL: &[usize] = &[4, 64, 1_000, 10_000, 100_000];
    // These have one rule for each range: beyond this number the cost is too high to be of interest.
    const FEW: &[usize] = &[4, 64, 1_000];
    const COMPAT: &[usize] = &[64, 1_000];
    const IPSET: &[usize] = &[1_000, 100_000];
    const TWENTY: &[usize] = &[64, 1_000, 10_000, 100_000];
    let conditions: [(Rules, List, &[usize]); 12] = [
        (Rules::Bare, List::TwoLengths(28), &[0]),
        (Rules::Ours(Backend::Native), List::TwoLengths(28), ALL),
        (Rules::IntervalSet, List::TwoLengths(28), ALL),
        (Rules::Ours(Backend::Native), List::TwentyLengths, TWENTY),
        (Rules::IntervalSetAlike, List::TwentyLengths, TWENTY),
        (Rules::IntervalSet, List::TwentyLengths, TWENTY),
        (Rules::Ipset, List::TwoLengths(28), IPSET),
        (Rules::Upstream("nft"), List::TwoLengths(28), FEW),
        (Rules::Upstream("legacy"), List::TwoLengths(28), FEW),
        (Rules::Ours(Backend::Compat), List::TwoLengths(24), COMPAT),
        (Rules::Upstream("nft"), List::TwoLengths(24), COMPAT),
        (Rules::Upstream("legacy"), List::TwoLengths(24), COMPAT),
    ];
    let sized = |(rules, list, sizes): (Rules, List, &[usize])| {
        bench.effort.sizes(sizes).map(|size| (rules, list, size)).collect::<Vec<_>>()
    };
    conditions.into_iter().flat_map(sized).collect()
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
fn rows(conditions: &[Condition], added: impl Fn(&Condition) -> Samples) -> Vec<Row> {
    let is_ours = |condition: &&Condition| matches!(condition.rules, Rules::Ours(_));
    let mut rows = Vec::new();
    for ours in conditions.iter().filter(is_ours) {
        let row = |peer, goal| Row {
            ours: format!("{}, {}", ours.rules.name(), ours.list.name()),
            ranges: ours.size,
            samples: added(ours),
            peer,
            goal,
        };
        let absolute = match (ours.rules, ours.list, ours.size) {
            (Rules::Ours(Backend::Native), List::TwoLengths(_), 4 | 64) => Some(Goal::AtMost(350e-9)),
            (Rules::Ours(Backend::Native), List::TwoLengths(_), 100_000) => Some(Goal::AtMost(450e-9)),
            _ => None,
        };
        rows.extend(absolute.map(|goal| row(None, Some(goal))));
        let peers = conditions.iter().filter(|peer| (peer.list, peer.size) == (ours.list, ours.size));
        for peer in peers.filter(|peer| !is_ours(peer)) {
            let goal = match (ours.rules, ours.list, peer.rules) {
                (Rules::Ours(Backend::Native), List::TwentyLengths, Rules::IntervalSetAlike) => {
                    Some(Goal::AtMostTimes(NO_DEARER))
                }
                (Rules::Ours(Backend::Compat), _, Rules::Upstream("nft")) => Some(Goal::TimesLess(4.0)),
                _ => None,
            };
            rows.push(row(Some((peer.rules.name(), added(peer))), goal));
        }
    }
    rows
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
            Self::Ours(backend) => format!("ip-masq-agent, {}", backend.name()),
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
            Self::Ours(backend) => {
                let configuration = bench.configuration("flows.yaml", ranges)?;
                node.run(&bench.agent.writing("apply", backend, &configuration)).map(drop)
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
