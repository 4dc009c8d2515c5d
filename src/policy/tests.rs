//! What policies decide about packets, with conditions of all kinds.

use std::net::IpAddr;

use proptest::prelude::*;

pub(crate) use super::any::{any_packet, any_policy, known_in_part};
use super::*;
use crate::net::{InterfaceName, Mark, MarkBits, PortRange, Protocol};

fn range(text: &str) -> Cidr {
    text.parse().unwrap()
}

pub(crate) fn from(text: &str) -> Condition {
    Condition::address(AddressField::Source, range(text))
}

pub(crate) fn to(text: &str) -> Condition {
    Condition::address(AddressField::Destination, range(text))
}

pub(crate) fn keep(conditions: &[Condition]) -> Decision {
    Decision::keep_source(Selector::all(conditions.to_vec()), Origin::Default)
}

pub(crate) fn masquerade(conditions: &[Condition]) -> Decision {
    let ports = PortChoice { random_fully: true, to_ports: PortRanges::default() };
    Decision::masquerade(&Selector::all(conditions.to_vec()), ports, Origin::EverythingElse)
}

/// A condition on ports of a protocol.
pub(crate) fn port(field: PortField, protocol: Protocol, first: u16, last: u16) -> Condition {
    Condition::port(field, protocol, PortRange::new(first, last).unwrap())
}

/// The name of an interface, or the start of one.
pub(crate) fn interface(name: &str) -> InterfaceName {
    name.parse().unwrap()
}

/// A policy about both families.
pub(crate) fn deciding(decisions: Vec<Decision>) -> Policy {
    Policy { chain: ChainName::default(), families: Family::ALL.to_vec(), decisions }
}

fn packet(source: Option<&str>, destination: Option<&str>) -> Packet {
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let family = source.or(destination).map_or(Family::Ipv4, |text| Family::of(address(text)));
    Packet {
        source: source.map(address),
        destination: destination.map(address),
        destination_type: Some(AddressType::Other),
        ..Packet::of(family)
    }
}

#[test]
fn the_first_decision_that_is_about_a_packet_holds_and_what_is_not_known_is_asked_for_where_it_would_decide() {
    let (source, destination) = (Field::Source, Field::Destination);
    let policy = deciding(vec![
        keep(&[from("10.1.0.0/16"), to("192.0.2.0/24")]),
        keep(&[to("198.51.100.0/24")]),
        masquerade(&[from("10.0.0.0/8")]),
        keep(&[to("fd00::/8")]),
        masquerade(&[Condition::protocol(Protocol::Tcp), to("203.0.113.0/24")]),
    ]);
    let tcp = Some(Transport::WithPorts(Protocol::Tcp));
    let cases = [
        (packet(Some("10.1.2.3"), Some("192.0.2.1")), Answer::Kept(0)),
        (packet(Some("10.2.0.1"), Some("192.0.2.1")), Answer::Masqueraded(2)),
        (packet(Some("172.16.0.1"), Some("192.0.2.1")), Answer::NotConcerned),
        (packet(None, Some("198.51.100.1")), Answer::Kept(1)),
        (packet(None, Some("192.0.2.1")), Answer::DependsOn(source)),
        // Whatever the source is, the packet keeps it or is not masqueraded.
        (packet(None, Some("fd00::1")), Answer::Kept(3)),
        (packet(Some("10.1.2.3"), None), Answer::DependsOn(destination)),
        (packet(Some("172.16.0.1"), None), Answer::DependsOn(Field::Protocol)),
        (Packet { protocol: tcp, ..packet(Some("172.16.0.1"), None) }, Answer::DependsOn(destination)),
        (Packet { protocol: tcp, ..packet(Some("172.16.0.1"), Some("203.0.113.1")) }, Answer::Masqueraded(4)),
        (packet(Some("172.16.0.1"), Some("203.0.113.1")), Answer::DependsOn(Field::Protocol)),
        (
            Packet { destination_type: None, ..packet(Some("10.2.0.1"), Some("192.0.2.1")) },
            Answer::DependsOn(Field::DestinationType),
        ),
        (Packet { destination_type: None, ..packet(None, Some("198.51.100.1")) }, Answer::Kept(1)),
        (
            Packet { destination_type: Some(AddressType::Local), ..packet(Some("10.2.0.1"), Some("192.0.2.1")) },
            Answer::NotConcerned,
        ),
    ];
    for (packet, answer) in cases {
        assert_eq!(evaluate(&policy, &packet), answer, "{packet:?}");
    }
    let only_ipv6 = Policy { families: vec![Family::Ipv6], ..policy };
    assert_eq!(evaluate(&only_ipv6, &packet(Some("10.1.2.3"), Some("192.0.2.1"))), Answer::NotConcerned);
}

