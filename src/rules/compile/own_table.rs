//! The native layout: tables of our own, with the exempt ranges in sets.
//!
//! The names in these tables are fixed. `--masq-chain` names the chain in iptables' table alone: a name that iptables takes
//! may be a keyword or no word at all to nft, or that of our own base chain.

use super::exempt_sets::{ExemptSets, exempt_sets};
use super::{jump, keep, masquerade_rules};
use crate::net::{AddressRange, ChainName};
use crate::policy::{FamilyPolicy, Policy};
use crate::rules::{BaseChain, Chain, Protection, Rule, Table, TableId};

pub(super) fn table(policy: &Policy, family: &FamilyPolicy, protection: Protection) -> Table {
    let ranges = family.exempt.iter().map(|exemption| AddressRange::from(exemption.cidr)).collect();
    let ExemptSets { sets, lookups } = exempt_sets(AddressRange::merged(ranges));
    let returns = lookups.into_iter().map(|lookup| keep(lookup.into_iter().collect()));
    let rules: Vec<Rule> = returns.chain(masquerade_rules(policy, |probability| probability)).collect();
    let ours = ChainName::default();
    let postrouting = Chain {
        name: BaseChain::OWN_POSTROUTING.to_owned(),
        base: Some(BaseChain::AFTER_IPTABLES),
        rules: vec![jump(&ours)],
    };
    let ours = Chain { name: ours.to_string(), base: None, rules };
    Table { id: TableId::own(family.family), protection, sets, chains: vec![postrouting, ours] }
}
