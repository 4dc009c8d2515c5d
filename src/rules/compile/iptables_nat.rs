//! Upstream's layout: a chain of our own in iptables' `nat` table, and a jump to it.
//!
//! Comments and order are upstream's to the letter, so that listings, `-C` checks and golden files of either agent hold
//! for both.

use std::borrow::Cow;

use super::rules_of;
use crate::net::{ChainName, Family};
use crate::policy::Policy;
use crate::rules::{BaseChain, Chain, Match, Probability, Protection, Rule, Table, TableId, Verdict};

pub(super) fn table(policy: &Policy, family: Family) -> Table {
    let postrouting = Chain {
        name: BaseChain::POSTROUTING.to_owned(),
        base: Some(BaseChain::IPTABLES_POSTROUTING),
        rules: vec![jump(&policy.chain)],
    };
    let ours = Chain {
        name: policy.chain.to_string(),
        base: None,
        rules: policy
            .each(family)
            .flat_map(|(decision, range)| rules_of(decision, range, Probability::for_statistic))
            .collect(),
    };
    Table { id: TableId::nat(family), protection: Protection::Off, sets: Vec::new(), chains: vec![postrouting, ours] }
}

/// The jump from POSTROUTING to our chain. A rule equal to it is ours, whatever its chain's name.
#[must_use]
pub fn jump(chain: &ChainName) -> Rule {
    let comment = format!(
        "ip-masq-agent: ensure nat POSTROUTING directs all non-LOCAL destination traffic to our custom {chain} chain"
    );
    Rule::new(vec![Match::DESTINATION_NOT_LOCAL], Some(Cow::Owned(comment)), Verdict::Jump(chain.to_string()))
}
