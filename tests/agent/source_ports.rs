//! `--snat-scan-interval`: how many source ports masqueraded flows use, with real packets.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use ip_masq_agent::net::{Family, Protocol};

use crate::support::daemon::Daemon;
use crate::support::http::ADDRESS;
use crate::support::metrics::samples;
use crate::support::netns::Netns;
use crate::support::probe;
use crate::support::tables::FAMILIES;
use crate::support::topology::{Topology, parsed};

const CONFIG: &str = "nonMasqueradeCIDRs: [10.0.0.0/8, \"fd00::/8\"]\nresyncInterval: 1h\n";
/// As many ports as there are in `--to-ports`.
const USABLE: u16 = 64;

/// Destinations: two that are masqueraded, and one that is not.
const fn destinations(family: Family) -> [&'static str; 3] {
    match family {
        Family::Ipv4 => ["11.22.33.44", "11.22.33.45", "10.200.0.9"],
        Family::Ipv6 => ["2001:db8:ffff::9", "2001:db8:ffff:1::10", "fd00:200::9"],
    }
}

fn series(name: &str, family: Family, protocol: &str) -> String {
    format!("ip_masq_agent_snat_{name}{{ip_family=\"{}\",protocol=\"{protocol}\"}}", family.human())
}

/// So many UDP flows from the pod. The neighbours have to be known: few packets wait for that.
fn send(topology: &Topology, family: Family, to: &str, port: u16, flows: u16) {
    let (from, to) = (topology.pod(family).address, SocketAddr::new(parsed(to), port));
    topology.pod.inside(|| {
        for _ in 0..flows {
            UdpSocket::bind((from, 0)).unwrap().send_to(b"x", to).unwrap();
        }
    });
}

/// So many TCP connections from the pod, which last as long as the value.
fn connections(topology: &Topology, family: Family, to: &str, flows: usize) -> (TcpListener, Vec<TcpStream>) {
    let listener = topology.world.inside(|| TcpListener::bind((parsed(to), 443)).unwrap());
    let to = listener.local_addr().unwrap();
    // The backlog takes them all.
    let open = || (0..flows).map(|_| TcpStream::connect(to).unwrap()).collect();
    assert_eq!(Family::of(to.ip()), family);
    (listener, topology.pod.inside(open))
}

#[test]
fn the_fullest_remote_end_is_told_exactly_among_other_flows_of_both_families() {
    let Some(topology) = Topology::new() else { return };
    for family in FAMILIES {
        let [.., kept] = destinations(family);
        probe::send(Protocol::Udp, topology.pod(family), topology.destination(parsed(kept)));
    }
    topology.node.sysctl(&[("netfilter/nf_conntrack_udp_timeout", "600")]);
    let config = topology.node.write("config", CONFIG);
    let ports = format!("--to-ports=40000-{}", 40_000 + USABLE - 1);
    let flags = ["--listen", ADDRESS, "--enable-ipv6", &ports, "--snat-scan-interval=1s"];
    let mut agent = Daemon::start(&topology.node, &config, &flags);
    agent.wait_until_said("were changed and read back");
    agent.wait_until_said("answering /livez");
    let shows = |agent: &mut Daemon, expected: &[(String, f64)]| {
        let mut found = Vec::new();
        agent.wait_until(&format!("{expected:?} are shown"), || {
            let shown = samples(&topology.node);
            found = expected.iter().map(|(series, _)| (series.clone(), shown.get(series).copied())).collect();
            expected.iter().all(|(series, value)| shown.get(series) == Some(value))
        });
    };
    let ratio = |flows: u16| f64::from(flows) / f64::from(USABLE);
    let none: Vec<_> = FAMILIES
        .iter()
        .flat_map(|family| {
            ["tcp", "udp", "sctp"].map(|protocol| (series("port_saturation_ratio", *family, protocol), 0.0))
        })
        .collect();
    shows(&mut agent, &none);

    let mut open = Vec::new();
    for (family, udp, tcp) in [(FAMILIES[0], 37, 5), (FAMILIES[1], 11, 16)] {
        let [one, other, kept] = destinations(family);
        send(&topology, family, one, 9, udp);
        send(&topology, family, one, 10, udp - 1);
        send(&topology, family, other, 9, 3);
        send(&topology, family, kept, 9, 60);
        open.push(connections(&topology, family, one, tcp));
        open.push(connections(&topology, family, other, 2));
    }
    // What others translate to ports of their own, and what they translate to no address of the node.
    let planted = "-d 11.22.33.44 --dport 9 -t 600 -s 10.77.0.9";
    topology.node.run(&format!("conntrack -I -p udp {planted} --sport 1 --src-nat 192.0.2.1:50000"));
    topology.node.run(&format!("conntrack -I -p udp {planted} --sport 2 --src-nat 192.0.2.99:40001"));
    // No test sends SCTP, but flows of it can be made.
    let sctp = "conntrack -I -p sctp --state ESTABLISHED --orig-vtag 1 --reply-vtag 2";
    topology.node.run(&format!("{sctp} {planted} --sport 40001 --src-nat 192.0.2.1"));

    let [v4, v6] = FAMILIES;
    shows(
        &mut agent,
        &[
            (series("port_saturation_ratio", v4, "udp"), ratio(37)),
            (series("port_saturation_ratio", v6, "udp"), ratio(11)),
            (series("port_saturation_ratio", v4, "tcp"), ratio(5)),
            (series("port_saturation_ratio", v6, "tcp"), ratio(16)),
            (series("port_saturation_ratio", v4, "sctp"), ratio(1)),
            (series("flows", v4, "udp"), 37.0 + 36.0 + 3.0 + 1.0),
            (series("flows", v6, "udp"), 11.0 + 10.0 + 3.0),
            (series("flows", v4, "tcp"), 5.0 + 2.0),
            (series("flows", v6, "tcp"), 16.0 + 2.0),
            (series("flows", v4, "sctp"), 1.0),
        ],
    );

    // With all ports in use no more flows begin.
    send(&topology, v4, destinations(v4)[0], 9, 2 * USABLE);
    shows(&mut agent, &[(series("port_saturation_ratio", v4, "udp"), 1.0)]);
    let failed = samples(&topology.node).get("ip_masq_agent_snat_scans_total{result=\"failed\"}").copied();
    assert_eq!(failed, Some(0.0));
}

