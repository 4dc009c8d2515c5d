//! Never a third answer: while the policy changes again and again, every packet of a flood meets the old one or the new.
//!
//! A pod sends UDP packets, each the first of a flow, to destinations of which both policies say the same, by different
//! ranges. World counts what it sees; a packet with the source that neither policy gives is the failure.

use std::fmt::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::StopOnDrop;
use crate::support::daemon::Daemon;
use crate::support::files::rename_over;
use crate::support::topology::{Topology, parsed};

/// How often the policy changes while the packets come.
const SWAPS: usize = 200;
const CHANGED: &str = "the rules were changed and read back";

/// Destinations on world's `lo`: exempt by both policies, and by neither.
const KEPT: [&str; 2] = ["10.200.0.9", "fd00:200::9"];
const MASQUERADED: [&str; 2] = ["11.22.33.44", "2001:db8:ffff::9"];

/// This many prefix lengths go into one interval set.
const MANY_LENGTHS: &str = "192.0.2.0/25, 192.0.2.128/26, 198.51.100.0/27, 198.51.100.64/28, 198.51.100.96/29, \
                            203.0.113.0/30, 2001:db8:a::/49, 2001:db8:b::/50, 2001:db8:c::/51, 2001:db8:d::/52, \
                            2001:db8:e::/53, 2001:db8:f::/54";

#[test]
fn a_range_that_moves_to_another_set_is_never_missed() {
    swap_lists(
        "10.0.0.0/8, 203.0.113.0/24, fd00::/8, 2001:db8:a::/48",
        "10.200.0.0/24, 203.0.0.0/8, fd00:200::/48, fc00::/8",
    );
}

#[test]
fn a_range_that_moves_to_a_set_that_was_not_there_is_never_missed() {
    swap_lists("10.0.0.0/8, fd00::/8", "10.200.0.0/24, fd00:200::/48");
}

#[test]
fn ranges_that_move_between_an_interval_set_and_hash_sets_are_never_missed() {
    swap_lists(&format!("{MANY_LENGTHS}, 10.0.0.0/8, fd00::/8"), "10.200.0.0/24, fd00:200::/48");
}

#[test]
fn ranges_of_one_interval_set_that_become_wider_and_narrower_are_never_missed() {
    swap_lists(
        &format!("{MANY_LENGTHS}, 10.0.0.0/8, fd00::/8"),
        &format!("{MANY_LENGTHS}, 10.200.0.0/24, fd00:200::/48"),
    );
}

#[test]
fn while_the_rules_move_to_another_shape_no_packet_misses_both() {
    for ranges in ["10.0.0.0/8, fd00::/8", &format!("{MANY_LENGTHS}, 10.0.0.0/8, fd00::/8")] {
        let Some(topology) = Topology::new() else { return };
        let config = policy(ranges);
        let apply = |backend: &str| {
            let verb = format!("apply --enable-ipv6 --protect off --backend {backend}");
            topology.node.agent(&verb, &config).ended_with(0);
        };
        apply("nft");
        flooded(&topology, || {
            for _ in 0..SWAPS / 4 {
                apply("nft-compat");
                apply("nft");
            }
        });
    }
}

#[test]
fn while_a_table_is_made_anew_to_be_protected_or_not_no_packet_misses_it() {
    for ranges in ["10.0.0.0/8, fd00::/8", &format!("{MANY_LENGTHS}, 10.0.0.0/8, fd00::/8")] {
        let Some(topology) = Topology::new() else { return };
        let config = policy(ranges);
        let apply = |protect: &str| {
            let verb = format!("apply --enable-ipv6 --backend nft --protect {protect}");
            topology.node.agent(&verb, &config).ended_with(0);
        };
        apply("off");
        flooded(&topology, || {
            for _ in 0..SWAPS / 4 {
                apply("on");
                apply("off");
            }
        });
    }
}

/// The agent follows its file, which has the one list and the other in turn.
fn swap_lists(one: &str, other: &str) {
    let Some(topology) = Topology::new() else { return };
    let config = topology.node.write("config", &policy(one));
    let mut daemon = Daemon::start(&topology.node, &config, &["--backend=nft", "--protect=off", "--enable-ipv6"]);
    daemon.wait_until_said(CHANGED);
    flooded(&topology, || {
        for swap in 0..SWAPS {
            rename_over(&config, &policy(if swap % 2 == 0 { other } else { one }));
            daemon.wait_until_said_times(CHANGED, swap + 2);
        }
    });
}

fn policy(ranges: &str) -> String {
    format!("nonMasqueradeCIDRs: [{ranges}]\nresyncInterval: 1h\n")
}

/// Sends packets while `work` is done, and wants each to have met one of the policies.
fn flooded(topology: &Topology, work: impl FnOnce()) {
    // A flow is forgotten at once, so that the same ports make a new one.
    topology.node.sysctl(&[("netfilter/nf_conntrack_udp_timeout", "0")]);
    topology.world.nft(&counters());
    let bound = |address: &str| topology.pod.inside(|| UdpSocket::bind((address, 0)).unwrap());
    let sockets = [bound("0.0.0.0"), bound("::")];
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| flood(&sockets, &stop));
        let _stopped = StopOnDrop(&stop);
        work();
    });
    for family in ["ip", "ip6"] {
        for fate in ["kept", "masqueraded"] {
            let seen = |answer| counted(topology, &format!("{family}-{fate}-{answer}"));
            let (right, third) = (seen("right"), seen("third"));
            assert!(right > 1_000, "only {right} packets of {family} {fate} were seen");
            assert_eq!(third, 0, "packets of {family} that both policies want {fate} were not, of {right}");
        }
    }
}

/// Sends packets to each destination in turn, each time to the next port.
fn flood(sockets: &[UdpSocket; 2], stop: &AtomicBool) {
    let targets: Vec<_> = [KEPT, MASQUERADED].concat().into_iter().map(parsed).collect();
    for port in (1..=u16::MAX).cycle().take_while(|_| !stop.load(Ordering::Relaxed)) {
        for target in &targets {
            // The first packets may meet a neighbour that is not resolved yet; what counts is what arrives.
            let _ = sockets[usize::from(target.is_ipv6())].send_to(b"?", SocketAddr::new(*target, port));
        }
    }
}

/// Rules for world that count packets by destination and source, and answer none.
fn counters() -> String {
    let (mut names, mut rules) = (String::new(), String::new());
    for (family, pod, kept, masqueraded) in
        [("ip", "10.77.0.2", KEPT[0], MASQUERADED[0]), ("ip6", "fd77::2", KEPT[1], MASQUERADED[1])]
    {
        for (fate, to, is) in [("kept", kept, "=="), ("masqueraded", masqueraded, "!=")] {
            let name = format!("{family}-{fate}");
            let _ = write!(names, "counter {name}-right {{ }}\ncounter {name}-third {{ }}\n");
            let _ = writeln!(rules, "{family} daddr {to} {family} saddr {is} {pod} counter name {name}-right drop");
            let _ = writeln!(rules, "{family} daddr {to} counter name {name}-third drop");
        }
    }
    format!("table inet seen {{\n{names}chain input {{ type filter hook input priority 0;\n{rules}}}\n}}\n")
}

fn counted(topology: &Topology, name: &str) -> u64 {
    let text = topology.world.run(&format!("nft list counter inet seen {name}"));
    let mut words = text.split_whitespace().skip_while(|word| *word != "packets");
    words.nth(1).and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no count in {text}"))
}
