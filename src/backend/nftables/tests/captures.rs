//! Against what iptables-nft, nft and the kernel said (`testdata/netlink/README.md`).

use crate::backend::nftables::Action;
use crate::backend::nftables::codec::{chain, compat, element, native, rule, set, table};
use crate::backend::nftables::{SetInfo, TableFamily, TableInfo, decode};
use crate::net::{AddressRange, Family};
use crate::netlink::{Content, Messages, Request, Writer, nfnetlink};
use crate::rules::{BaseChain, Protection, Rule, SetKind, TableId};

use super::{batch, expressions, of_kernel};
use crate::netlink::captures::{Capture, captures};

pub(super) fn sent(family: Family) -> Vec<Capture> {
    captures(match family {
        Family::Ipv4 => include_str!("../../../../testdata/netlink/iptables-nft.sent"),
        Family::Ipv6 => include_str!("../../../../testdata/netlink/ip6tables-nft.sent"),
    })
}

pub(super) fn received(family: Family) -> Vec<Capture> {
    captures(match family {
        Family::Ipv4 => include_str!("../../../../testdata/netlink/iptables-nft.received"),
        Family::Ipv6 => include_str!("../../../../testdata/netlink/ip6tables-nft.received"),
    })
}

/// What nft sends to create a table of our own.
pub(super) fn sent_by_nft(family: Family) -> Vec<Capture> {
    captures(match family {
        Family::Ipv4 => include_str!("../../../../testdata/netlink/nft-ip.sent"),
        Family::Ipv6 => include_str!("../../../../testdata/netlink/nft-ip6.sent"),
    })
}

/// What the kernel answers when nft lists it.
pub(super) fn received_by_nft(family: Family) -> Vec<Capture> {
    captures(match family {
        Family::Ipv4 => include_str!("../../../../testdata/netlink/nft-ip.received"),
        Family::Ipv6 => include_str!("../../../../testdata/netlink/nft-ip6.received"),
    })
}

/// The messages of a datagram without those that begin and end the batch, as bytes. What may differ is left out: the sequence
/// number, the port id, and the flag that asks for an acknowledgement.
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

fn only_rule(family: Family, datagram: &[u8], comment_beside: Option<&str>) -> Rule {
    let rules = expressions(datagram);
    assert_eq!(rules.len(), 1);
    compat::decode(family, &rules[0], comment_beside).unwrap()
}

#[test]
fn every_kind_of_rule_is_sent_byte_for_byte_as_iptables_sends_it() {
    for family in Family::ALL {
        let (creating, adding): (Vec<_>, Vec<_>) = sent(family).into_iter().partition(|c| c.command.contains(" -N "));
        assert_eq!((creating.len(), family, adding.len() >= 16), (1, family, true));
        for capture in adding {
            let chain = BaseChain::POSTROUTING.to_owned();
            let rule = only_rule(family, &capture.datagrams[0], None);
            let ours = messages(batch(family, [Action::Append { chain, rule: rule.clone() }]).as_bytes());
            let theirs = messages(&capture.datagrams[0]).pop().unwrap();
            // Loaded as 4 bytes and masked, and with the comment beside the expressions, for speed; see `compat::encode`.
            let beside = compat::comment_beside(&rule);
            let is_different_on_purpose =
                family == Family::Ipv4 && capture.command.contains("/24 ") || beside.is_some();
            assert_eq!(ours == [theirs], !is_different_on_purpose, "{}", capture.command);
            assert_eq!(only_rule(family, &batch_of(family, &rule), beside), rule, "{}", capture.command);
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
                    Content::Object { kind: chain::NEW, payload } => {
                        chains.push(chain::parse(nfnetlink::attributes(payload).unwrap()).unwrap());
                    }
                    Content::Object { kind: rule::NEW, payload } => {
                        let attributes = nfnetlink::attributes(payload).unwrap();
                        let rule = rule::parse(attributes, "nat", BaseChain::POSTROUTING).unwrap().unwrap();
                        rules.push(decode(TableId::nat(family), &rule).unwrap());
                    }
                    _ => {}
                }
            }
        }
        let sent: Vec<_> =
            sent(family)[1..].iter().map(|capture| only_rule(family, &capture.datagrams[0], None)).collect();
        assert_eq!(rules, sent);
        let chains: Vec<_> = chains.into_iter().map(|chain| (chain.name, chain.base)).collect();
        let postrouting = (BaseChain::POSTROUTING.to_owned(), Some(BaseChain::IPTABLES_POSTROUTING));
        assert_eq!(chains, [("IP-MASQ-AGENT".to_owned(), None), postrouting]);
    }
}

#[test]
fn the_header_of_a_request_names_the_family_of_the_tables() {
    for (family, nfproto) in TableFamily::ALL.into_iter().zip([2, 10, 1]) {
        let mut writer = Writer::new();
        Request::dump(table::GET, family.header(), &|_| {}, table::NEW).emit(&mut writer, 7);
        let len = 20_u32.to_ne_bytes();
        assert_eq!(writer.bytes(), [len, [1, 10, 1, 3], 7_u32.to_ne_bytes(), [0; 4], [nfproto, 0, 0, 0]].concat());
    }
}

