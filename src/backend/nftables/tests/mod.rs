//! Tests without a kernel: the encoding against recorded bytes and bytes that make no sense, and conversations with a script.

mod captures;
pub(crate) mod plans;
mod robustness;
mod scripted;
mod sets;

use proptest::prelude::*;
use std::borrow::Cow;
use std::net::IpAddr;

use super::codec::rule::{self, RuleInfo};
use super::codec::{Bitwise, Cmp, CmpOp, Data, Expression, Payload, PayloadBase};
use super::{Batch, Transaction};
use crate::backend::nftables::{Action, Change};
use crate::net::{Cidr, Family, Mark, MarkBits, PortRange, Protocol};
use crate::netlink::{Attributes, Writer};
use crate::netlink::{Content, Messages, nfnetlink};
use crate::policy::{AddressField, Condition, PortField};
use crate::rules::{Masquerade, Match, Probability, Rule, TableId, Verdict};

/// The transaction with these changes in the `nat` table of a family.
pub(super) fn batch(family: Family, actions: impl IntoIterator<Item = Action>) -> Batch {
    transaction(TableId::nat(family), actions).seal().unwrap()
}

/// The transaction with these changes in the table of our own of a family.
pub(super) fn own_batch(family: Family, actions: impl IntoIterator<Item = Action>) -> Batch {
    transaction(TableId::own(family), actions).seal().unwrap()
}

/// A transaction, still open, with these changes in a table.
pub(super) fn transaction(table: TableId, actions: impl IntoIterator<Item = Action>) -> Transaction {
    let mut transaction = Transaction::begin(None);
    for action in actions {
        transaction.push(&Change { table, action });
    }
    transaction
}

/// Loads bytes of the network header.
pub(super) fn load(offset: u32, len: u32) -> Expression {
    Expression::Payload(Payload { register: 1, base: PayloadBase::NETWORK, offset, len })
}

/// Masks what was loaded.
pub(super) fn mask(mask: &[u8]) -> Expression {
    Expression::Bitwise(Bitwise {
        source: 1,
        destination: 1,
        mask: Data::new(mask).unwrap(),
        xor: Data::from_fn(mask.len(), |_| 0),
    })
}

/// Compares what was loaded.
pub(super) fn cmp(op: CmpOp, value: &[u8]) -> Expression {
    Expression::Cmp(Cmp { register: 1, op, value: Data::new(value).unwrap() })
}

/// The expressions of all rules in a datagram.
pub(super) fn expressions(datagram: &[u8]) -> Vec<Vec<Expression>> {
    const NFTA_RULE_EXPRESSIONS: u16 = 4;
    let mut rules = Vec::new();
    for message in Messages::new(datagram) {
        let Content::Object { kind: rule::NEW, payload } = message.unwrap().content else { continue };
        let attributes = nfnetlink::attributes(payload).unwrap();
        for attribute in attributes.map(Result::unwrap).filter(|a| a.kind == NFTA_RULE_EXPRESSIONS) {
            let elements = attribute.nested().map(|element| Expression::parse(element.unwrap().nested()).unwrap());
            rules.push(elements.collect());
        }
    }
    rules
}

/// A rule as the kernel would dump it: with a handle, which only the kernel assigns.
pub(super) fn of_kernel(attributes: Attributes<'_>) -> RuleInfo {
    const NFTA_RULE_HANDLE: u16 = 3;
    let mut writer = Writer::new();
    let (mut table, mut chain) = (String::new(), String::new());
    writer.be64(NFTA_RULE_HANDLE, 1);
    for attribute in attributes.map(Result::unwrap) {
        match attribute.kind {
            1 => table = attribute.text(),
            2 => chain = attribute.text(),
            NFTA_RULE_HANDLE => continue,
            _ => {}
        }
        writer.attribute(attribute.kind, attribute.payload);
    }
    rule::parse(Attributes::new(writer.bytes()), &table, &chain).unwrap().unwrap()
}

/// Any family with any rule that can stand in its `nat` table.
pub(super) fn any_rule() -> impl Strategy<Value = (Family, Rule)> {
    any_family().prop_flat_map(|family| {
        let probability = (1..1_u32 << 31).prop_map(|units| Match::random(Probability::from_statistic(units).unwrap()));
        let matches = prop::collection::vec(prop_oneof![6 => any_match(family), 1 => probability], 0..5);
        (Just(family), with_matches(matches, "[ -~äß…]{0,80}"))
    })
}

