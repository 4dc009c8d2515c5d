//! Upstream's layout: a chain of our own in iptables' `nat` table, and a jump to it.
//!
//! Comments and order are upstream's to the letter, so that listings, `-C` checks and golden files of either agent hold
//! for both.

use std::borrow::Cow;

use super::{keep, masquerade_rules};
use crate::net::{ChainName, Cidr};
use crate::policy::{FamilyPolicy, Policy};
use crate::rules::{BaseChain, Chain, Match, Probability, Protection, Rule, Table, TableId, Verdict};

pub(super) fn table(policy: &Policy, family: &FamilyPolicy) -> Table {
    let returns = family.exempt.iter().map(|exemption| return_for(exemption.cidr));
    let postrouting = Chain {
        name: BaseChain::POSTROUTING.to_owned(),
        base: Some(BaseChain::IPTABLES_POSTROUTING),
        rules: vec![jump(&policy.chain)],
    };
    let ours = Chain {
        name: policy.chain.to_string(),
        base: None,
        rules: returns.chain(masquerade_rules(policy, Probability::for_statistic)).collect(),
    };
    Table {
        id: TableId::nat(family.family),
        protection: Protection::Off,
        sets: Vec::new(),
        chains: vec![postrouting, ours],
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

fn return_for(cidr: Cidr) -> Rule {
    // A range of everything is no condition: iptables prints none and the kernel is sent none.
    keep(if cidr.is_everything() { Vec::new() } else { vec![Match::Destination(cidr)] })
}