#[test]
fn a_range_of_all_addresses_needs_no_address_and_one_of_another_family_is_never_met() {
    let everything = [keep(&[from("0.0.0.0/0")]), keep(&[to("::/0")])];
    let policy = deciding(everything.to_vec());
    assert_eq!(evaluate(&policy, &Packet::of(Family::Ipv4)), Answer::Kept(0));
    assert_eq!(evaluate(&policy, &Packet::of(Family::Ipv6)), Answer::Kept(1));
}

#[test]
fn no_packet_to_the_node_itself_is_ever_masqueraded() {
    for conditions in [&[][..], &[from("10.0.0.0/8")], &[Condition::DESTINATION_IS_NOT_LOCAL]] {
        let decision = masquerade(conditions);
        let not_local = Condition::DESTINATION_IS_NOT_LOCAL;
        let count = decision.when().conditions().iter().filter(|condition| **condition == not_local).count();
        assert_eq!(count, 1, "{decision:?}");
    }
}

#[test]
fn destinations_that_are_kept_one_behind_the_other_are_one_list_and_another_decision_parts_two() {
    let policy = deciding(vec![
        keep(&[to("10.1.0.0/16")]),
        keep(&[to("fd00::/8")]),
        keep(&[to("10.0.0.0/8")]),
        masquerade(&[from("fd00::/8")]),
        keep(&[to("192.0.2.0/24")]),
        keep(&[to("198.51.100.0/24"), from("10.0.0.0/8")]),
        keep(&[to("10.0.0.0/8")]),
        masquerade(&[]),
    ]);
    let shown = |family| -> Vec<String> {
        let of_run = |run: &Run<'_>| match run {
            Run::KeptDestinations(ranges, decisions) => {
                format!("{ranges:?} by {}..{}", decisions.first, decisions.end)
            }
            Run::Other(decision, decisions) => {
                format!("{:?} by {}..{}", decision.then().effect(), decisions.first, decisions.end)
            }
        };
        policy.runs(family).iter().map(of_run).collect()
    };
    assert_eq!(
        shown(Family::Ipv4),
        ["[10.0.0.0/8, 192.0.2.0/24] by 0..5", "Kept by 5..6", "[10.0.0.0/8] by 6..7", "Masqueraded by 7..8"]
    );
    assert_eq!(shown(Family::Ipv6), ["[fd00::/8] by 0..3", "Masqueraded by 3..4", "Masqueraded by 7..8"]);
}

#[test]
fn which_decision_of_several_holds_is_the_first_that_is_about_the_packet() {
    let policy = deciding(vec![keep(&[to("10.1.0.0/16")]), keep(&[to("10.0.0.0/8")]), masquerade(&[])]);
    let packet = Packet::to("10.1.2.3".parse().unwrap());
    for (first, count, found) in [(0, 3, Some(0)), (1, 2, Some(1)), (2, 1, Some(2)), (3, 1, None), (0, 0, None)] {
        let decision = policy.first_of(DecisionRange::new(first, count), &packet);
        assert_eq!(decision, found.map(|index: usize| &policy.decisions[index]), "{first} {count}");
    }
}

