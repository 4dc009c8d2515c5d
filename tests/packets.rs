//! Real packets through a pod, its node and the world: whose address the receiver sees.
//!
//! Every packet meets the rules in each layout as the agent writes them, as upstream's own text for iptables says them (so
//! that a probe which could not tell the difference would be found out), and on paper, by `explain`.

#[cfg(test)]
mod support;

use std::collections::BTreeSet;

use ip_masq_agent::net::{Family, Protocol};

use support::probe::{Endpoint, Sources, send};
use support::tables::{FAMILIES, restore};
use support::topology::{Topology, node_uplink, parsed};

/// The layouts in which the agent can keep its rules.
const BACKENDS: [&str; 2] = ["nft-compat", "nft"];

/// What should happen to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It leaves the node and keeps its source.
    Kept,
    /// It leaves with the node's address.
    Masqueraded,
    /// It is for the node itself and keeps its source.
    Local,
}
use Fate::{Kept, Local, Masqueraded};

/// Who sends.
#[derive(Clone, Copy, Debug)]
enum Sender {
    Pod,
    /// The node, with its socket bound to the address that it has towards the pods.
    Node,
}
use Sender::{Node, Pod};

/// One packet, sent over UDP and over TCP.
struct Packet {
    name: &'static str,
    from: Sender,
    to: &'static str,
    fate: Fate,
}

const fn packet(name: &'static str, from: Sender, to: &'static str, fate: Fate) -> Packet {
    Packet { name, from, to, fate }
}

/// A configuration with its flags, and the packets that go through it.
struct Setting {
    exempt: &'static [&'static str],
    masq_link_local: bool,
    masq_link_local_ipv6: bool,
    random_fully: bool,
    to_ports: &'static [(u16, u16)],
    packets: &'static [Packet],
}

/// Upstream's defaults, with IPv6 and one range of it.
const DEFAULTS: Setting = Setting {
    exempt: &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8"],
    masq_link_local: false,
    masq_link_local_ipv6: false,
    random_fully: true,
    to_ports: &[],
    packets: &[
        packet("the first exempt range", Pod, "10.200.0.9", Kept),
        packet("the second exempt range", Pod, "172.16.5.5", Kept),
        packet("the third exempt range", Pod, "192.168.55.5", Kept),
        packet("the exempt IPv6 range", Pod, "fd00:200::9", Kept),
        packet("no range", Pod, "11.22.33.44", Masqueraded),
        packet("no IPv6 range", Pod, "2001:db8:ffff::9", Masqueraded),
        packet("a reserved range that is not listed", Pod, "198.51.100.9", Masqueraded),
        packet("link-local", Pod, "169.254.169.254", Kept),
        packet("the node's address towards the pod", Pod, "10.77.0.1", Local),
        packet("the node's IPv6 address towards the pod", Pod, "fd77::1", Local),
        packet("the node's own uplink address, in no range", Pod, "192.0.2.1", Local),
        packet("the node's own IPv6 uplink address, in no range", Pod, "2001:db8::1", Local),
        packet("the node's own traffic to no range", Node, "11.22.33.44", Masqueraded),
        packet("the node's own IPv6 traffic to no range", Node, "2001:db8:ffff::9", Masqueraded),
        packet("the node's own traffic to an exempt range", Node, "10.200.0.9", Kept),
        packet("the node's own IPv6 traffic to an exempt range", Node, "fd00:200::9", Kept),
        // These two pass POSTROUTING on lo: only the jump's `! --dst-type LOCAL` keeps them.
        packet("the node to itself, in no range", Node, "192.0.2.1", Local),
        packet("the node to itself over IPv6, in no range", Node, "2001:db8::1", Local),
        // IPv6 routers do not forward link-local destinations (RFC 4291 §2.5.6), so a pod's packet never gets that
        // far. The node's own does, when its socket is bound to another address.
        packet("an IPv6 link-local neighbour", Node, "fe80::2", Kept),
    ],
};

/// Link-local traffic is masqueraded.
const LINK_LOCAL: Setting = Setting {
    masq_link_local: true,
    masq_link_local_ipv6: true,
    packets: &[
        packet("link-local", Pod, "169.254.169.254", Masqueraded),
        packet("an exempt range", Pod, "10.200.0.9", Kept),
        packet("an exempt IPv6 range", Pod, "fd00:200::9", Kept),
        packet("an IPv6 link-local neighbour", Node, "fe80::2", Masqueraded),
    ],
    ..DEFAULTS
};

