//! What becomes of the first packet of a flow under a ruleset, and by which rule: the kernel's evaluation, replayed.

use std::net::IpAddr;

use super::{BaseChain, Chain, Match, Probability, Rule, Ruleset, Set, Table, TableId, Verdict};
use crate::net::{Cidr, Family, Protocol};

/// So many jumps can lead on from one another (`NFT_JUMP_STACK_SIZE`, `net/netfilter/nf_tables.h`).
const MAX_JUMPS: usize = 16;

/// The first packet of a flow, on its way out, as far as rules of ours ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Where it goes.
    pub destination: IpAddr,
    /// Its transport protocol; `None` for one without ports, such as ICMP.
    pub protocol: Option<Protocol>,
    /// Is the destination an address of this node?
    pub destination_is_local: bool,
}

impl Packet {
    /// A packet to an address that is not this node's, of which nothing else is known.
    #[must_use]
    pub const fn to(destination: IpAddr) -> Self {
        Self { destination, protocol: None, destination_is_local: false }
    }
}

/// Does the packet keep its source?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// It leaves with the source that it has.
    Kept,
    /// It leaves behind the node's address.
    Masqueraded,
}

/// The answer and the rules that give it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// Does the packet keep its source?
    pub answer: Answer,
    /// The rule that decided. Several, if dice decide between port ranges; none, if the packet met no rule of ours
    /// (a local destination, or a family that is not treated).
    pub by: Vec<Decider<'a>>,
}

/// A rule that decides, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decider<'a> {
    /// The table.
    pub table: TableId,
    /// The chain.
    pub chain: &'a str,
    /// The position in the chain, from 1, as `iptables -L --line-numbers` counts.
    pub number: usize,
    /// The rule.
    pub rule: &'a Rule,
    /// The share of the packets reaching the rule that it takes; `None` for all.
    pub probability: Option<Probability>,
}

/// The first packet of a flow, as the rules treat it.
#[must_use]
pub fn trace<'a>(ruleset: &'a Ruleset, packet: &Packet) -> Decision<'a> {
    let family = Family::of(packet.destination);
    let mut walk = Walk { packet, returned: None, masqueraded: Vec::new() };
    for table in ruleset.tables.iter().filter(|table| table.id.family == family) {
        let postrouting =
            |chain: &&Chain| chain.base.as_ref().is_some_and(|base| base.hook == BaseChain::HOOK_POSTROUTING);
        for chain in table.chains.iter().filter(postrouting) {
            if walk.chain(table, chain, 0) == Flow::Decided {
                break;
            }
        }
    }
    if walk.masqueraded.is_empty() {
        return Decision { answer: Answer::Kept, by: walk.returned.into_iter().collect() };
    }
    Decision { answer: Answer::Masqueraded, by: walk.masqueraded }
}

#[derive(PartialEq, Eq)]
enum Flow {
    Continues,
    Decided,
}

struct Walk<'a, 'p> {
    packet: &'p Packet,
    returned: Option<Decider<'a>>,
    masqueraded: Vec<Decider<'a>>,
}

impl<'a> Walk<'a, '_> {
    /// A chain that so many jumps led to.
    fn chain(&mut self, table: &'a Table, chain: &'a Chain, jumps: usize) -> Flow {
        for (index, rule) in chain.rules.iter().enumerate() {
            if !rule.matches().iter().all(|condition| self.holds(table, condition)) {
                continue;
            }
            let probability = rule.matches().iter().find_map(|condition| match condition {
                Match::Probability(probability) => Some(*probability),
                _ => None,
            });
            let decider = Decider { table: table.id, chain: &chain.name, number: index + 1, rule, probability };
            match rule.verdict() {
                Verdict::Return => {
                    self.returned = Some(decider);
                    return Flow::Continues;
                }
                // The kernel refuses rules with loops or with more jumps in a row (`nft_chain_validate`).
                Verdict::Jump(_) if jumps == MAX_JUMPS => {}
                Verdict::Jump(target) => {
                    if table.chain(target).is_some_and(|target| self.chain(table, target, jumps + 1) == Flow::Decided) {
                        return Flow::Decided;
                    }
                }
                Verdict::Masquerade(_) => {
                    self.masqueraded.push(decider);
                    if probability.is_none() {
                        return Flow::Decided;
                    }
                }
            }
        }
        Flow::Continues
    }

    /// Can the condition hold? Dice can always fall so.
    fn holds(&self, table: &Table, condition: &Match) -> bool {
        match condition {
            Match::DestinationIn { set, prefix_len } => {
                table.set(set).is_some_and(|set| is_element(set, *prefix_len, self.packet.destination))
            }
            Match::Destination(cidr) => cidr.contains(self.packet.destination),
            Match::Protocol(protocol) => self.packet.protocol == Some(*protocol),
            Match::DestinationNotLocal => !self.packet.destination_is_local,
            Match::Probability(_) => true,
        }
    }
}

/// Does the set hold the address, of which the bits behind the prefix are taken for zero?
fn is_element(set: &Set, prefix_len: Option<u8>, address: IpAddr) -> bool {
    let address = match prefix_len {
        Some(len) => Cidr::around(address, len).map(|cidr| cidr.network()),
        None => Some(address),
    };
    address.is_some_and(|address| {
        let behind = set.elements.partition_point(|element| element.first() <= address);
        behind.checked_sub(1).and_then(|at| set.elements.get(at)).is_some_and(|element| element.contains(address))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::tests::policy;
    use crate::rules::{Layout, compile};

    /// Base chain 0 jumps to chain 1, that one to chain 2, and so on; in the last chain all is masqueraded.
    fn row_of_jumps(jumps: usize, last: Option<&str>) -> Ruleset {
        let mut ruleset = compile(&policy(&[], ""), Layout::IptablesNat);
        let table = &mut ruleset.tables[0];
        let base = table.chains[0].base.clone();
        let masquerade = table.chains[1].rules.last().unwrap().verdict().clone();
        let verdict = |number: usize| match last {
            _ if number < jumps => Verdict::Jump((number + 1).to_string()),
            Some(chain) => Verdict::Jump(chain.to_owned()),
            None => masquerade.clone(),
        };
        let chain = |number: usize| Chain {
            name: number.to_string(),
            base: base.clone().filter(|_| number == 0),
            rules: vec![Rule::new(Vec::new(), None, verdict(number))],
        };
        table.chains = (0..=jumps).map(chain).collect();
        ruleset
    }

    #[test]
    fn as_many_jumps_are_followed_as_the_kernel_allows_and_a_loop_ends() {
        for (ruleset, answer) in [
            (row_of_jumps(1, None), Answer::Masqueraded),
            (row_of_jumps(MAX_JUMPS, None), Answer::Masqueraded),
            (row_of_jumps(MAX_JUMPS + 1, None), Answer::Kept),
            (row_of_jumps(0, Some("0")), Answer::Kept),
            (row_of_jumps(2, Some("1")), Answer::Kept),
        ] {
            assert_eq!(trace(&ruleset, &Packet::to([192, 0, 2, 1].into())).answer, answer, "{ruleset:#?}");
        }
    }
}
