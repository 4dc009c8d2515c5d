//! Policy to rules.

mod exempt_sets;
mod iptables_nat;
mod own_table;

pub(crate) use exempt_sets::{SetPart, sets_of_addresses};
pub use iptables_nat::jump;

use std::fmt;

use super::{Masquerade, Match, Probability, Protection, Rule, Ruleset, Verdict};
use crate::net::Protocol;
use crate::policy::{Action, Condition, Decision, DecisionRange, Policy, PortChoice};

/// Which rules carry out a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Upstream's: a chain in iptables' `nat` table, a rule for each range. iptables shows it as its own.
    IptablesNat,
    /// Tables of our own, the ranges in sets: a packet's cost does not grow with the list.
    OwnTable(Protection),
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IptablesNat => "nft-compat",
            Self::OwnTable(Protection::Off) => "nft",
            Self::OwnTable(Protection::OwnerPersist) => "nft with protected tables",
        })
    }
}

/// The comment of a rule by which packets keep their source.
pub(crate) const RETURN_COMMENT: &str = "ip-masq-agent: local traffic is not subject to MASQUERADE";
const MASQUERADE_COMMENT: &str = "ip-masq-agent: outbound traffic is subject to MASQUERADE (must be last in chain)";

/// The comments of the most frequent rules of our chains.
pub(crate) const OUR_COMMENTS: [&str; 2] = [RETURN_COMMENT, MASQUERADE_COMMENT];

/// The rules that carry out a policy in a layout.
#[must_use]
pub fn compile(policy: &Policy, layout: Layout) -> Ruleset {
    let table = |family| match layout {
        Layout::IptablesNat => iptables_nat::table(policy, family),
        Layout::OwnTable(protection) => own_table::table(policy, family, protection),
    };
    Ruleset { chain: policy.chain.clone(), tables: policy.families.iter().copied().map(table).collect() }
}

/// The rules that carry out one decision, in a chain that packets to the node itself do not reach. `probability` rounds
/// a share to what the layout can express.
fn rules_of(
    decision: &Decision,
    range: DecisionRange,
    probability: fn(Probability) -> Probability,
) -> impl Iterator<Item = Rule> {
    // A condition that always holds is left out: iptables prints none, and none is sent to the kernel.
    let is_asked = |condition: &&Condition| {
        **condition != Condition::DESTINATION_IS_NOT_LOCAL && !condition.test().is_always_met()
    };
    let conditions = decision.when().conditions();
    // One of a hundred thousand rules has one match, and is to have room for no more.
    let mut matches = Vec::with_capacity(conditions.len());
    matches.extend(conditions.iter().filter(is_asked).copied().map(Match::from));
    let rules = match decision.then() {
        Action::KeepSource => vec![keep(matches)],
        Action::Masquerade(ports) => masquerade_rules(&matches, ports, probability),
    };
    rules.into_iter().map(move |rule| rule.carrying_out(range))
}

/// A rule by which the packets that its conditions select keep their source.
fn keep(matches: Vec<Match>) -> Rule {
    Rule::new(matches, Some(RETURN_COMMENT.into()), Verdict::Return)
}

fn masquerade(matches: Vec<Match>, how: Masquerade) -> Rule {
    Rule::new(matches, Some(MASQUERADE_COMMENT.into()), Verdict::Masquerade(how))
}

/// With `--to-ports`, for each protocol a rule per port range, each taking its share of the remaining flows; then a
/// rule without ports, for every other protocol.
fn masquerade_rules(matches: &[Match], ports: &PortChoice, probability: fn(Probability) -> Probability) -> Vec<Rule> {
    let ranges = ports.to_ports.as_slice();
    let fully_random = ports.random_fully;
    let mut rules = Vec::with_capacity(1 + Protocol::WITH_PORTS.len() * ranges.len());
    for protocol in Protocol::WITH_PORTS {
        let excludes = |condition: &Match| condition.asked_protocol().is_some_and(|asked| asked != protocol);
        if matches.iter().any(excludes) {
            continue;
        }
        let protocol = Match::protocol(protocol);
        let others = || matches.iter().filter(|condition| **condition != protocol).cloned();
        // No list of ranges that fits into a command line has more ports than this counts.
        let mut left = ranges.iter().fold(0_u32, |sum, range| sum.saturating_add(range.size()));
        for range in ranges {
            let share = Probability::of(range.size(), left).map(|share| Match::random(probability(share)));
            left = left.saturating_sub(range.size());
            let matches = others().chain([protocol.clone()]).chain(share).collect();
            rules.push(masquerade(matches, Masquerade { fully_random, ports: Some(*range) }));
        }
    }
    rules.push(masquerade(matches.to_vec(), Masquerade { fully_random, ports: None }));
    rules
}