/// Ranges of one address, and of all.
const EDGES: Setting = Setting {
    exempt: &["11.22.33.44/32", "2001:db8:ffff::9/128"],
    packets: &[
        packet("the one exempt address", Pod, "11.22.33.44", Kept),
        packet("the address beside it", Pod, "11.22.33.45", Masqueraded),
        packet("the one exempt IPv6 address", Pod, "2001:db8:ffff::9", Kept),
        packet("another IPv6 address", Pod, "2001:db8:ffff:1::10", Masqueraded),
        packet("what is exempt by default", Pod, "10.200.0.9", Masqueraded),
    ],
    ..DEFAULTS
};

/// More prefix lengths than have hash sets of their own.
const MANY_LENGTHS: Setting = Setting {
    exempt: &[
        "10.200.0.0/17",
        "172.16.4.0/22",
        "192.168.55.4/31",
        "100.64.0.0/29",
        "198.51.100.8/30",
        "11.22.33.45/32",
        "224.0.0.0/3",
        "fd00:200::8/125",
        "2001:db8:fffe::/48",
        "2001:db8:ffff::/126",
        "2001:db8:ffff:1::/64",
        "fd77:1::/33",
        "fd77:2::/34",
        "ff00::/8",
    ],
    packets: &[
        packet("a range of 17 bits", Pod, "10.200.0.9", Kept),
        packet("a range of 22 bits", Pod, "172.16.5.5", Kept),
        packet("the last of two addresses", Pod, "192.168.55.5", Kept),
        packet("behind a range of eight addresses", Pod, "100.64.0.9", Masqueraded),
        packet("inside a range of four addresses", Pod, "198.51.100.9", Kept),
        packet("before the one exempt address", Pod, "11.22.33.44", Masqueraded),
        packet("the one exempt address", Pod, "11.22.33.45", Kept),
        packet("link-local", Pod, "169.254.169.254", Kept),
        packet("inside a range of eight IPv6 addresses", Pod, "fd00:200::9", Kept),
        packet("behind a range of four IPv6 addresses", Pod, "2001:db8:ffff::9", Masqueraded),
        packet("inside a range of a subnet", Pod, "2001:db8:ffff:1::10", Kept),
        packet("the node's own address", Pod, "192.0.2.1", Local),
        packet("an IPv6 link-local neighbour", Node, "fe80::2", Kept),
    ],
    ..DEFAULTS
};

/// Everything is exempt.
const EVERYTHING: Setting = Setting {
    exempt: &["0.0.0.0/0", "::/0"],
    packets: &[packet("anything", Pod, "11.22.33.44", Kept), packet("any IPv6", Pod, "2001:db8:ffff::9", Kept)],
    ..DEFAULTS
};

/// Nothing is exempt except link-local.
const NOTHING: Setting = Setting {
    exempt: &[],
    packets: &[
        packet("a private range", Pod, "10.200.0.9", Masqueraded),
        packet("a private IPv6 range", Pod, "fd00:200::9", Masqueraded),
        packet("link-local", Pod, "169.254.169.254", Kept),
        packet("the node's own address", Pod, "192.0.2.1", Local),
    ],
    ..DEFAULTS
};

/// The port stays the same where no other flow has it.
const PORTS_KEPT: Setting = Setting { random_fully: false, packets: OUTSIDE, ..DEFAULTS };

/// One range of ports.
const ONE_PORT_RANGE: Setting = Setting { to_ports: &[(20_000, 20_999)], packets: OUTSIDE, ..DEFAULTS };

/// Two ranges of ports, of which each flow gets one at random.
const TWO_PORT_RANGES: Setting =
    Setting { to_ports: &[(20_000, 20_999), (30_000, 30_999)], packets: OUTSIDE, ..DEFAULTS };

const OUTSIDE: &[Packet] = &[
    packet("no range", Pod, "11.22.33.44", Masqueraded),
    packet("no IPv6 range", Pod, "2001:db8:ffff::9", Masqueraded),
    packet("an exempt range", Pod, "10.200.0.9", Kept),
    packet("an exempt IPv6 range", Pod, "fd00:200::9", Kept),
];

