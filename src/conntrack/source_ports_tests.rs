//! Which flows use which source ports.

use super::*;
use crate::conntrack::Tuple;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A flow from a pod's port to a remote end, masqueraded behind the node with this port.
fn masqueraded(from: u16, remote: (&str, u16), port: u16) -> Flow {
    let to = ip(remote.0);
    let (pod, node) = if to.is_ipv4() { ("10.77.0.2", "192.0.2.1") } else { ("fd77::2", "2001:db8::1") };
    Flow {
        original: Tuple { source: ip(pod), destination: to, ports: Some((from, remote.1)) },
        reply: Tuple { source: to, destination: ip(node), ports: Some((remote.1, port)) },
        status: Status(1 << 3 | Status::SOURCE_NAT.0),
        in_other_zone: false,
    }
}

fn node() -> LocalAddresses {
    LocalAddresses::new(["192.0.2.1", "192.0.2.7", "2001:db8::1"].map(ip), [])
}

fn pool(to_ports: &str, flow: &Flow, protocol: u8) -> Option<(u16, u32)> {
    let ports = SourcePorts::new(&to_ports.parse().unwrap());
    let remote = ports.used_by(flow, Some(protocol), &node())?.remote?;
    Some((remote.pool, remote.usable))
}

#[test]
fn a_port_belongs_to_the_pool_from_which_nat_took_it() {
    let world = ("11.22.33.44", 443);
    for (to_ports, port, expected) in [
        ("", 1_024, Some((1_024, 64_512))),
        ("", 65_535, Some((1_024, 64_512))),
        ("", 1_023, Some((600, 424))),
        ("", 600, Some((600, 424))),
        // Kept from the pod, but never drawn.
        ("", 599, None),
        ("", 511, Some((1, 511))),
        ("", 1, Some((1, 511))),
        ("", 0, None),
        ("40000-40009", 40_009, Some((0, 10))),
        // Others' rules, which leave ours alone.
        ("40000-40009", 40_010, None),
        ("40000-40009,50000", 50_000, Some((0, 11))),
        ("40000-40009,40005-40014", 40_014, Some((0, 15))),
        ("0-65535", 0, Some((0, 65_536))),
    ] {
        assert_eq!(pool(to_ports, &masqueraded(5_000, world, port), 6), expected, "port {port} of {to_ports:?}");
    }
}

#[test]
fn only_flows_behind_an_address_of_the_node_use_its_ports() {
    let flow = || masqueraded(5_000, ("11.22.33.44", 443), 40_000);
    let with = |change: fn(&mut Flow)| {
        let mut flow = flow();
        change(&mut flow);
        flow
    };
    let ports = SourcePorts::new(&PortRanges::default());
    let used = |flow: &Flow, protocol| {
        ports.used_by(flow, protocol, &node()).map(|used| (used.protocol, used.remote.is_some()))
    };
    let tcp = Some(Protocol::Tcp);
    for (name, flow, protocol, expected) in [
        ("masqueraded", flow(), Some(6), Some((tcp, true))),
        (
            "a service, masqueraded",
            with(|flow| flow.original.destination = ip("10.96.0.10")),
            Some(6),
            Some((tcp, true)),
        ),
        ("a ping", with(|flow| flow.reply.ports = None), Some(1), Some((None, false))),
        ("a protocol that is not told", flow(), None, Some((None, false))),
        ("to another address", with(|flow| flow.reply.destination = ip("192.0.2.77")), Some(6), None),
        ("not translated", with(|flow| flow.status = Status(1 << 3)), Some(6), None),
        ("in a zone", with(|flow| flow.in_other_zone = true), Some(6), None),
        ("being deleted", with(|flow| flow.status.0 |= Status::DYING.0), Some(6), None),
    ] {
        assert_eq!(used(&flow, protocol), expected, "{name}");
    }
}

#[test]
fn each_remote_end_has_ports_of_its_own_from_each_address_of_the_node() {
    let ports = SourcePorts::new(&PortRanges::default());
    let remote = |flow: &Flow, protocol| ports.used_by(flow, Some(protocol), &node()).and_then(|used| used.remote);
    let of = |to: (&str, u16), port, protocol| remote(&masqueraded(5_000, to, port), protocol);
    let one = of(("11.22.33.44", 443), 40_000, 6);
    assert_eq!(one, of(("11.22.33.44", 443), 50_000, 6));
    let mut from_elsewhere = masqueraded(5_000, ("11.22.33.44", 443), 40_000);
    from_elsewhere.reply.destination = ip("192.0.2.7");
    for other in [
        of(("11.22.33.45", 443), 40_000, 6),
        of(("11.22.33.44", 444), 40_000, 6),
        of(("11.22.33.44", 443), 40_000, 17),
        of(("11.22.33.44", 443), 400, 6),
        remote(&from_elsewhere, 6),
    ] {
        assert!(other.is_some() && other != one, "{other:?}");
    }
}

#[test]
fn without_flows_there_is_a_zero_for_every_protocol_of_the_families_that_are_treated() {
    let none = PortUse::none(&[Family::Ipv6]);
    assert_eq!(none.flows.len(), 4);
    assert_eq!(none.fullest.keys().map(|(family, _)| *family).collect::<Vec<_>>(), [Family::Ipv6; 3]);
}