const OWN: &str = "ip-masq-agent";

/// The objects in datagrams, read as parts of the table of our own.
#[derive(Debug, Default, PartialEq)]
struct Parts {
    tables: Vec<TableInfo>,
    chains: Vec<(String, Option<BaseChain>)>,
    sets: Vec<SetInfo>,
    elements: Vec<Vec<AddressRange>>,
    rules: Vec<Rule>,
}

fn parts(family: Family, captures: &[Capture]) -> Parts {
    let mut parts = Parts::default();
    let mut boundaries = Vec::new();
    for message in captures.iter().flat_map(|capture| &capture.datagrams).flat_map(|datagram| Messages::new(datagram)) {
        let Content::Object { kind, payload } = message.unwrap().content else { continue };
        let attributes = nfnetlink::attributes(payload).unwrap();
        match kind {
            table::NEW => parts.tables.push(table::parse(attributes).unwrap()),
            // The chains of all tables are listed.
            chain::NEW => {
                let chain = chain::parse(attributes).unwrap();
                parts.chains.extend((chain.table == OWN).then_some((chain.name, chain.base)));
            }
            rule::NEW => parts.rules.push(decode(TableId::own(family), &of_kernel(attributes)).unwrap()),
            set::NEW => {
                parts.sets.push(set::parse(attributes, family, OWN).unwrap().unwrap());
                boundaries.push(Vec::new());
            }
            element::NEW => {
                for (set, boundaries) in parts.sets.iter().zip(&mut boundaries) {
                    let of_set = element::parse(attributes.clone(), family, OWN, &set.name).unwrap();
                    boundaries.extend(of_set.map(Result::unwrap).unwrap_or_default());
                }
            }
            _ => {}
        }
    }
    for (set, boundaries) in parts.sets.iter().zip(boundaries) {
        parts.elements.push(element::ranges(boundaries, family, set.kind.clone().unwrap()).unwrap().unwrap());
    }
    parts
}

#[test]
fn every_rule_that_nft_sends_is_encoded_as_the_same_expressions() {
    for family in Family::ALL {
        let adding: Vec<_> = sent_by_nft(family).into_iter().filter(|c| c.command.contains("add rule")).collect();
        assert_eq!(adding.len(), 13);
        for capture in adding {
            let theirs = expressions(&capture.datagrams[0]).remove(0);
            let rule = native::decode(family, &theirs, None).unwrap();
            // Loaded as 4 bytes and masked, for speed; see `destination::push_in_range`.
            let is_different_on_purpose = family == Family::Ipv4 && capture.command.contains("/24 ");
            assert_eq!(native::encode(family, &rule) == theirs, !is_different_on_purpose, "{}", capture.command);
        }
    }
}

#[test]
fn what_nft_sends_for_a_table_of_our_own_is_read_as_what_its_command_says() {
    for family in Family::ALL {
        let parts = parts(family, &sent_by_nft(family));
        let (name, protection) = (OWN.to_owned(), Ok(Protection::Off));
        assert_eq!(parts.tables, [TableInfo { name, protection, dormant: false, owner: None }]);
        let (of_prefix, elements) = match family {
            Family::Ipv4 => (
                "exempt-24",
                "[[10.0.0.0/8, 172.16.0.0/12, 192.168.0.3-192.168.0.9, 255.0.0.0/8], \
                 [192.0.2.0, 198.51.100.0, 203.0.113.0]]",
            ),
            Family::Ipv6 => (
                "exempt-64",
                "[[2001:db8::3-2001:db8::9, fd00::/8, fe80::/10, ff00::/8], \
                 [2001:db8::, 2001:db8:0:1::, 2001:db8:0:2::]]",
            ),
        };
        let set = |name: &str, kind| SetInfo { name: name.to_owned(), kind, count: None };
        let of_addresses = Ok(SetKind::Addresses { size: 64 });
        assert_eq!(parts.sets, [set("exempt", Ok(SetKind::Intervals)), set(of_prefix, of_addresses)]);
        assert_eq!(format!("{:?}", parts.elements), elements);
        let base = BaseChain { kind: "nat".into(), hook: 4, priority: 110 };
        assert_eq!(parts.chains, [("IP-MASQ-AGENT".to_owned(), None), ("postrouting".to_owned(), Some(base))]);
    }
}

#[test]
fn what_the_kernel_lists_of_nfts_table_is_what_nft_sent() {
    for family in Family::ALL {
        let sent = parts(family, &sent_by_nft(family));
        let mut received = parts(family, &received_by_nft(family));
        // nft lists the chains of all families, IPv6 last.
        received.chains = received.chains.split_off(received.chains.len() - sent.chains.len());
        let counted: Vec<_> = received.sets.iter_mut().map(|set| set.count.take()).collect();
        assert_eq!(
            counted,
            received.elements.iter().map(|elements| u32::try_from(elements.len()).ok()).collect::<Vec<_>>()
        );
        assert_eq!(received, sent);
        assert_eq!(sent.rules.len(), 13);
        let comments: Vec<_> = sent.rules.iter().filter_map(Rule::comment).collect();
        assert_eq!(comments, ["kept", "split", "a jump"]);
    }
}