#[test]
fn a_policy_of_a_hundred_thousand_ranges_takes_little_memory() {
    assert!(size_of::<Condition>() <= 20, "{}", size_of::<Condition>());
    assert!(size_of::<Decision>() <= 56, "{}", size_of::<Decision>());
    assert_eq!(size_of::<DecisionRange>(), 8);
}

proptest! {
    #[test]
    fn what_is_answered_of_a_packet_known_in_part_is_so_whatever_the_rest_is(
        policy in any_policy(), whole in any_packet(), known in any::<[bool; 8]>(),
    ) {
        let part = known_in_part(&whole, known);
        let effect = |answer| match answer {
            Answer::Kept(_) | Answer::NotConcerned => Some(Effect::Kept),
            Answer::Masqueraded(_) => Some(Effect::Masqueraded),
            Answer::DependsOn(field) => {
                assert_eq!(part.value(field), None);
                None
            }
        };
        let (of_part, of_whole) = (effect(evaluate(&policy, &part)), effect(evaluate(&policy, &whole)));
        prop_assert!(of_whole.is_some());
        prop_assert!(of_part.is_none_or(|effect| Some(effect) == of_whole), "{:?} {:?}", of_part, of_whole);
    }
}

#[test]
fn interfaces_ports_and_marks_are_tested_as_the_kernel_tests_them() {
    let (tcp, udp) = (Transport::WithPorts(Protocol::Tcp), Transport::WithPorts(Protocol::Udp));
    let on = |name: &str| Packet { output_interface: Some(interface(name)), ..Packet::of(Family::Ipv4) };
    let marked = |mark| Packet { mark: Some(Mark::new(mark)), ..Packet::of(Family::Ipv4) };
    let from_to = |protocol, source_port, destination_port| Packet {
        protocol,
        source_port,
        destination_port,
        ..Packet::of(Family::Ipv6)
    };
    let nothing_known = Packet::of(Family::Ipv4);
    let (yes, no) = (Holds::Yes, Holds::No);
    let is_eth0 = Condition::output_interface(interface("eth0"));
    let is_not_eth0 = Condition::output_interface_other_than(interface("eth0"));
    let begins_eth = Condition::output_interface_beginning(interface("eth"));
    let dns = port(PortField::Destination, Protocol::Udp, 53, 54);
    let is_bit = Condition::mark_bits(MarkBits::new(0x4000, 0x4000).unwrap());
    for (condition, packet, holds) in [
        (is_eth0, on("eth0"), yes),
        (is_eth0, on("eth01"), no),
        (is_eth0, on("eth"), no),
        (is_eth0, nothing_known, Holds::Unknown(Field::OutputInterface)),
        (is_not_eth0, on("eth0"), no),
        (is_not_eth0, on("eth1"), yes),
        (begins_eth, on("eth"), yes),
        (begins_eth, on("eth01"), yes),
        (begins_eth, on("et"), no),
        (begins_eth, on("veth"), no),
        (Condition::mark(Mark::new(7)), marked(7), yes),
        (Condition::mark(Mark::new(7)), marked(6), no),
        (Condition::mark(Mark::new(7)), nothing_known, Holds::Unknown(Field::Mark)),
        (Condition::mark_other_than(Mark::new(7)), marked(7), no),
        (Condition::mark_other_than(Mark::new(7)), marked(0), yes),
        (is_bit, marked(0x4007), yes),
        (is_bit, marked(0x8000), no),
        (dns, from_to(Some(udp), None, Some(52)), no),
        (dns, from_to(Some(udp), None, Some(53)), yes),
        (dns, from_to(Some(udp), None, Some(54)), yes),
        (dns, from_to(Some(udp), None, Some(55)), no),
        (dns, from_to(Some(tcp), None, Some(53)), no),
        (dns, from_to(Some(Transport::Other), None, Some(53)), no),
        (dns, from_to(Some(tcp), None, None), no),
        (dns, from_to(Some(udp), Some(53), None), Holds::Unknown(Field::DestinationPort)),
        (dns, from_to(None, None, Some(53)), Holds::Unknown(Field::Protocol)),
        (dns, from_to(None, None, Some(1)), no),
        (port(PortField::Source, Protocol::Udp, 9, 9), from_to(Some(udp), Some(9), Some(1)), yes),
        (port(PortField::Source, Protocol::Udp, 9, 9), from_to(Some(udp), Some(1), Some(9)), no),
    ] {
        assert_eq!(condition.holds(&packet), holds, "{condition:?} {packet:?}");
    }
}

