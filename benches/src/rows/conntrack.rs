//! `--conntrack=fix`: flows that began under another policy.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::topology::{POD, Topology, lines};
use super::{Bench, Question};
use crate::agent::{Agent, Backend, Versions};
use crate::effort::Effort;
use crate::figures::Turns;
use crate::program::Program;
use crate::ranges;
use crate::section::{Goal, Row};

/// `flood` has as many source ports for each list of destinations, and two lists are used.
const FLOWS: u32 = 100_000;
/// What keeps the source of all destinations, and of none.
const EXEMPT: &str = "nonMasqueradeCIDRs: [20.0.0.0/8]\n";
const MASQUERADED: &str = "nonMasqueradeCIDRs: [203.0.113.0/24]\n";
/// Another policy, which changes nothing for the flows. Without a change nothing is looked at.
const STILL_MASQUERADED: &str = "nonMasqueradeCIDRs: [198.51.100.0/24, 203.0.113.0/24]\n";

pub(super) const QUESTION: Question = Question {
    name: "conntrack",
    title: "Flows that began under another policy",
    about: "From the start of the process to its end, on a node that has so many UDP flows from a pod (the number in the \
            column of ranges is theirs): `ip-masq-agent apply --conntrack=fix` with a file that exempts all their \
            destinations, after one that masqueraded them, so that they are deleted (but for \
            the one or two of 100,000 that drew the port that they had, which count as other programs'); against `conntrack \
            -D` of the same flows. *Looking alone* is the same verb with a file that changes other destinations, so that all flows \
            are looked at and none is deleted; `conntrack -L` of them, with its output thrown away, does no less.",
    pictures: &[],
    ask: |bench, section| {
        let flows = match bench.effort {
            Effort::Quick => FLOWS / 50,
            Effort::Full => FLOWS,
        };
        section.group(&format!("{flows} flows"), || of_flows(bench, flows));
    },
};

/// A node of one version, and what is sent through it.
struct Node<'a> {
    agent: &'a Agent,
    topology: Topology,
    runtime: PathBuf,
}

fn of_flows(bench: &Bench, flows: u32) -> Result<Vec<Row>> {
    let (exempt, masqueraded) = (bench.file("exempt.yaml", EXEMPT)?, bench.file("masqueraded.yaml", MASQUERADED)?);
    let still_masqueraded = bench.file("still-masqueraded.yaml", STILL_MASQUERADED)?;
    let all = ranges::destinations(&ranges::of_one_length(1_000, 28));
    let halves = all.split_at_checked(all.len() / 2).context("no destinations")?;
    let destinations = [bench.file("first-half", &lines(halves.0))?, bench.file("second-half", &lines(halves.1))?];
    let nodes: Versions<Node<'_>> = bench.agents.each(|agent| {
        let topology = Topology::new(bench)?;
        topology.node().sysctl(&[("netfilter/nf_conntrack_udp_timeout", "600")])?;
        Ok(Node { agent, topology, runtime: bench.runtime_dir() })
    })?;
    // All flows anew, which begin under the policy of this file.
    let begun_under = |node: &Node<'_>, file: &Path| -> Result<()> {
        node.apply(file, "keep")?;
        node.topology.forget()?;
        for half in &destinations {
            node.topology.pod().run(&bench.flood(flows / 2, half))?;
        }
        let tracked = node.tracked()?;
        ensure!(tracked >= flows, "{tracked} of {flows} flows are tracked; is nf_conntrack_max too low?");
        Ok(())
    };
    let mut turns = Turns::of_time();
    let mended = turns.add_each("mended", &nodes, |node| {
        begun_under(node, &masqueraded)?;
        let taken = node.apply(&exempt, "fix")?;
        let left = node.topology.node().output(&Program::new("conntrack").words("-L -p udp"))?;
        let wrong = left.lines().find(|flow| !keeps_its_port(flow));
        ensure!(wrong.is_none(), "this flow was left, which the new policy does not masquerade: {wrong:?}");
        Ok(taken)
    });
    let deleted = turns.add("conntrack -D", || {
        begun_under(&nodes.now, &masqueraded)?;
        nodes.now.topology.node().run(&Program::new("conntrack").words(&format!("-D -p udp -s {POD}")))
    });
    let looked = turns.add_each("looked", &nodes, |node| {
        begun_under(node, &masqueraded)?;
        let taken = node.apply(&still_masqueraded, "fix")?;
        ensure!(node.tracked()? >= flows, "flows were deleted that the policy does not change");
        Ok(taken)
    });
    let listed =
        turns.add("conntrack -L", || nodes.now.topology.node().run(&Program::new("conntrack").words("-L -p udp")));
    let repetitions = match bench.effort {
        Effort::Quick => 1,
        Effort::Full => 3,
    };
    let taken = turns.take(repetitions)?;
    let size = usize::try_from(flows)?;
    let mended = || Ok::<_, anyhow::Error>(Row::new("apply --conntrack=fix, nft", size, taken.of_each(&mended)?));
    Ok(vec![
        mended()?.against("conntrack -D", &taken.of(deleted)?).with_goal(Goal::TimesLess(1.0)),
        mended()?.against("looking alone", &taken.of_each(&looked)?.now),
        Row::new("looking alone, nft", size, taken.of_each(&looked)?).against("conntrack -L", &taken.of(listed)?),
    ])
}

/// Whether a flow as `conntrack -L` prints it, masqueraded or not, has the source port that it came with.
fn keeps_its_port(flow: &str) -> bool {
    let mut words = flow.split_whitespace();
    // First come the ports of the first packet, and then those of the replies.
    let source = words.find_map(|word| word.strip_prefix("sport="));
    let replies_to = words.rfind(|word| word.starts_with("dport=")).and_then(|word| word.strip_prefix("dport="));
    source.is_some() && source == replies_to
}

impl Node<'_> {
    fn apply(&self, file: &Path, conntrack: &str) -> Result<Duration> {
        let apply = self.agent.writing("apply", Backend::Native, file, &self.runtime);
        self.topology.node().run(&apply.words("--conntrack").argument(conntrack))
    }

    /// The flows that the node tracks.
    fn tracked(&self) -> Result<u32> {
        let said = self.topology.node().output(&Program::new("conntrack").words("-C"))?;
        said.trim().parse().with_context(|| format!("conntrack -C says {said:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_keeps_its_port_if_the_replies_go_to_the_port_that_it_came_from() {
        let flow = "udp 17 599 src=10.77.0.2 dst=20.2.1.3 sport=13578 dport=9 [UNREPLIED] src=20.2.1.3 dst=10.78.0.1 \
                    sport=9 dport=13578 mark=0 use=1";
        assert!(keeps_its_port(flow));
        assert!(!keeps_its_port(&flow.replace("dport=13578", "dport=13579")));
        assert!(!keeps_its_port("unknown 47 599 src=10.77.0.2 dst=20.2.1.3 src=20.2.1.3 dst=10.78.0.1 mark=0 use=1"));
    }
}