#[test]
fn with_the_defaults_only_what_leaves_for_a_foreign_address_is_masqueraded() {
    DEFAULTS.check();
}

#[test]
fn link_local_traffic_is_masqueraded_where_the_file_wants_it() {
    LINK_LOCAL.check();
}

#[test]
fn a_range_ends_where_it_ends() {
    EDGES.check();
}

#[test]
fn ranges_of_many_prefix_lengths_end_where_they_end() {
    MANY_LENGTHS.check();
}

#[test]
fn a_range_of_all_addresses_exempts_everything() {
    EVERYTHING.check();
}

#[test]
fn an_empty_list_exempts_nothing_but_link_local() {
    NOTHING.check();
}

#[test]
fn without_random_fully_the_source_port_is_kept() {
    PORTS_KEPT.check();
}

#[test]
fn masqueraded_flows_use_the_ports_of_the_one_range_only() {
    ONE_PORT_RANGE.check();
}

#[test]
fn masqueraded_flows_use_the_ports_of_every_range_and_no_others() {
    TWO_PORT_RANGES.check();
    for backend in BACKENDS {
        let Some(topology) = Topology::new() else { return };
        topology.node.agent(&TWO_PORT_RANGES.arguments("apply", backend), &TWO_PORT_RANGES.yaml()).ended_with(0);
        for (to, family) in [("11.22.33.44", Family::Ipv4), ("2001:db8:ffff::9", Family::Ipv6)] {
            // Each range has a share of one half: 24 flows miss one of the two once in eight million runs.
            let used: BTreeSet<u16> = (0..24)
                .map(|_| send(Protocol::Udp, topology.pod(family), topology.destination(parsed(to))))
                .map(|sources| TWO_PORT_RANGES.port_range(sources.seen.1).0)
                .collect();
            assert_eq!(used, BTreeSet::from([20_000, 30_000]), "{backend} {family:?}");
        }
    }
}

#[test]
fn packets_through_upstreams_own_rules_have_the_same_fates() {
    for setting in
        [DEFAULTS, LINK_LOCAL, EDGES, MANY_LENGTHS, EVERYTHING, NOTHING, PORTS_KEPT, ONE_PORT_RANGE, TWO_PORT_RANGES]
    {
        let Some(topology) = Topology::new() else { return };
        for family in FAMILIES {
            restore(&topology.node, family, &setting.upstreams_rules(family));
        }
        setting.send_all(&topology, "upstream's rules");
    }
}

#[test]
fn without_any_rules_every_source_is_kept() {
    let Some(topology) = Topology::new() else { return };
    for packet in DEFAULTS.packets {
        let (from, to) = packet.ends(&topology);
        let sources = send(Protocol::Udp, from, to);
        assert_eq!(sources.seen, sources.sent, "{}", packet.name);
    }
}

impl Setting {
    /// Applies the setting in each layout, sends its packets, and asks `explain` about each.
    fn check(&self) {
        for backend in BACKENDS {
            let Some(topology) = Topology::new() else { return };
            topology.node.agent(&self.arguments("apply", backend), &self.yaml()).ended_with(0);
            self.send_all(&topology, &format!("the agent's rules ({backend})"));
            for packet in self.packets {
                for protocol in [Protocol::Udp, Protocol::Tcp] {
                    self.explain(packet, protocol, backend, &topology);
                }
            }
        }
    }

    fn send_all(&self, topology: &Topology, rules: &str) {
        for packet in self.packets {
            for protocol in [Protocol::Udp, Protocol::Tcp] {
                let (from, to) = packet.ends(topology);
                let sources = send(protocol, from, to);
                let context = format!("{} over {protocol} with {rules}: {sources:?}", packet.name);
                match packet.fate {
                    Kept | Local => assert_eq!(sources.seen, sources.sent, "{context}"),
                    Masqueraded => self.assert_masqueraded(packet, sources, &context),
                }
            }
        }
    }

    fn assert_masqueraded(&self, packet: &Packet, sources: Sources, context: &str) {
        // To a link-local neighbour the node speaks from its link-local address.
        let address = if packet.to.starts_with("fe80:") { "fe80::1" } else { node_uplink(packet.family()) };
        assert_eq!(sources.seen.0, parsed(address), "{context}");
        let port = sources.seen.1;
        match (self.to_ports.is_empty(), self.random_fully) {
            (true, true) => {}
            (true, false) => assert_eq!(port, sources.sent.1, "{context}"),
            (false, _) => {
                let (first, last) = self.port_range(port);
                assert!((first..=last).contains(&port), "{context}");
            }
        }
    }

