//! What a seed makes of a number of nodes: their rings, what each is like, and what goes wrong where.

use std::collections::BTreeSet;

use super::layout::Layout;
use super::random::Random;
use super::rollout::Rings;

/// How a policy comes to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// kubelet swaps the ConfigMap's volume under the running agent.
    Swap,
    /// The agent is ended and started again with another ConfigMap, as a DaemonSet does whose ConfigMap's name has a hash.
    Restart,
}

/// What goes wrong at a node while the policy is rolled out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The agent is stopped by SIGSTOP for a while.
    Frozen,
    /// The agent is killed, and started again by kubelet.
    Killed,
    /// Somebody flushes all rules of the node.
    Flushed,
    /// Somebody flushes our chain again and again, for a while.
    Contested,
    /// The disk of the state directory is full.
    FullState,
    /// The state directory is read-only.
    ReadOnlyState,
    /// The policy comes late.
    Late,
    /// The file has only half of its text at first.
    Partial,
    /// The policy never comes.
    NeverComes,
    /// What comes is the old policy, as somebody has pinned it.
    Pinned,
    /// No inotify instance was left for the agent, and its resync interval is an hour.
    Deaf,
}

impl Fault {
    pub(crate) const ALL: [Self; 11] = [
        Self::Frozen,
        Self::Killed,
        Self::Flushed,
        Self::Contested,
        Self::FullState,
        Self::ReadOnlyState,
        Self::Late,
        Self::Partial,
        Self::NeverComes,
        Self::Pinned,
        Self::Deaf,
    ];

    /// Those that do not pass by themselves: the node keeps the old policy until somebody mends it.
    pub(crate) const LASTING: [Self; 3] = [Self::NeverComes, Self::Pinned, Self::Deaf];

    pub(crate) fn is_lasting(self) -> bool {
        Self::LASTING.contains(&self)
    }

    /// Whether others change our rules: for a moment packets meet none, or half of them.
    pub(crate) const fn damages_rules(self) -> bool {
        matches!(self, Self::Flushed | Self::Contested)
    }
}

/// What a node is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Character {
    pub(crate) layout: Layout,
    pub(crate) way: Way,
    pub(crate) fault: Option<Fault>,
    /// Whether it has a pod that sends packets.
    pub(crate) is_sampled: bool,
}

/// The nodes and their rings.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) rings: Rings,
    pub(crate) nodes: Vec<Character>,
}

impl Plan {
    /// A fleet of so many nodes with so many faults. The first node of the first ring is sound and has protected tables.
    pub(crate) fn draw(random: &mut Random, nodes: usize, faults: usize, samples: usize) -> Self {
        let order = random.shuffled(&(0..nodes).collect::<Vec<_>>());
        let (first, rest) = order.split_at(nodes.div_ceil(100));
        let (second, third) = rest.split_at(nodes.div_ceil(10).min(rest.len()));
        let rings: Rings =
            [first, second, third].into_iter().filter(|ring| !ring.is_empty()).map(<[_]>::to_vec).collect();
        let canary = order[0];
        let layouts = [Layout::IptablesNat, Layout::OwnTable, Layout::NativeProtected];
        let mut characters: Vec<Character> = (0..nodes)
            .map(|_| Character {
                layout: random.pick(&layouts),
                way: random.pick(&[Way::Swap, Way::Restart]),
                fault: None,
                is_sampled: false,
            })
            .collect();
        characters[canary].layout = Layout::NativeProtected;
        // There is always one that has to be found.
        let kinds = [vec![random.pick(&Fault::LASTING)], random.shuffled(&Fault::ALL)].concat();
        let places: Vec<usize> = random.shuffled(&order[1..]).into_iter().take(faults).collect();
        for (place, fault) in places.iter().zip(kinds.into_iter().cycle()) {
            let node = &mut characters[*place];
            node.fault = Some(fault);
            if fault.damages_rules() {
                node.layout = random.pick(&layouts[..2]);
            }
            if fault == Fault::Deaf {
                node.way = Way::Swap;
            }
        }
        // Half of the sample are nodes at which something goes wrong, damaged rules first.
        let mut troubled = places;
        troubled.sort_by_key(|place| !characters[*place].fault.is_some_and(Fault::damages_rules));
        let sound = order.iter().copied().filter(|node| !troubled.contains(node));
        let sample: BTreeSet<usize> = troubled.iter().copied().take(samples / 2).chain(sound).take(samples).collect();
        for node in sample {
            characters[node].is_sampled = true;
        }
        Self { rings, nodes: characters }
    }

    /// The ring of a node.
    pub(crate) fn ring_of(&self, node: usize) -> usize {
        self.rings.iter().position(|ring| ring.contains(&node)).expect("each node is in a ring")
    }

    /// The nodes of the rings up to this one that keep the old policy until somebody mends them.
    pub(crate) fn lasting_up_to(&self, ring: usize) -> BTreeSet<usize> {
        let nodes = self.rings.iter().take(ring + 1).flatten().copied();
        nodes.filter(|node| self.nodes[*node].fault.is_some_and(Fault::is_lasting)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_gives_rings_of_all_nodes_once_and_the_faults_that_were_asked_for() {
        for seed in 0..200 {
            for (nodes, faults, samples, sizes) in [(200, 10, 10, vec![2, 20, 178]), (12, 3, 3, vec![1, 2, 9])] {
                let plan = Plan::draw(&mut Random::new(seed), nodes, faults, samples);
                assert_eq!(plan.rings.iter().map(Vec::len).collect::<Vec<_>>(), sizes);
                let all: BTreeSet<usize> = plan.rings.iter().flatten().copied().collect();
                assert_eq!(all, (0..nodes).collect());
                let with = |is: &dyn Fn(&Character) -> bool| plan.nodes.iter().filter(|node| is(node)).count();
                assert_eq!(with(&|node| node.fault.is_some()), faults);
                assert_eq!(with(&|node| node.is_sampled), samples);
                assert!(!plan.lasting_up_to(plan.rings.len()).is_empty());
                let canary = &plan.nodes[plan.rings[0][0]];
                assert_eq!((canary.layout, canary.fault), (Layout::NativeProtected, None));
                let protected = |node: &Character| node.layout == Layout::NativeProtected;
                assert_eq!(with(&|node| node.fault.is_some_and(Fault::damages_rules) && protected(node)), 0);
                assert_eq!(with(&|node| node.fault == Some(Fault::Deaf) && node.way == Way::Restart), 0);
            }
        }
    }
}