#[test]
fn all_ports_are_no_more_than_the_protocol_and_two_protocols_select_nothing() {
    let tcp = Condition::protocol(Protocol::Tcp);
    assert_eq!(port(PortField::Source, Protocol::Tcp, 0, u16::MAX), tcp);
    let dns = port(PortField::Destination, Protocol::Udp, 53, 53);
    let from_dns = port(PortField::Source, Protocol::Udp, 53, 53);
    for (conditions, concerns) in [
        (vec![dns, tcp], false),
        (vec![tcp, Condition::protocol(Protocol::Udp)], false),
        (vec![dns, port(PortField::Source, Protocol::Sctp, 1, 2)], false),
        (vec![dns, from_dns, Condition::protocol(Protocol::Udp)], true),
        (vec![dns, to("10.0.0.0/8")], true),
        (vec![dns, to("fd00::/8")], false),
    ] {
        assert_eq!(Selector::all(conditions.clone()).concerns(Family::Ipv4), concerns, "{conditions:?}");
    }
}

#[test]
fn a_selector_of_no_condition_is_that_of_everything() {
    assert_eq!(Selector::all(Vec::new()), Selector::EVERYTHING);
    assert_eq!(Selector::all(vec![to("10.0.0.0/8")]), Selector::from(to("10.0.0.0/8")));
}

#[test]
fn ipv6_is_treated_if_the_flag_says_so_and_each_familys_link_local_range_comes_first() {
    let flags = Flags { ipv6: true, ..Flags::default() };
    for (flags, families, link_local) in [
        (Flags::default(), &[Family::Ipv4][..], &["169.254.0.0/16"][..]),
        (flags, &Family::ALL, &["169.254.0.0/16", "fe80::/10"]),
    ] {
        let policy = Policy::new(&Config::defaults(&(&flags).into()), &flags);
        assert_eq!(policy.families, families);
        let of_link_local = policy.decisions.iter().filter(|decision| decision.origin() == Origin::LinkLocal);
        let expected: Vec<Decision> =
            link_local.iter().map(|range| Decision::keep_source(to(range).into(), Origin::LinkLocal)).collect();
        assert!(of_link_local.eq(expected.iter()), "{policy:?}");
        assert_eq!(policy.decisions[..expected.len()], expected);
        assert_eq!(policy.decisions.last(), Some(&masquerade(&[])));
    }
}

#[test]
fn fields_are_named_in_words() {
    let fields = [Field::Source, Field::Destination, Field::Protocol, Field::DestinationType];
    let names = fields.map(|field| field.to_string());
    assert_eq!(names, ["source", "destination", "protocol", "type of destination"]);
    let fields = [Field::OutputInterface, Field::SourcePort, Field::DestinationPort, Field::Mark];
    let names = fields.map(|field| field.to_string());
    assert_eq!(names, ["output interface", "source port", "destination port", "mark"]);
}

#[test]
fn a_packet_of_which_only_the_address_is_said_has_a_protocol_without_ports_and_does_not_go_to_the_node() {
    let policy = deciding(vec![keep(&[Condition::protocol(Protocol::Tcp)]), masquerade(&[])]);
    for address in ["192.0.2.1", "2001:db8::1"] {
        assert_eq!(evaluate(&policy, &Packet::to(address.parse().unwrap())), Answer::Masqueraded(1), "{address}");
    }
}
