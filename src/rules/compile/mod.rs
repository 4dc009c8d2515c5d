//! Policy to rules.

mod exempt_sets;
mod iptables_nat;
mod own_table;

pub(crate) use exempt_sets::sets_of_addresses;
pub use iptables_nat::jump;

use std::fmt;

use super::{Masquerade, Match, Probability, Protection, Rule, Ruleset, Verdict};
use crate::net::Protocol;
use crate::policy::{FamilyPolicy, Policy};

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

const RETURN_COMMENT: &str = "ip-masq-agent: local traffic is not subject to MASQUERADE";
const MASQUERADE_COMMENT: &str = "ip-masq-agent: outbound traffic is subject to MASQUERADE (must be last in chain)";

/// The comments of the rules that a chain of ours has many of.
pub(crate) const OUR_COMMENTS: [&str; 2] = [RETURN_COMMENT, MASQUERADE_COMMENT];

/// The rules that carry out a policy in a layout.
#[must_use]
pub fn compile(policy: &Policy, layout: Layout) -> Ruleset {
    let table = |family: &FamilyPolicy| match layout {
        Layout::IptablesNat => iptables_nat::table(policy, family),
        Layout::OwnTable(protection) => own_table::table(policy, family, protection),
    };
    Ruleset {
        chain: policy.chain.clone(),
        tables: policy.families.iter().map(table).collect(),
        hold: false,
        keep_standing: Vec::new(),
    }
}

/// A rule that keeps the source of what its conditions meet.
fn keep(matches: Vec<Match>) -> Rule {
    Rule::new(matches, Some(RETURN_COMMENT.into()), Verdict::Return)
}

fn masquerade(matches: Vec<Match>, how: Masquerade) -> Rule {
    Rule::new(matches, Some(MASQUERADE_COMMENT.into()), Verdict::Masquerade(how))
}

/// With `--to-ports`, for each protocol a rule per port range, each taking its share of the flows that are left;
/// then a rule without ports, for every other protocol. `probability` says how precisely a layout can share.
fn masquerade_rules(policy: &Policy, probability: fn(Probability) -> Probability) -> Vec<Rule> {
    let ranges = policy.to_ports.as_slice();
    let mut rules = Vec::with_capacity(1 + Protocol::WITH_PORTS.len() * ranges.len());
    for protocol in Protocol::WITH_PORTS {
        // No list of ranges that fits into a command line has more ports than this counts.
        let mut left = ranges.iter().fold(0_u32, |sum, range| sum.saturating_add(range.size()));
        for range in ranges {
            let share = Probability::of(range.size(), left).map(|share| Match::Probability(probability(share)));
            left = left.saturating_sub(range.size());
            let matches = [Some(Match::Protocol(protocol)), share].into_iter().flatten().collect();
            rules.push(masquerade(matches, Masquerade { fully_random: policy.random_fully, ports: Some(*range) }));
        }
    }
    rules.push(masquerade(Vec::new(), Masquerade { fully_random: policy.random_fully, ports: None }));
    rules
}
