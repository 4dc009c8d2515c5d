//! The native layout: tables of our own, with the exempt ranges in sets.
//!
//! The names in these tables are fixed. `--masq-chain` names the chain in iptables' table alone: a name that iptables
//! accepts may be a keyword or a syntax error to nft, or the name of our own base chain.

use super::exempt_sets::exempt_sets;
use super::{jump, keep, rules_of};
use crate::net::{ChainName, Family};
use crate::policy::{Policy, Run};
use crate::rules::{BaseChain, Chain, Match, Protection, Table, TableId};

pub(super) fn table(policy: &Policy, family: Family, protection: Protection) -> Table {
    let (mut sets, mut rules) = (Vec::new(), Vec::new());
    let mut lists = 0;
    for run in policy.runs(family) {
        match run {
            Run::KeptDestinations(ranges, decisions) => {
                lists += 1;
                let name = if lists == 1 { "exempt".to_owned() } else { format!("exempt{lists}") };
                let Some(of_list) = exempt_sets(&name, ranges) else {
                    rules.push(keep(Vec::new()).carrying_out(decisions));
                    continue;
                };
                for (set, lookup) in of_list {
                    let lookup = Match::destination_in(&lookup.name, lookup.prefix_len);
                    rules.push(keep(vec![lookup]).carrying_out(decisions));
                    sets.push(set);
                }
            }
            Run::Other(decision, range) => rules.extend(rules_of(decision, range, |probability| probability)),
        }
    }
    let ours = ChainName::default();
    let postrouting = Chain {
        name: BaseChain::OWN_POSTROUTING.to_owned(),
        base: Some(BaseChain::AFTER_IPTABLES),
        rules: vec![jump(&ours)],
    };
    let ours = Chain { name: ours.to_string(), base: None, rules };
    Table { id: TableId::own(family), protection, sets, chains: vec![postrouting, ours] }
}
