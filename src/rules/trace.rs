//! What a ruleset does with the first packet of a flow, and by which rule: the kernel's evaluation, replayed.

use std::net::IpAddr;

use super::{BaseChain, Chain, Field, Match, Probability, Rule, Ruleset, Set, Table, TableId, Test, Verdict};
use crate::net::Cidr;
use crate::policy::{self, Doubts, Effect, Holds, Packet, Value};

/// The most jumps that can be nested (`NFT_JUMP_STACK_SIZE`, `net/netfilter/nf_tables.h`).
const MAX_JUMPS: usize = 16;

/// What happens to a packet's source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The packet leaves with the source that it has.
    Kept,
    /// It leaves behind the node's address.
    Masqueraded,
    /// That depends on a field of the packet that is not known.
    DependsOn(policy::Field),
}

/// What happens to a packet, and the rules that decide it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace<'a> {
    /// What happens to its source.
    pub outcome: Outcome,
    /// The rule that decided it. Several, if port ranges are chosen at random, or if it depends on what is not known of
    /// the packet; none, if the packet met no rule of ours (a local destination, or a family that is not treated).
    pub by: Vec<TracedRule<'a>>,
}

/// A rule that decides, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TracedRule<'a> {
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
pub fn trace<'a>(ruleset: &'a Ruleset, packet: &Packet) -> Trace<'a> {
    let mut walk = Walk::new(packet);
    for table in ruleset.tables.iter().filter(|table| table.id.family == packet.family) {
        let postrouting =
            |chain: &&Chain| chain.base.as_ref().is_some_and(|base| base.hook == BaseChain::HOOK_POSTROUTING);
        for chain in table.chains.iter().filter(postrouting) {
            if walk.chain(table, chain, 0, None) == Flow::Decided {
                break;
            }
        }
    }
    walk.end()
}

#[derive(PartialEq, Eq)]
enum Flow {
    Continues,
    Decided,
}

struct Walk<'a, 'p> {
    packet: &'p Packet,
    returned: Option<TracedRule<'a>>,
    masqueraded: Vec<TracedRule<'a>>,
    /// What would have decided if a field that is not known had the right value.
    possible: Vec<TracedRule<'a>>,
    doubts: Doubts,
}

impl<'a, 'p> Walk<'a, 'p> {
    fn new(packet: &'p Packet) -> Self {
        let (masqueraded, possible) = (Vec::new(), Vec::new());
        Self { packet, returned: None, masqueraded, possible, doubts: Doubts::default() }
    }

    /// Walks through a chain at this depth of jumps. `doubt` is the field on which it depends whether the packet comes
    /// here.
    fn chain(&mut self, table: &'a Table, chain: &'a Chain, jumps: usize, doubt: Option<policy::Field>) -> Flow {
        for (index, rule) in chain.rules.iter().enumerate() {
            let (doubt, is_met) = match Holds::all(rule.matches().iter().map(|condition| self.holds(table, condition)))
            {
                Holds::No => continue,
                Holds::Yes => (doubt, true),
                Holds::Unknown(field) => (doubt.or(Some(field)), false),
            };
            let probability = rule.probability();
            let traced = TracedRule { table: table.id, chain: &chain.name, number: index + 1, rule, probability };
            match rule.verdict() {
                Verdict::Return => {
                    self.take_note(Effect::Kept, doubt, traced);
                    if is_met {
                        return Flow::Continues;
                    }
                }
                // The kernel refuses rules with loops or with more jumps in a row (`nft_chain_validate`).
                Verdict::Jump(_) if jumps == MAX_JUMPS => {}
                Verdict::Jump(target) => {
                    let target = table.chain(target);
                    if target.is_some_and(|target| self.chain(table, target, jumps + 1, doubt) == Flow::Decided) {
                        return Flow::Decided;
                    }
                }
                Verdict::Masquerade(_) => {
                    self.take_note(Effect::Masqueraded, doubt, traced);
                    if is_met && probability.is_none() {
                        return if doubt.is_none() { Flow::Decided } else { Flow::Continues };
                    }
                }
            }
        }
        Flow::Continues
    }

    /// Records an effect on the packet, or one that it would have if the field on which it depends had the right value.
    fn take_note(&mut self, effect: Effect, doubt: Option<policy::Field>, by: TracedRule<'a>) {
        match (doubt, effect) {
            (Some(field), _) => {
                self.doubts.add(effect, field);
                self.possible.push(by);
            }
            (None, Effect::Kept) => self.returned = Some(by),
            (None, Effect::Masqueraded) => self.masqueraded.push(by),
        }
    }

    fn end(self) -> Trace<'a> {
        let (effect, outcome, by) = if self.masqueraded.is_empty() {
            (Effect::Kept, Outcome::Kept, self.returned.into_iter().collect())
        } else {
            (Effect::Masqueraded, Outcome::Masqueraded, self.masqueraded)
        };
        match self.doubts.about(effect) {
            Some(field) => Trace { outcome: Outcome::DependsOn(field), by: [self.possible, by].concat() },
            None => Trace { outcome, by },
        }
    }

    /// Whether the condition can hold. A random share can always be drawn.
    fn holds(&self, table: &Table, condition: &Match) -> Holds {
        match (condition.test(), condition.field()) {
            (Test::Packet(test), Field::Packet(field)) => test.holds(field, self.packet),
            (Test::InSet { set, prefix_len }, Field::Packet(field)) => match self.packet.value(field) {
                Some(Value::Address(address)) => {
                    Holds::of(table.set(set).is_some_and(|set| is_element(set, prefix_len, address)))
                }
                Some(_) => Holds::No,
                None => Holds::Unknown(field),
            },
            (Test::Below(_), _) | (_, Field::Random) => Holds::Yes,
        }
    }
}

/// Whether the set holds the address, with the bits after the prefix taken as zero.
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
        for (ruleset, outcome) in [
            (row_of_jumps(1, None), Outcome::Masqueraded),
            (row_of_jumps(MAX_JUMPS, None), Outcome::Masqueraded),
            (row_of_jumps(MAX_JUMPS + 1, None), Outcome::Kept),
            (row_of_jumps(0, Some("0")), Outcome::Kept),
            (row_of_jumps(2, Some("1")), Outcome::Kept),
        ] {
            assert_eq!(trace(&ruleset, &Packet::to([192, 0, 2, 1].into())).outcome, outcome, "{ruleset:#?}");
        }
    }
}
