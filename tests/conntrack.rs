//! `--conntrack`: what happens to flows that began before the policy changed, with real packets.

#[cfg(test)]
mod support;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ip_masq_agent::net::Family;
use nix::sys::signal::Signal;

use support::daemon::Daemon;
use support::files::rename_over;
use support::netns::{AGENT, Netns};
use support::probe::{LongTcp, LongUdp};
use support::tables::FAMILIES;
use support::topology::{Topology, node_uplink, parsed};

/// The layouts in which the agent can keep its rules.
const BACKENDS: [&str; 2] = ["nft-compat", "nft"];

/// A destination of each family that the file exempts or does not.
const fn destination(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "11.22.33.44",
        Family::Ipv6 => "2001:db8:ffff::9",
    }
}

/// A file under which those destinations are masqueraded.
const MASQUERADED: &str = "nonMasqueradeCIDRs: [10.0.0.0/8, fd00::/8]\nresyncInterval: 1h\n";
/// A file under which they keep their source.
const EXEMPT: &str =
    "nonMasqueradeCIDRs: [10.0.0.0/8, 11.0.0.0/8, fd00::/8, \"2001:db8:ffff::/48\"]\nresyncInterval: 1h\n";
/// What the agent logs when it has examined the flows.
const LOOKED: &str = " deleted from conntrack ";
/// What it says when it has changed the rules.
const CHANGED: &str = "the rules were changed and read back";

/// A topology whose node tracks flows from the beginning, as every node does that has any rule about them.
fn tracking() -> Option<Topology> {
    let topology = Topology::new()?;
    topology.node.nft(
        "table inet tracking { chain forward { type filter hook forward priority 0; ct state established counter; }; }",
    );
    Some(topology)
}

fn long_udp(topology: &Topology, family: Family) -> LongUdp {
    LongUdp::open(topology.pod(family), topology.destination(parsed(destination(family))))
}

fn uplink(family: Family) -> IpAddr {
    parsed(node_uplink(family))
}

/// Whose address the receiver sees of each flow.
fn seen(flows: &[LongUdp]) -> Vec<IpAddr> {
    flows.iter().map(|flow| flow.send().seen.0).collect()
}

fn pods(topology: &Topology) -> Vec<IpAddr> {
    FAMILIES.map(|family| topology.pod(family).address).to_vec()
}

#[test]
fn with_fix_a_flow_that_began_before_the_rules_follows_every_policy_after() {
    for backend in BACKENDS {
        let Some(topology) = tracking() else { return };
        let flows = FAMILIES.map(|family| long_udp(&topology, family));
        let (nodes, pods) = (FAMILIES.map(uplink).to_vec(), pods(&topology));
        assert_eq!(seen(&flows), pods, "{backend}: before there is any rule");
        let config = topology.node.write("config", MASQUERADED);
        let flags = ["--conntrack=fix", "--enable-ipv6", "--backend", backend];
        let mut agent = Daemon::start(&topology.node, &config, &flags);
        agent.wait_until_said_times(LOOKED, 1);
        assert_eq!(seen(&flows), nodes, "{backend}: after the start");
        for (round, (file, expected)) in
            [(EXEMPT, &pods), (MASQUERADED, &nodes), (EXEMPT, &pods)].into_iter().enumerate()
        {
            rename_over(&config, file);
            agent.wait_until_said_times(LOOKED, round + 2);
            assert_eq!(&seen(&flows), expected, "{backend}: {file}");
        }
        let log = agent.log();
        for said in
            ["(2 now exempt, 0 now masqueraded), of 2 looked at", "(0 now exempt, 2 now masqueraded), of 2 looked at"]
        {
            assert_eq!(log.matches(said).count(), 2, "{backend}: {said}");
        }
    }
}

