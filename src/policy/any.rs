//! Random policies and packets, close together, so that conditions are often met.

use std::net::IpAddr;

use proptest::prelude::*;

use super::tests::{deciding, interface, keep, port};
use super::*;
use crate::net::{Mark, MarkBits, Protocol};

/// Decisions about ranges that overlap and contain each other, with any conditions, which need not cover everything.
pub(crate) fn any_policy() -> impl Strategy<Value = Policy> {
    let address = (any::<AnyAddress>(), prop::sample::select(&[0_u8, 1, 2, 30, 31, 32][..])).prop_map(|(at, len)| {
        let address = at.0;
        let len = if address.is_ipv6() && len > 2 { len + 96 } else { len };
        Cidr::around(address, len).unwrap()
    });
    let field = prop::sample::select(&[AddressField::Source, AddressField::Destination][..]);
    let condition = prop_oneof![
        8 => (field, address.clone()).prop_map(|(field, range)| Condition::address(field, range)),
        1 => prop::sample::select(&Protocol::WITH_PORTS[..]).prop_map(Condition::protocol),
        1 => Just(Condition::DESTINATION_IS_NOT_LOCAL),
        2 => any_ports(),
        1 => any_mark_test(),
        1 => any_interface_test(),
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

/// Ports of a protocol. Few values, so that random conditions and packets often meet, here and below.
fn any_ports() -> impl Strategy<Value = Condition> {
    let field = prop::sample::select(&[PortField::Source, PortField::Destination][..]);
    let protocol = prop::sample::select(&Protocol::WITH_PORTS[..]);
    let ports = prop::sample::select(&[(0, 0), (0, 52), (53, 53), (53, 80), (54, u16::MAX), (0, u16::MAX)][..]);
    (field, protocol, ports).prop_map(|(field, protocol, (first, last))| port(field, protocol, first, last))
}

fn any_mark_test() -> impl Strategy<Value = Condition> {
    let bits = |value, mask| Condition::mark_bits(MarkBits::new(value, mask).unwrap());
    let is = |mark| Condition::mark(Mark::new(mark));
    let is_not = |mark| Condition::mark_other_than(Mark::new(mark));
    let tests = [is(0), is(0x4000), is_not(0), is_not(0x4001), bits(0x4000, 0x4000), bits(0, 0x4000), bits(1, 3)];
    prop::sample::select(tests.to_vec())
}

fn any_interface_test() -> impl Strategy<Value = Condition> {
    let (is, is_not) = (Condition::output_interface, Condition::output_interface_other_than);
    let begins = Condition::output_interface_beginning;
    let [eth, eth0, veth] = ["eth", "eth0", "veth"].map(interface);
    prop::sample::select(vec![is(eth0), is(eth), is_not(eth0), begins(eth), begins(eth0), begins(veth)])
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
    let port = || prop::sample::select(&[0_u16, 52, 53, 54, 80, u16::MAX][..]);
    let mark = prop::sample::select(&[0, 1, 0x4000, 0x4001, u32::MAX][..]).prop_map(Mark::new);
    let output_interface = prop::sample::select(&["eth", "eth0", "eth01", "veth0"][..]).prop_map(interface);
    let addresses = (any::<AnyAddress>(), any::<AnyAddress>())
        .prop_filter("one family", |(source, destination)| source.0.is_ipv4() == destination.0.is_ipv4());
    (addresses, protocol, address_type, (port(), port()), mark, output_interface).prop_map(
        |((source, destination), protocol, destination_type, (source_port, destination_port), mark, interface)| {
            Packet {
                source: Some(source.0),
                output_interface: Some(interface),
                protocol: Some(protocol),
                source_port: Some(source_port),
                destination_port: Some(destination_port),
                mark: Some(mark),
                destination_type: Some(destination_type),
                ..Packet::to(destination.0)
            }
        },
    )
}

/// The packet of which only these fields, a bit for each, stay known.
pub(crate) fn known_in_part(whole: &Packet, known: [bool; 8]) -> Packet {
    let [source, destination, output_interface, protocol, source_port, destination_port, mark, destination_type] =
        known;
    Packet {
        family: whole.family,
        source: whole.source.filter(|_| source),
        destination: whole.destination.filter(|_| destination),
        output_interface: whole.output_interface.filter(|_| output_interface),
        protocol: whole.protocol.filter(|_| protocol),
        source_port: whole.source_port.filter(|_| source_port),
        destination_port: whole.destination_port.filter(|_| destination_port),
        mark: whole.mark.filter(|_| mark),
        destination_type: whole.destination_type.filter(|_| destination_type),
    }
}
