//! From one layout to the other on one node, and out again.

use std::net::{SocketAddr, UdpSocket};

use ip_masq_agent::net::{Family, Protocol};

use crate::support::generation::generation;
use crate::support::native::listed;
use crate::support::netns::Netns;
use crate::support::probe::send;
use crate::support::tables::{FAMILIES, restore, saved, saved_text};
use crate::support::topology::{Topology, node_uplink, parsed};

const CONFIG: &str = "nonMasqueradeCIDRs: [10.0.0.0/8, fd00::/8]\n";
const BACKENDS: [&str; 5] = ["auto", "nft", "auto", "nft", "nft-compat"];

/// Others' rules, in the shared table and beside it.
const FOREIGN: &str = "*nat\n:POSTROUTING ACCEPT [0:0]\n:KUBE-POSTROUTING - [0:0]\n-A POSTROUTING -j KUBE-POSTROUTING\n\
                       -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN\n-A KUBE-POSTROUTING -j MASQUERADE\nCOMMIT\n";

#[test]
fn the_rules_move_with_another_backend_and_others_rules_stay() {
    let Some(netns) = Netns::new("moving") else { return };
    for family in FAMILIES {
        restore(&netns, family, FOREIGN);
    }
    netns.nft("table inet others { chain postrouting { type nat hook postrouting priority 90; counter; }; }");
    let foreign =
        |text: &str| -> Vec<String> { text.lines().filter(|line| line.contains("KUBE-")).map(str::to_owned).collect() };
    let before = foreign(&saved_text(&netns));
    assert_eq!(before.len(), 2 * 4, "{before:#?}");
    for backend in BACKENDS {
        netns.agent(&format!("apply --enable-ipv6 --backend {backend}"), CONFIG).ended_with(0);
        let native = backend == "nft";
        assert_eq!(saved_text(&netns).contains("IP-MASQ-AGENT"), !native, "{backend}: {}", saved_text(&netns));
        assert_eq!(listed(&netns).matches("masquerade").count(), if native { 2 } else { 0 }, "{backend}");
        assert_eq!(foreign(&saved_text(&netns)), before, "{backend}");
        netns.run("nft list chain inet others postrouting");
        let settled = generation(&netns);
        netns.agent(&format!("apply --enable-ipv6 --backend {backend}"), CONFIG).ended_with(0);
        assert_eq!(generation(&netns), settled, "{backend}: nothing is left to do");
    }
}

#[test]
fn flows_keep_their_source_and_new_ones_get_it_while_the_rules_move() {
    let Some(topology) = Topology::new() else { return };
    let apply = |backend: &str| {
        topology.node.agent(&format!("apply --enable-ipv6 --backend {backend}"), CONFIG).ended_with(0);
    };
    apply("auto");
    let mut flows: Vec<Flow> = ["11.22.33.44", "10.200.0.9", "2001:db8:ffff::9", "fd00:200::9"]
        .into_iter()
        .map(|to| Flow::new(&topology, to))
        .collect();
    let first: Vec<SocketAddr> = flows.iter_mut().map(Flow::seen).collect();
    for backend in BACKENDS {
        apply(backend);
        let now: Vec<SocketAddr> = flows.iter_mut().map(Flow::seen).collect();
        assert_eq!(now, first, "{backend}");
        for (to, masqueraded) in [("11.22.33.44", true), ("10.200.0.9", false), ("2001:db8:ffff::9", true)] {
            let family = Family::of(parsed(to));
            let sources = send(Protocol::Udp, topology.pod(family), topology.destination(parsed(to)));
            let source = if masqueraded { parsed(node_uplink(family)) } else { sources.sent.0 };
            assert_eq!(sources.seen.0, source, "{backend}: {to}");
        }
    }
}

#[test]
fn cleanup_takes_both_shapes_out_and_nothing_else() {
    let Some(netns) = Netns::new("cleanup") else { return };
    netns.agent("apply --enable-ipv6 --backend nft-compat", CONFIG).ended_with(0);
    let compat = FAMILIES.map(|family| saved(&netns, family).join("\n") + "\n");
    netns.agent("apply --enable-ipv6 --backend nft", CONFIG).ended_with(0);
    for (family, text) in FAMILIES.into_iter().zip(&compat) {
        restore(&netns, family, text);
    }
    for family in FAMILIES {
        restore(&netns, family, FOREIGN);
    }
    assert!(saved_text(&netns).contains("-j IP-MASQ-AGENT") && listed(&netns).contains("masquerade"));
    netns.agent("cleanup", CONFIG).ended_with(0);
    assert_eq!(listed(&netns), "");
    let left = saved_text(&netns);
    assert!(!left.contains("IP-MASQ-AGENT"), "{left}");
    assert_eq!(left.matches("KUBE-POSTROUTING").count(), 2 * 4, "{left}");
    let settled = generation(&netns);
    netns.agent("cleanup", CONFIG).ended_with(0);
    assert_eq!(generation(&netns), settled);
}

/// Datagrams from one socket of the pod to one of the world's, which answers.
struct Flow {
    pod: UdpSocket,
    world: UdpSocket,
}

impl Flow {
    fn new(topology: &Topology, to: &str) -> Self {
        let to = parsed(to);
        let pod = topology.pod(Family::of(to));
        let bound = |netns: &Netns, address| netns.inside(|| UdpSocket::bind(SocketAddr::new(address, 0)).unwrap());
        let flow = Self { pod: bound(&topology.pod, pod.address), world: bound(&topology.world, to) };
        flow.pod.connect(flow.world.local_addr().unwrap()).unwrap();
        for socket in [&flow.pod, &flow.world] {
            socket.set_read_timeout(Some(crate::support::DEADLINE)).unwrap();
        }
        flow
    }

    /// Sends a datagram, has it answered, and tells whose address the world saw.
    fn seen(&mut self) -> SocketAddr {
        let mut buffer = [0; 8];
        self.pod.send(b"ping").unwrap();
        let (_, seen) = self.world.recv_from(&mut buffer).unwrap();
        self.world.send_to(b"pong", seen).unwrap();
        // A connected socket takes only what comes from where it sends to.
        assert_eq!(self.pod.recv(&mut buffer).unwrap(), 4);
        seen
    }
}