#[test]
fn with_keep_a_flow_keeps_what_it_began_with() {
    for backend in BACKENDS {
        let Some(topology) = tracking() else { return };
        let (nodes, pods) = (FAMILIES.map(uplink).to_vec(), pods(&topology));
        let before = FAMILIES.map(|family| long_udp(&topology, family));
        assert_eq!(seen(&before), pods);
        let config = topology.node.write("config", MASQUERADED);
        let mut agent = Daemon::start(&topology.node, &config, &["--enable-ipv6", "--backend", backend]);
        agent.wait_until_said_times(CHANGED, 1);
        let later = FAMILIES.map(|family| long_udp(&topology, family));
        for (times, file) in [(2, EXEMPT), (3, MASQUERADED)] {
            assert_eq!(seen(&later), nodes, "{backend}: began masqueraded");
            assert_eq!(seen(&before), pods, "{backend}: began without rules");
            rename_over(&config, file);
            agent.wait_until_said_times(CHANGED, times);
        }
        assert!(!agent.log().contains(LOOKED));
    }
}

#[test]
fn apply_fixes_the_flows_if_it_changed_the_rules() {
    let Some(topology) = tracking() else { return };
    let flow = long_udp(&topology, Family::Ipv4);
    let apply = |file| topology.node.agent("apply --conntrack=fix --enable-ipv6", file).ended_with(0).stderr;
    for (file, expected, said) in [
        (MASQUERADED, uplink(Family::Ipv4), "1 flow deleted from conntrack"),
        (EXEMPT, topology.pod(Family::Ipv4).address, "(1 now exempt, 0 now masqueraded)"),
    ] {
        flow.send();
        let told = apply(file);
        assert!(told.contains(said), "{told}");
        assert_eq!(flow.send().seen.0, expected);
        let told = apply(file);
        assert!(!told.contains(LOOKED), "nothing was changed: {told}");
    }
}

#[test]
fn a_restarted_agent_fixes_flows_only_if_the_rules_that_it_found_are_not_its_own() {
    for backend in BACKENDS {
        let Some(topology) = tracking() else { return };
        let flow = long_udp(&topology, Family::Ipv4);
        let config = topology.node.write("config", MASQUERADED);
        let flags = ["--conntrack=fix", "--enable-ipv6", "--backend", backend];
        let run_until = |said: &str| {
            let mut agent = Daemon::start(&topology.node, &config, &flags);
            agent.wait_until_said(said);
            agent.signal(Signal::SIGTERM);
            assert_eq!(agent.ended(), Some(0));
            agent.log()
        };
        flow.send();
        assert!(run_until(LOOKED).contains("1 flow deleted"), "{backend}: the first");
        assert_eq!(flow.send().seen.0, uplink(Family::Ipv4), "{backend}");

        assert!(!run_until("backend: ").contains(LOOKED), "{backend}: the second finds the rules as it wants them");
        assert_eq!(flow.send().seen.0, uplink(Family::Ipv4), "{backend}");

        rename_over(&config, EXEMPT);
        assert!(run_until(LOOKED).contains("1 flow deleted"), "{backend}: the third has another policy");
        assert_eq!(flow.send().seen.0, topology.pod(Family::Ipv4).address, "{backend}");
    }
}

/// What other programs do to flows: to an address that is not the node's own, to the node's own with the same port, a
/// service with a masquerade of its own, and a zone.
const OTHERS: &str = "
    table ip others {
        chain prerouting { type nat hook prerouting priority -100; ip daddr 10.96.0.10 dnat to 11.22.33.45; }
        chain postrouting {
            type nat hook postrouting priority 90;
            ct status dnat masquerade random,fully-random
            ip daddr 198.51.100.9 snat to 192.0.2.77 random,fully-random
            ip daddr 172.16.5.5 masquerade
        }
        chain zones { type filter hook prerouting priority -300; ip daddr 100.64.0.9 ct zone set 7; ip saddr 100.64.0.9 ct zone set 7; }
    }
    table ip6 others {
        chain prerouting { type nat hook prerouting priority -100; ip6 daddr fd96::10 dnat to 2001:db8:ffff:1::10; }
        chain postrouting {
            type nat hook postrouting priority 90;
            ct status dnat masquerade random,fully-random
            ip6 daddr fd00:200::9 snat to 2001:db8::77 random,fully-random
        }
    }";

