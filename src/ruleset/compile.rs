//! Policy to rules, in the shape of upstream's: a chain of our own in iptables' `nat` table, and a jump to it.
//!
//! Comments and order are upstream's to the letter, so that listings, `-C` checks and golden files of either agent hold
//! for both.

use std::borrow::Cow;

use super::{BaseChain, Chain, Chance, Masquerade, Match, Protection, Rule, Ruleset, Table, TableId, Verdict};
use crate::net::{ChainName, Cidr, Protocol};
use crate::policy::{FamilyPolicy, Policy};

const RETURN_COMMENT: &str = "ip-masq-agent: local traffic is not subject to MASQUERADE";
const MASQUERADE_COMMENT: &str = "ip-masq-agent: outbound traffic is subject to MASQUERADE (must be last in chain)";

/// The rules that carry out a policy.
#[must_use]
pub fn compile(policy: &Policy) -> Ruleset {
    Ruleset {
        chain: policy.chain.clone(),
        tables: policy.families.iter().map(|family| nat_table(policy, family)).collect(),
    }
}

/// The jump from POSTROUTING to our chain. A rule equal to it is ours, whatever its chain's name.
#[must_use]
pub fn jump(chain: &ChainName) -> Rule {
    let comment = format!(
        "ip-masq-agent: ensure nat POSTROUTING directs all non-LOCAL destination traffic to our custom {chain} chain"
    );
    Rule::new(vec![Match::DestinationNotLocal], Some(Cow::Owned(comment)), Verdict::Jump(chain.to_string()))
}

fn nat_table(policy: &Policy, family: &FamilyPolicy) -> Table {
    let returns = family.exempt.iter().map(|exemption| return_for(exemption.cidr));
    let postrouting = Chain {
        name: BaseChain::POSTROUTING.to_owned(),
        base: Some(BaseChain::IPTABLES_POSTROUTING),
        rules: vec![jump(&policy.chain)],
    };
    let ours =
        Chain { name: policy.chain.to_string(), base: None, rules: returns.chain(masquerade_rules(policy)).collect() };
    Table {
        id: TableId::nat(family.family),
        protection: Protection::Off,
        sets: Vec::new(),
        chains: vec![postrouting, ours],
    }
}

fn return_for(cidr: Cidr) -> Rule {
    // A range of everything is no condition: iptables prints none and the kernel is sent none.
    let matches = if cidr.is_everything() { Vec::new() } else { vec![Match::Destination(cidr)] };
    Rule::new(matches, Some(Cow::Borrowed(RETURN_COMMENT)), Verdict::Return)
}

/// With `--to-ports`, for each protocol a rule per port range, each taking its share of the flows that are left;
/// then a rule without ports, for every other protocol.
fn masquerade_rules(policy: &Policy) -> Vec<Rule> {
    let ranges = policy.to_ports.as_slice();
    let mut rules = Vec::with_capacity(1 + Protocol::WITH_PORTS.len() * ranges.len());
    for protocol in Protocol::WITH_PORTS {
        let mut left: u32 = ranges.iter().map(|range| range.size()).sum();
        for range in ranges {
            let share = Chance::of(range.size(), left).map(|chance| Match::Chance(chance.for_statistic()));
            left -= range.size();
            let matches = [Some(Match::Protocol(protocol)), share].into_iter().flatten().collect();
            rules.push(masquerade(matches, Masquerade { fully_random: policy.random_fully, ports: Some(*range) }));
        }
    }
    rules.push(masquerade(Vec::new(), Masquerade { fully_random: policy.random_fully, ports: None }));
    rules
}

fn masquerade(matches: Vec<Match>, how: Masquerade) -> Rule {
    Rule::new(matches, Some(Cow::Borrowed(MASQUERADE_COMMENT)), Verdict::Masquerade(how))
}
