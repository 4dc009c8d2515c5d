//! What policies decide about packets, with conditions of all kinds.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::net::Protocol;

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

/// A policy about both families.
pub(crate) fn deciding(decisions: Vec<Decision>) -> Policy {
    Policy { chain: ChainName::default(), families: Family::ALL.to_vec(), decisions }
}

/// Decisions about ranges that overlap and contain each other, with any conditions, which need not cover everything.
pub(crate) fn any_policy() -> impl Strategy<Value = Policy> {
    let address = (any::<AnyAddress>(), prop::sample::select(&[0_u8, 1, 2, 30, 31, 32][..])).prop_map(|(at, len)| {
        let address = at.0;
        let len = if address.is_ipv6() && len > 2 { len + 96 } else { len };
        Cidr::around(address, len).unwrap()
    });
    let field = prop::sample::select(&[AddressField::Source, AddressField::Destination][..]);
    let condition = prop_oneof![
        6 => (field, address.clone()).prop_map(|(field, range)| Condition::address(field, range)),
        1 => prop::sample::select(&Protocol::WITH_PORTS[..]).prop_map(Condition::protocol),
        1 => Just(Condition::DESTINATION_IS_NOT_LOCAL),
    ];
    let ports = prop::sample::select(&["", "1024-2047", "1024-2047,3000-3999"][..]);
    let conditions = prop::collection::vec(condition, 0..4);
    let decision = prop_oneof![
        // Mostly decisions that one lookup can carry out together.
        3 => address.prop_map(|range| keep(&[Condition::address(AddressField::Destination, range)])),
        2 => conditions.clone().prop_map(|conditions| keep(&conditions)),
        1 => (conditions, ports).prop_map(|(conditions, ports)| {
            let ports = PortChoice { random_fully: true, to_ports: ports.parse().unwrap() };
            Decision::masquerade(&Selector::all(conditions), ports, Origin::EverythingElse)
        }),
    ];
    let families = prop::sample::subsequence(Family::ALL.to_vec(), 1..=2);
    (prop::collection::vec(decision, 0..12), families)
        .prop_map(|(decisions, families)| Policy { families, ..deciding(decisions) })
}

/// One of a few addresses, so that random ranges and packets often meet.
#[derive(Clone, Copy, Debug)]
struct AnyAddress(IpAddr);

impl Arbitrary for AnyAddress {
    type Parameters = ();
    type Strategy = BoxedStrategy<Self>;

    fn arbitrary_with((): ()) -> Self::Strategy {
        let first = prop::sample::select(&[0_u32, 0x4000_0000, 0x8000_0000, 0xffff_fff8][..]);
        let address = |(v6, first, last): (bool, u32, u32)| {
            let v4 = first + last;
            let address = if v6 {
                IpAddr::V6((u128::from(first) << 96 | u128::from(last)).into())
            } else {
                IpAddr::V4(v4.into())
            };
            Self(address)
        };
        (any::<bool>(), first, 0..8_u32).prop_map(address).boxed()
    }
}

/// A packet of which everything is known.
pub(crate) fn any_packet() -> impl Strategy<Value = Packet> {
    let protocols = [Transport::Other, Transport::WithPorts(Protocol::Tcp), Transport::WithPorts(Protocol::Sctp)];
    let protocol = prop::sample::select(protocols.to_vec());
    let address_type = prop_oneof![4 => Just(AddressType::Other), 1 => Just(AddressType::Local)];
    (any::<AnyAddress>(), any::<AnyAddress>(), protocol, address_type)
        .prop_filter("one family", |(source, destination, ..)| source.0.is_ipv4() == destination.0.is_ipv4())
        .prop_map(|(source, destination, protocol, destination_type)| Packet {
            source: Some(source.0),
            protocol: Some(protocol),
            destination_type: Some(destination_type),
            ..Packet::to(destination.0)
        })
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
        policy in any_policy(), whole in any_packet(), known in any::<[bool; 4]>(),
    ) {
        let [source, destination, protocol, destination_type] = known;
        let part = Packet {
            family: whole.family,
            source: whole.source.filter(|_| source),
            destination: whole.destination.filter(|_| destination),
            protocol: whole.protocol.filter(|_| protocol),
            destination_type: whole.destination_type.filter(|_| destination_type),
        };
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
}

#[test]
fn a_packet_of_which_only_the_address_is_said_has_a_protocol_without_ports_and_does_not_go_to_the_node() {
    let policy = deciding(vec![keep(&[Condition::protocol(Protocol::Tcp)]), masquerade(&[])]);
    for address in ["192.0.2.1", "2001:db8::1"] {
        assert_eq!(evaluate(&policy, &Packet::to(address.parse().unwrap())), Answer::Masqueraded(1), "{address}");
    }
}