/// Flows that others translate, or keep apart.
fn flows_of_others(topology: &Topology) -> BTreeMap<&'static str, LongUdp> {
    let by_way_of = |address: &str, to: &str| {
        let (address, to) = (parsed(address), parsed(to));
        LongUdp::open_by_way_of(address, topology.pod(Family::of(to)), topology.destination(to))
    };
    let to = |address: &str| by_way_of(address, address);
    BTreeMap::from([
        ("a source translated to another address", to("198.51.100.9")),
        ("an IPv6 source translated to another address", to("fd00:200::9")),
        ("masqueraded with its port kept", to("172.16.5.5")),
        ("a service", by_way_of("10.96.0.10", "11.22.33.45")),
        ("an IPv6 service", by_way_of("fd96::10", "2001:db8:ffff:1::10")),
        ("in a zone", to("100.64.0.9")),
    ])
}

/// What identifies the flow from a port in conntrack, by conntrack's own word.
fn id(netns: &Netns, port: u16) -> String {
    let ids = FAMILIES.map(|family| {
        let family = if family == Family::Ipv4 { "ipv4" } else { "ipv6" };
        netns.run(&format!("conntrack -L -f {family} -p udp --orig-port-src {port} -o id"))
    });
    let ids = ids.concat();
    let ids: Vec<&str> = ids.split_whitespace().filter_map(|word| word.strip_prefix("id=")).collect();
    assert_eq!(ids.len(), 1, "flows from port {port}: {ids:?}");
    ids.concat()
}

#[test]
fn what_others_translate_or_keep_apart_is_not_touched() {
    const NOTHING_EXEMPT: &str = "nonMasqueradeCIDRs: []\nresyncInterval: 1h\n";
    const ALL_EXEMPT: &str = "nonMasqueradeCIDRs: [0.0.0.0/0, \"::/0\"]\nresyncInterval: 1h\n";
    let Some(topology) = tracking() else { return };
    topology.node.nft(OTHERS);
    topology.world.ip("route add 192.0.2.77 via 192.0.2.1\nroute add 2001:db8::77 via 2001:db8::1");
    let config = topology.node.write("config", ALL_EXEMPT);
    let mut agent = Daemon::start(&topology.node, &config, &["--conntrack=fix", "--enable-ipv6"]);
    agent.wait_until_said_times(LOOKED, 1);
    let others = flows_of_others(&topology);
    let ours = FAMILIES.map(|family| long_udp(&topology, family));
    let seen_of_others = || -> BTreeMap<_, _> { others.iter().map(|(name, flow)| (*name, flow.send().seen)).collect() };
    let ids = || -> Vec<String> { others.values().map(|flow| id(&topology.node, flow.port())).collect() };
    let seen_before = seen_of_others();
    for (name, address) in [
        ("a source translated to another address", "192.0.2.77"),
        ("an IPv6 source translated to another address", "2001:db8::77"),
        ("masqueraded with its port kept", "192.0.2.1"),
        ("a service", "192.0.2.1"),
        ("an IPv6 service", "2001:db8::1"),
        ("in a zone", "10.77.0.2"),
    ] {
        assert_eq!(seen_before[name].0, parsed(address), "{name}");
    }
    assert_eq!(seen(&ours), pods(&topology));
    let before = ids();
    for (times, file) in [(2, NOTHING_EXEMPT), (3, ALL_EXEMPT), (4, NOTHING_EXEMPT)] {
        rename_over(&config, file);
        agent.wait_until_said_times(LOOKED, times);
        // Before anything is sent again: a flow that was deleted is not there.
        assert_eq!(ids(), before, "{:?}", others.keys());
        assert_eq!(seen_of_others(), seen_before);
        let nodes = FAMILIES.map(uplink).to_vec();
        assert_eq!(seen(&ours), if file == ALL_EXEMPT { pods(&topology) } else { nodes });
    }
}

