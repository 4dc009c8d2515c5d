//! A pod, its node and the world behind it, joined by veth pairs.
//!
//! ```text
//!  pod                        node                                  world
//!  eth0 10.77.0.2  ────────── pod0 10.77.0.1
//!       fd77::2                    fd77::1, fe80::3
//!                             up0  192.0.2.1       ──────────────── eth0 192.0.2.2, and on lo
//!                                  2001:db8::1                           2001:db8::2   every other
//!                                  fe80::1                               fe80::2       destination
//! ```
//!
//! World answers for any address that [`DESTINATIONS`] lists, so a test picks a destination by the range it is in.

use std::net::IpAddr;

use ip_masq_agent::net::Family;

use super::netns::Netns;
use super::probe::Endpoint;
use super::{DEADLINE, wait_until};

/// The addresses on world's `lo`.
pub(crate) const DESTINATIONS: [&str; 11] = [
    "10.200.0.9",          // RFC 1918
    "172.16.5.5",          // RFC 1918
    "192.168.55.5",        // RFC 1918
    "100.64.0.9",          // RFC 6598, one of the reserved ranges
    "198.51.100.9",        // RFC 5737, one of the reserved ranges
    "11.22.33.44",         // in no range of any test
    "11.22.33.45",         // its neighbour, for ranges of one address
    "169.254.169.254",     // link-local, where clouds have their metadata service
    "fd00:200::9",         // RFC 4193
    "2001:db8:ffff::9",    // in no range of any test
    "2001:db8:ffff:1::10", // likewise
];

/// The node's address that world sees when traffic is masqueraded.
pub(crate) const fn node_uplink(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "192.0.2.1",
        Family::Ipv6 => "2001:db8::1",
    }
}

/// Three namespaces, removed when the value is dropped.
#[derive(Debug)]
pub(crate) struct Topology {
    pub(crate) pod: Netns,
    pub(crate) node: Netns,
    pub(crate) world: Netns,
}

impl Topology {
    /// All links up, all addresses usable at once, all routes set. `None` as for [`Netns::new`].
    pub(crate) fn new() -> Option<Self> {
        let topology = Self { pod: Netns::new("pod")?, node: Netns::new("node")?, world: Netns::new("world")? };
        let Self { pod, node, world } = &topology;
        for netns in [pod, node, world] {
            netns.sysctl(&[
                ("ipv4/conf/all/rp_filter", "0"),
                ("ipv4/conf/default/rp_filter", "0"),
                ("ipv6/conf/default/accept_dad", "0"),
                ("ipv6/conf/default/addr_gen_mode", "1"), // no link-local addresses but those given below
            ]);
        }
        node.sysctl(&[("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")]);
        // Without a link-local address the node could not ask after the pod's link-layer address for packets that it only
        // forwards (`ndisc_solicit`), and would lose the pod a few seconds after the pod last asked for the node's.
        node.ip(&format!(
            "link add pod0 type veth peer name eth0 netns {pod}
             link add up0 type veth peer name eth0 netns {world}
             link set pod0 up
             link set up0 up
             address add 10.77.0.1/24 dev pod0
             address add fd77::1/64 dev pod0 nodad
             address add fe80::3/64 dev pod0 nodad
             address add 192.0.2.1/24 dev up0
             address add 2001:db8::1/64 dev up0 nodad
             address add fe80::1/64 dev up0 nodad
             route add default via 192.0.2.2
             route add default via 2001:db8::2",
            pod = pod.name(),
            world = world.name(),
        ));
        pod.ip("link set eth0 up
                address add 10.77.0.2/24 dev eth0
                address add fd77::2/64 dev eth0 nodad
                route add default via 10.77.0.1
                route add default via fd77::1");
        // Without a prefix length `ip` takes the one address.
        let destinations = DESTINATIONS.map(|address| format!("address add {address} dev lo\n")).concat();
        world.ip(&format!(
            "link set eth0 up
             address add 192.0.2.2/24 dev eth0
             address add 2001:db8::2/64 dev eth0 nodad
             address add fe80::2/64 dev eth0 nodad
             route add 10.77.0.0/24 via 192.0.2.1
             route add fd77::/64 via 2001:db8::1
             {destinations}"
        ));
        // A veth end sends nothing until the kernel has noticed that the other end is up.
        for (netns, links) in [(pod, 1), (node, 2), (world, 1)] {
            wait_until(DEADLINE, "the veth pairs are up", || {
                netns.run("ip -o link show up type veth").matches("state UP").count() == links
            });
        }
        Some(topology)
    }

    /// The place that answers for `address`: the node for its own addresses, world for all others.
    pub(crate) fn destination(&self, address: IpAddr) -> Endpoint<'_> {
        let on_node = ["10.77.0.1", "fd77::1", "192.0.2.1", "2001:db8::1", "127.0.0.1", "::1"];
        let own = on_node.iter().any(|own| own.parse() == Ok(address));
        let netns = if own { &self.node } else { &self.world };
        Endpoint { netns, address, interface: if own { "up0" } else { "eth0" } }
    }

    /// The pod, as a sender.
    pub(crate) fn pod(&self, family: Family) -> Endpoint<'_> {
        let address = match family {
            Family::Ipv4 => "10.77.0.2",
            Family::Ipv6 => "fd77::2",
        };
        Endpoint { netns: &self.pod, address: parsed(address), interface: "eth0" }
    }

    /// The node, as a sender from the address that it has towards the pods.
    pub(crate) fn node(&self, family: Family) -> Endpoint<'_> {
        let address = match family {
            Family::Ipv4 => "10.77.0.1",
            Family::Ipv6 => "fd77::1",
        };
        Endpoint { netns: &self.node, address: parsed(address), interface: "up0" }
    }
}

/// An address that a test names.
pub(crate) fn parsed(address: &str) -> IpAddr {
    address.parse().unwrap_or_else(|_| panic!("{address} is no address"))
}