    /// The range of `--to-ports` that is nearest below a port.
    fn port_range(&self, port: u16) -> (u16, u16) {
        let below = self.to_ports.iter().rev().find(|(first, _)| *first <= port);
        assert!(below.is_some(), "port {port} is below all of {:?}", self.to_ports);
        below.copied().unwrap_or_default()
    }

    fn explain(&self, packet: &Packet, protocol: Protocol, backend: &str, topology: &Topology) {
        let (local, expected) = match packet.fate {
            Kept => ("", "kept"),
            Masqueraded => ("", "masqueraded"),
            Local => (" --local", "kept"),
        };
        let verb = format!("explain {} --protocol {protocol}{local}", packet.to);
        let arguments = self.arguments(&verb, backend);
        let said = topology.node.agent(&arguments, &self.yaml()).stdout();
        let first = said.split(|character: char| !character.is_ascii_alphabetic()).next();
        assert_eq!(first, Some(expected), "{}: {said}", packet.name);
    }

    /// The configuration file.
    fn yaml(&self) -> String {
        format!(
            "nonMasqueradeCIDRs: {:?}\nmasqLinkLocal: {}\nmasqLinkLocalIPv6: {}\n",
            self.exempt, self.masq_link_local, self.masq_link_local_ipv6
        )
    }

    /// A verb with this setting's flags.
    fn arguments(&self, verb: &str, backend: &str) -> String {
        let ranges: Vec<String> = self.to_ports.iter().map(|(first, last)| format!("{first}-{last}")).collect();
        let to_ports = if ranges.is_empty() { String::new() } else { format!(" --to-ports={}", ranges.join(",")) };
        format!("{verb} --backend {backend} --enable-ipv6 --random-fully={}{to_ports}", self.random_fully)
    }

    /// What kubernetes-sigs/ip-masq-agent gives to iptables-restore for this setting, with its jump.
    fn upstreams_rules(&self, family: Family) -> String {
        let (link_local, masquerade_it, marker) = match family {
            Family::Ipv4 => ("169.254.0.0/16", self.masq_link_local, '.'),
            Family::Ipv6 => ("fe80::/10", self.masq_link_local_ipv6, ':'),
        };
        let masquerade = if self.random_fully { "MASQUERADE --random-fully" } else { "MASQUERADE" };
        let mut lines = vec![
            "*nat".to_owned(),
            ":POSTROUTING ACCEPT [0:0]".to_owned(),
            ":IP-MASQ-AGENT - [0:0]".to_owned(),
            "-A POSTROUTING -m addrtype ! --dst-type LOCAL -j IP-MASQ-AGENT".to_owned(),
        ];
        let link_local = (!masquerade_it).then_some(&link_local);
        let ranges = link_local.into_iter().chain(self.exempt).filter(|range| range.contains(marker));
        lines.extend(ranges.map(|range| format!("-A IP-MASQ-AGENT -d {range} -j RETURN")));
        for protocol in ["tcp", "udp", "sctp"] {
            let size = |(first, last): &(u16, u16)| u32::from(last - first) + 1;
            let mut left: u32 = self.to_ports.iter().map(size).sum();
            for range in self.to_ports {
                let share = f64::from(size(range)) / f64::from(left);
                left -= size(range);
                let random = format!("-m statistic --mode random --probability {share}");
                let random = if left == 0 { "" } else { random.as_str() };
                let (first, last) = range;
                lines
                    .push(format!("-A IP-MASQ-AGENT -p {protocol} {random} -j {masquerade} --to-ports {first}-{last}"));
            }
        }
        lines.extend([format!("-A IP-MASQ-AGENT -j {masquerade}"), "COMMIT\n".to_owned()]);
        lines.join("\n")
    }
}

impl Packet {
    fn family(&self) -> Family {
        Family::of(parsed(self.to))
    }

    fn ends<'a>(&self, topology: &'a Topology) -> (Endpoint<'a>, Endpoint<'a>) {
        let from = match self.from {
            Pod => topology.pod(self.family()),
            Node => topology.node(self.family()),
        };
        (from, topology.destination(parsed(self.to)))
    }
}