#[test]
fn an_established_connection_is_reset_with_fix_and_lives_on_with_keep() {
    for family in FAMILIES {
        for (first, second) in [(MASQUERADED, EXEMPT), (EXEMPT, MASQUERADED)] {
            let Some(topology) = tracking() else { return };
            let config = topology.node.write("config", first);
            let open = || LongTcp::open(topology.pod(family), topology.destination(parsed(destination(family))));
            let source = |file| if file == EXEMPT { topology.pod(family).address } else { uplink(family) };
            for (how, said) in [("keep", CHANGED), ("fix", LOOKED)] {
                rename_over(&config, first);
                let flags = ["--enable-ipv6", "--conntrack", how];
                let mut agent = Daemon::start(&topology.node, &config, &flags);
                agent.wait_until_said_times(said, 1);
                let mut connection = open();
                assert_eq!(connection.send().unwrap(), source(first));
                rename_over(&config, second);
                agent.wait_until_said_times(said, 2);
                if how == "keep" {
                    assert_eq!(connection.send().unwrap(), source(first), "{family}");
                } else {
                    // The far end knows no connection from the address that the packets have now, and says so.
                    assert_eq!(connection.send_in_vain().kind(), ErrorKind::ConnectionReset, "{family}");
                }
                assert_eq!(open().send().unwrap(), source(second), "{family}: a new one is right");
            }
        }
    }
}

#[test]
fn of_a_hundred_thousand_flows_just_those_go_that_no_longer_fit() {
    const KEPT: usize = 99_000;
    let Some(netns) = Netns::new("many") else { return };
    netns.ip("address add 192.0.2.1/24 dev lo");
    // The flows of one kind differ in their sources, and the kinds in their destination ports.
    let flow = |number: usize, port: u16, translated: &str| {
        let [.., a, b, c] = number.to_be_bytes();
        format!("-I -p udp -s 10.{a}.{b}.{c} -d 11.22.33.44 --sport 5000 --dport {port} -t 600 {translated}\n")
    };
    let exempt = |flow: String| flow.replace("-d 11.22.33.44", "-d 172.16.0.1");
    let batch: String = (0..KEPT)
        .map(|number| flow(number, 53, ""))
        .chain((0..400).map(|number| flow(number, 54, &format!("--src-nat 192.0.2.9:{}", 20_000 + number))))
        .chain((0..596).map(|number| flow(number, 55, "--dst-nat 11.22.33.99")))
        .chain((57..60).map(|port| exempt(flow(0, port, "--src-nat 192.0.2.1:5000"))))
        .chain([exempt(flow(0, 56, "--src-nat 192.0.2.1:40000"))])
        .collect();
    let path = netns.write("flows", &batch);
    netns.run(&format!("conntrack -R {}", path.display()));
    let count = || netns.run("conntrack -C").trim().parse::<usize>().unwrap();
    assert_eq!(count(), 100_000);
    let told = netns.agent("apply --conntrack=fix", "nonMasqueradeCIDRs: [172.16.0.0/12]\n").ended_with(0).stderr;
    let said = format!("{} flows deleted from conntrack", KEPT + 1);
    assert!(told.contains(&said) && told.contains(&format!("(1 now exempt, {KEPT} now masqueraded)")), "{told}");
    // Masqueraded behind the node with the port that they had: by others, or by chance.
    assert!(told.contains("; 3 more of which the destination is exempt now may be of other programs"), "{told}");
    assert_eq!(count(), 999);
    for (port, left) in [(53, 0), (54, 400), (55, 596), (56, 0), (57, 1), (58, 1), (59, 1)] {
        let listed = netns.run(&format!("conntrack -L -p udp --orig-port-dst {port}"));
        assert_eq!(listed.lines().count(), left, "to port {port}");
    }
}