/// Any family with any rule that can stand in the table of our own.
pub(super) fn any_native_rule() -> impl Strategy<Value = (Family, Rule)> {
    any_family().prop_flat_map(|family| {
        let prefix_len = prop::option::of(0..=family.address_len() * 8);
        let set = ("[a-z][a-z0-9-]{0,20}", prefix_len, any::<bool>()).prop_map(|(set, prefix_len, source)| {
            let field = if source { AddressField::Source } else { AddressField::Destination };
            Match::in_set(field, &set, prefix_len)
        });
        let probability = (1..u32::MAX, 1..u32::MAX)
            .prop_map(|(a, b)| Match::random(Probability::of(a.min(b), a.max(b) + 1).unwrap()));
        let matches = prop::collection::vec(prop_oneof![6 => any_match(family), 2 => set, 1 => probability], 0..5);
        (Just(family), with_matches(matches, "[ -~äß…]{0,40}"))
    })
}

pub(super) fn any_family() -> impl Strategy<Value = Family> {
    prop::sample::select(Family::ALL.to_vec())
}

fn with_matches(matches: impl Strategy<Value = Vec<Match>>, comment: &'static str) -> impl Strategy<Value = Rule> {
    let comment = prop::option::of(comment.prop_map(Cow::Owned));
    // No rule of ours asks for ports of one protocol, and for another protocol.
    let is_possible = |matches: &Vec<Match>| {
        let mut protocols = matches.iter().filter_map(Match::asked_protocol);
        let first = protocols.next();
        matches.iter().all(|condition| condition.ports().is_none()) || protocols.all(|other| Some(other) == first)
    };
    let matches = matches.prop_filter("ports of one protocol", is_possible);
    (matches, comment, any_verdict()).prop_map(|(m, c, v)| Rule::new(m, c, v))
}

/// A match that both layouts can write.
fn any_match(family: Family) -> impl Strategy<Value = Match> {
    let range = (any::<[u8; 16]>(), 1..=family.address_len() * 8).prop_map(move |(octets, prefix_len)| {
        let address = match family {
            Family::Ipv4 => IpAddr::from(*octets.first_chunk::<4>().unwrap()),
            Family::Ipv6 => IpAddr::from(octets),
        };
        Cidr::around(address, prefix_len).unwrap()
    });
    prop_oneof![
        4 => range.clone().prop_map(Match::destination),
        2 => range.prop_map(Match::source),
        1 => prop::sample::select(Protocol::WITH_PORTS.to_vec()).prop_map(Match::protocol),
        1 => Just(Match::DESTINATION_NOT_LOCAL),
        3 => any_condition().prop_map(Match::from),
    ]
}

/// A condition on ports, the mark or the interface.
fn any_condition() -> impl Strategy<Value = Condition> {
    let field = prop::sample::select(vec![PortField::Source, PortField::Destination]);
    let protocol = prop::sample::select(Protocol::WITH_PORTS.to_vec());
    let name = || "[a-zA-Z0-9._][a-zA-Z0-9._@~!-]{1,14}".prop_filter_map("a name", |name| name.parse().ok());
    prop_oneof![
        3 => (field, protocol, any_ports()).prop_map(|(field, protocol, ports)| Condition::port(field, protocol, ports)),
        1 => any::<u32>().prop_map(|mark| Condition::mark(Mark::new(mark))),
        1 => any::<u32>().prop_map(|mark| Condition::mark_other_than(Mark::new(mark))),
        1 => (any::<u32>(), 1..u32::MAX)
            .prop_map(|(mark, mask)| Condition::mark_bits(MarkBits::new(mark & mask, mask).unwrap())),
        1 => name().prop_map(Condition::output_interface),
        1 => name().prop_map(Condition::output_interface_other_than),
        1 => name().prop_map(Condition::output_interface_beginning),
    ]
}

fn any_ports() -> impl Strategy<Value = PortRange> {
    (any::<u16>(), any::<u16>()).prop_map(|(a, b)| PortRange::new(a.min(b), a.max(b)).unwrap())
}

fn any_verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        Just(Verdict::Return),
        "[A-Z][A-Z0-9-]{0,27}".prop_map(Verdict::Jump),
        (any::<bool>(), prop::option::of(any_ports()))
            .prop_map(|(fully_random, ports)| Verdict::Masquerade(Masquerade { fully_random, ports })),
    ]
}