#[test]
fn nothing_is_looked_for_unless_it_is_asked_for() {
    let Some(topology) = Topology::new() else { return };
    let config = topology.node.write("config", CONFIG);
    let mut agent = Daemon::start(&topology.node, &config, &["--listen", ADDRESS]);
    agent.wait_until_said("were changed and read back");
    agent.wait_until_said("answering /livez");
    let shown = samples(&topology.node);
    assert!(!shown.keys().any(|series| series.contains("snat")), "{shown:?}");
    assert!(shown.len() > 10, "{shown:?}");
}

#[test]
fn a_full_remote_end_is_told_exactly_among_more_others_than_can_be_counted_at_a_time() {
    const OTHERS: u32 = 20_000;
    const TO_ONE: u32 = 600;
    let Some(netns) = Netns::new("remotes") else { return };
    netns.ip("address add 192.0.2.1/24 dev lo");
    let flow = |number: u32, to: &str, port: u32| {
        let [_, a, b, c] = number.to_be_bytes();
        format!("-I -p udp -s 10.{a}.{b}.{c} -d {to} --sport 5000 --dport 53 -t 600 --src-nat 192.0.2.1:{port}\n")
    };
    let batch: String = (0..OTHERS)
        .map(|number| {
            let [_, a, b, c] = number.to_be_bytes();
            flow(number, &format!("20.{a}.{b}.{c}"), 40_000)
        })
        .chain((0..TO_ONE).map(|number| flow(number, "11.22.33.44", 1_024 + number)))
        .collect();
    let path = netns.write("flows", &batch);
    netns.run(&format!("conntrack -R {}", path.display()));
    let config = netns.write("config", CONFIG);
    let mut agent = Daemon::start(&netns, &config, &["--listen", ADDRESS, "--snat-scan-interval=1h"]);
    agent.wait_until_said("answering /livez");
    let mut shown = BTreeMap::new();
    agent.wait_until("the flows were looked at", || {
        shown = samples(&netns);
        shown["ip_masq_agent_snat_scans_total{result=\"done\"}"] > 0.0
    });
    let value = |name| shown.get(&series(name, FAMILIES[0], "udp")).copied();
    assert_eq!(value("flows"), Some(f64::from(OTHERS + TO_ONE)));
    assert_eq!(value("port_saturation_ratio"), Some(f64::from(TO_ONE) / 64_512.0));
}