/// An agent over 100,000 flows that have kept their source, which are looked at from now on.
fn looking_at_many_flows(netns: &Netns) -> Daemon {
    const FLOWS: usize = 100_000;
    let flow = |number: usize| {
        let [.., a, b, c] = number.to_be_bytes();
        format!("-I -p udp -s 10.{a}.{b}.{c} -d 11.22.33.44 --sport 5000 --dport 53 -t 600\n")
    };
    let path = netns.write("flows", &(0..FLOWS).map(flow).collect::<String>());
    netns.run(&format!("conntrack -R {}", path.display()));
    netns.agent("apply --enable-ipv6", EXEMPT).ended_with(0);
    let config = netns.write("config", EXEMPT);
    let mut agent = Daemon::start(netns, &config, &["--conntrack=fix", "--enable-ipv6"]);
    agent.wait_until_said("is valid and in force");
    rename_over(&config, MASQUERADED);
    // By the kernel's word: what the agent says could come after the look.
    let listed = || netns.run("nft list chain ip nat IP-MASQ-AGENT");
    agent.wait_until("the new rules are in force", || !listed().contains("11.0.0.0/8"));
    agent
}

#[test]
fn a_repair_does_not_wait_for_a_hundred_thousand_flows_that_are_being_looked_at() {
    const REPAIRED: &str = "somebody changed our rules, and they were repaired";
    let Some(netns) = Netns::new("busy") else { return };
    let mut agent = looking_at_many_flows(&netns);
    netns.nft("flush chain ip nat IP-MASQ-AGENT");
    agent.wait_until_said(REPAIRED);
    agent.wait_until_said("100000 flows deleted from conntrack");
    let log = agent.log();
    let at = |text| log.find(text).unwrap();
    assert!(at(REPAIRED) < at(LOOKED), "{log}");
    assert_eq!(netns.run("conntrack -C").trim(), "0");
}

#[test]
fn the_end_that_is_asked_for_does_not_wait_for_flows_that_are_being_looked_at() {
    let Some(netns) = Netns::new("ending") else { return };
    let mut agent = looking_at_many_flows(&netns);
    agent.signal(Signal::SIGTERM);
    let asked = Instant::now();
    assert_eq!(agent.ended(), Some(0));
    let took = asked.elapsed();
    let log = agent.log();
    assert!(!log.contains(LOOKED) && !log.contains("without waiting"), "{log}");
    println!("ended {took:?} after SIGTERM");
    assert!(took < Duration::from_millis(100), "{took:?}");
}

#[test]
fn a_newer_policy_takes_over_the_flows_that_an_older_one_had_left() {
    let Some(netns) = Netns::new("newer") else { return };
    let mut agent = looking_at_many_flows(&netns);
    // Other ranges, and the same answer for all these flows.
    let config = netns.scratch().join("config");
    rename_over(&config, &MASQUERADED.replace("10.0.0.0/8", "10.0.0.0/8, 172.16.0.0/12"));
    agent.wait_until_said_times(CHANGED, 2);
    agent.wait_until_said(LOOKED);
    assert_eq!(netns.run("conntrack -C").trim(), "0");
    assert_eq!(agent.log().matches(LOOKED).count(), 1, "{}", agent.log());
}

#[test]
fn with_keep_or_nothing_to_change_conntrack_is_not_even_asked() {
    let Some(netns) = Netns::new("keep") else { return };
    let config = netns.write("config", MASQUERADED);
    let sockets = |how: &str| {
        let line = format!("-f -e trace=socket {AGENT} apply --enable-ipv6 --conntrack={how} --config");
        let arguments: Vec<&str> = line.split(' ').chain([config.to_str().unwrap()]).collect();
        let traced = netns.try_run("strace", &arguments, "").ended_with(0).stderr;
        ["NETLINK_NETFILTER", "NETLINK_ROUTE"].map(|protocol| traced.matches(protocol).count())
    };
    assert_eq!(sockets("keep"), [1, 0]);
    assert_eq!(sockets("fix"), [1, 0], "the rules are in force already");
    netns.nft("flush ruleset");
    assert_eq!(sockets("fix"), [3, 1]);
}
