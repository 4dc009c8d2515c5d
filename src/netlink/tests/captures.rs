//! Against what iptables-nft and the kernel said (`testdata/netlink/README.md`).

use crate::net::Family;
use crate::netlink::compat;
use crate::netlink::message::{Content, Kind, Messages};
use crate::netlink::{chain, rule};
use crate::ruleset::{Action, BaseChain, Protection, Rule};

use super::{batch, expressions};

/// A command and the datagrams that were recorded while it ran.
pub(super) struct Capture {
    command: &'static str,
    pub(super) datagrams: Vec<Vec<u8>>,
}

pub(super) fn sent(family: Family) -> Vec<Capture> {
    captures(match family {
        Family::Ipv4 => include_str!("../../../testdata/netlink/iptables-nft.sent"),
        Family::Ipv6 => include_str!("../../../testdata/netlink/ip6tables-nft.sent"),
    })
}

pub(super) fn received(family: Family) -> Vec<Capture> {
    captures(match family {
        Family::Ipv4 => include_str!("../../../testdata/netlink/iptables-nft.received"),
        Family::Ipv6 => include_str!("../../../testdata/netlink/ip6tables-nft.received"),
    })
}

fn captures(text: &'static str) -> Vec<Capture> {
    let blocks = text.split("$ ").filter(|block| !block.is_empty());
    let captures: Vec<_> = blocks
        .map(|block| {
            let (command, hex) = block.split_once('\n').unwrap();
            let datagrams = hex.split("\n\n").map(bytes).filter(|datagram| !datagram.is_empty()).collect();
            Capture { command, datagrams }
        })
        .collect();
    assert!(!captures.is_empty());
    captures
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

/// The messages of a datagram that are no frame, as bytes, without what may differ: sequence number, port id, and the
/// flag that asks for an acknowledgement.
fn messages(datagram: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = datagram;
    let mut messages = Vec::new();
    while let Some(len) = rest.first_chunk().map(|len| u32::from_ne_bytes(*len)) {
        let (message, behind) = rest.split_at(usize::try_from(len).unwrap());
        let mut message = message.to_vec();
        message[6] &= !4;
        message[8..16].fill(0);
        let is_of_nf_tables = message[5] == 10;
        messages.extend(is_of_nf_tables.then_some(message));
        rest = behind;
    }
    messages
}

fn only_rule(family: Family, datagram: &[u8]) -> Rule {
    let rules = expressions(datagram);
    assert_eq!(rules.len(), 1);
    compat::raise(family, &rules[0]).unwrap()
}

#[test]
fn every_kind_of_rule_is_sent_byte_for_byte_as_iptables_sends_it() {
    for family in Family::ALL {
        let (creating, adding): (Vec<_>, Vec<_>) = sent(family).into_iter().partition(|c| c.command.contains(" -N "));
        assert_eq!((creating.len(), family, adding.len() >= 16), (1, family, true));
        for capture in adding {
            let chain = BaseChain::POSTROUTING.to_owned();
            let rule = only_rule(family, &capture.datagrams[0]);
            let ours = messages(batch(family, [Action::Append { chain, rule: rule.clone() }]).as_bytes());
            let theirs = messages(&capture.datagrams[0]).pop().unwrap();
            // Loaded as 4 bytes and masked, for speed; see `compat::lower`.
            let is_different_on_purpose = family == Family::Ipv4 && capture.command.contains("/24 ");
            assert_eq!(ours == [theirs], !is_different_on_purpose, "{}", capture.command);
            assert_eq!(only_rule(family, &batch_of(family, &rule)), rule, "{}", capture.command);
        }
    }
}

fn batch_of(family: Family, rule: &Rule) -> Vec<u8> {
    batch(family, [Action::Append { chain: String::new(), rule: rule.clone() }]).as_bytes().to_vec()
}

#[test]
fn table_and_base_chain_are_sent_as_iptables_sends_them() {
    for family in Family::ALL {
        let base = Some(BaseChain::IPTABLES_POSTROUTING);
        let chain = Action::CreateChain { chain: BaseChain::POSTROUTING.to_owned(), base };
        let ours = messages(batch(family, [Action::CreateTable { protection: Protection::Off }, chain]).as_bytes());
        let theirs = sent(family);
        let table = messages(&theirs[0].datagrams[0])[0].clone();
        let chain = messages(&theirs[1].datagrams[0])[0].clone();
        assert_eq!(ours, [table, chain]);
    }
}

#[test]
fn what_the_kernel_dumps_is_decoded_to_the_chains_and_rules_that_were_sent() {
    for family in Family::ALL {
        let (mut chains, mut rules) = (Vec::new(), Vec::new());
        for datagram in &received(family)[0].datagrams {
            for message in Messages::new(datagram) {
                match message.unwrap().content {
                    Content::Object { kind: Kind::NEW_CHAIN, attributes } => {
                        chains.push(chain::parse(attributes).unwrap());
                    }
                    Content::Object { kind: Kind::NEW_RULE, attributes } => {
                        let rule = rule::parse(attributes, "nat", BaseChain::POSTROUTING).unwrap().unwrap();
                        rules.push(compat::raise(family, &rule.expressions).unwrap());
                    }
                    _ => {}
                }
            }
        }
        let sent: Vec<_> = sent(family)[1..].iter().map(|capture| only_rule(family, &capture.datagrams[0])).collect();
        assert_eq!(rules, sent);
        let chains: Vec<_> = chains.into_iter().map(|chain| (chain.name, chain.base)).collect();
        let postrouting = (BaseChain::POSTROUTING.to_owned(), Some(BaseChain::IPTABLES_POSTROUTING));
        assert_eq!(chains, [("IP-MASQ-AGENT".to_owned(), None), postrouting]);
    }
}
