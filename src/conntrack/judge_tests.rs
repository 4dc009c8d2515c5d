//! Which flows begin anew, case by case, in both families.

use std::net::IpAddr;

use super::*;
use crate::net::{ChainName, Cidr, PortRanges};
use crate::policy::{Answer, Flags, Origin, Policy, PortChoice, evaluate};

#[path = "judge_condition_tests.rs"]
mod condition_tests;

/// The addresses of a family that the cases use.
struct Cast {
    family: Family,
    pod: IpAddr,
    /// The node's address towards the world, by which flows are masqueraded.
    node: IpAddr,
    /// The node's address towards the pods.
    gate: IpAddr,
    loopback: IpAddr,
    /// An address that a foreign rule translates sources to.
    elsewhere: IpAddr,
    /// The destination about which the policies differ.
    world: IpAddr,
    /// A destination that no policy exempts.
    other: IpAddr,
    service: IpAddr,
    multicast: IpAddr,
    /// The broadcast address of a subnet of the node; IPv6 has none, so an address of the node again.
    broadcast: IpAddr,
}

fn cast(family: Family) -> Cast {
    let ip = |v4: &str, v6: &str| if family == Family::Ipv4 { v4 } else { v6 }.parse().unwrap();
    Cast {
        family,
        pod: ip("10.77.0.2", "fd77::2"),
        node: ip("192.0.2.1", "2001:db8::1"),
        gate: ip("10.77.0.1", "fd77::1"),
        loopback: ip("127.0.0.53", "::1"),
        elsewhere: ip("198.51.100.1", "2001:db8:51::1"),
        world: ip("11.22.33.44", "2001:db8:ffff::9"),
        other: ip("11.99.0.1", "2001:db8:fffe::9"),
        service: ip("10.96.0.10", "fd96::10"),
        multicast: ip("224.0.1.1", "ff0e::1"),
        broadcast: ip("192.0.2.255", "2001:db8::1"),
    }
}

/// From a port to another, with no NAT.
fn plain(source: IpAddr, destination: IpAddr) -> Flow {
    let original = Tuple { source, destination, ports: Some((5_000, 53)) };
    let reply = Tuple { source: destination, destination: source, ports: Some((53, 5_000)) };
    // Confirmed, and all NAT is decided.
    Flow { original, reply, status: Status(1 << 3 | 1 << 7 | 1 << 8), in_other_zone: false }
}

fn with(flow: Flow, status: Status) -> Flow {
    Flow { status: Status(flow.status.0 | status.0), ..flow }
}

fn source_nat(flow: Flow, to: IpAddr, port: u16) -> Flow {
    let reply = Tuple { destination: to, ports: Some((53, port)), ..flow.reply };
    with(Flow { reply, ..flow }, Status::SOURCE_NAT)
}

fn destination_nat(flow: Flow, to: IpAddr) -> Flow {
    with(Flow { reply: Tuple { source: to, ..flow.reply }, ..flow }, Status::DESTINATION_NAT)
}

fn without_ports(flow: Flow) -> Flow {
    let without = |tuple| Tuple { ports: None, ..tuple };
    Flow { original: without(flow.original), reply: without(flow.reply), ..flow }
}

/// The pod's flow to the world, as our rules masquerade it.
fn masqueraded(cast: &Cast) -> Flow {
    source_nat(plain(cast.pod, cast.world), cast.node, 40_000)
}

/// The same with the port that it had before.
fn with_its_port(cast: &Cast) -> Flow {
    source_nat(plain(cast.pod, cast.world), cast.node, 5_000)
}

/// What a policy says of [`Cast::world`].
#[derive(Clone, Copy, Debug)]
enum Says {
    Keep,
    Masquerade,
}
use Says::{Keep, Masquerade};

fn decisions(cast: &Cast, says: Says, ports: &str, random_fully: bool) -> Decisions {
    let ports = PortChoice { to_ports: ports.parse::<PortRanges>().unwrap(), random_fully };
    let exempt: &[IpAddr] = match says {
        Keep => &[cast.world, cast.pod],
        Masquerade => &[cast.pod],
    };
    let exempt = exempt.iter().map(|address| (single(*address), Origin::Default));
    Decisions::of(&Policy::keeping(ChainName::default(), vec![cast.family], exempt, ports))
}

fn single(address: IpAddr) -> Cidr {
    Cidr::around(address, Family::of(address).address_len() * 8).unwrap()
}

fn node(cast: &Cast) -> LocalAddresses {
    LocalAddresses::new([cast.node, cast.gate], [cast.broadcast])
}

/// A flow, what the policies before and now say about its destination, and what happens to it.
struct Case {
    name: &'static str,
    flow: fn(&Cast) -> Flow,
    /// `None` if unknown.
    before: Option<&'static [Says]>,
    now: Says,
    expected: Verdict,
}

const fn case(
    name: &'static str,
    flow: fn(&Cast) -> Flow,
    before: Option<&'static [Says]>,
    now: Says,
    expected: Verdict,
) -> Case {
    Case { name, flow, before, now, expected }
}

const EXEMPT: Verdict = Verdict::NoLonger(Reason::Exempt);
const MASQUERADED: Verdict = Verdict::NoLonger(Reason::Masqueraded);
use Verdict::{Fits, InDoubt};

const CASES: &[Case] = &[
    case("masqueraded, and exempt now", masqueraded, Some(&[Masquerade]), Keep, EXEMPT),
    case("masqueraded, and exempt now, what was before is not known", masqueraded, None, Keep, EXEMPT),
    case("masqueraded under one of two policies before", masqueraded, Some(&[Keep, Masquerade]), Keep, EXEMPT),
    case("masqueraded, as it still shall be", masqueraded, Some(&[Masquerade]), Masquerade, Fits),
    case("masqueraded, as it shall be now", masqueraded, Some(&[Keep]), Masquerade, Fits),
    case("masqueraded, though it was exempt: not by us", masqueraded, Some(&[Keep]), Keep, Fits),
    case("masqueraded, though nothing was: not by us", masqueraded, Some(&[]), Keep, Fits),
    case("kept, and masqueraded now", |c| plain(c.pod, c.world), Some(&[Keep]), Masquerade, MASQUERADED),
    case("kept, and masqueraded now, before is not known", |c| plain(c.pod, c.world), None, Masquerade, MASQUERADED),
    case("kept under one of two", |c| plain(c.pod, c.world), Some(&[Masquerade, Keep]), Masquerade, MASQUERADED),
    case("kept, though it was to be masqueraded", |c| plain(c.pod, c.world), Some(&[Masquerade]), Masquerade, Fits),
    case("kept, as it still shall be", |c| plain(c.pod, c.world), Some(&[Keep]), Keep, Fits),
    case("kept, as it shall be now", |c| plain(c.pod, c.world), Some(&[Masquerade]), Keep, Fits),
    case("to another destination", |c| plain(c.pod, c.other), Some(&[Masquerade]), Masquerade, Fits),
    // Without ports there is less to see; ICMP's id is translated, too.
    case("a ping, masqueraded, exempt now", |c| without_ports(masqueraded(c)), None, Keep, EXEMPT),
    case("a ping, kept, masqueraded now", |c| without_ports(plain(c.pod, c.world)), None, Masquerade, MASQUERADED),
    // From outside.
    case("from the world to an exempt pod", |c| plain(c.world, c.pod), None, Masquerade, Fits),
    case("from the world through the node, not exempt", |c| plain(c.world, c.other), None, Keep, MASQUERADED),
    // The node's own.
    case("the node's own, kept", |c| plain(c.node, c.world), None, Masquerade, Fits),
    case(
        "the node's own, only its port translated",
        |c| source_nat(plain(c.node, c.world), c.node, 40_000),
        None,
        Keep,
        Fits,
    ),
    case(
        "the node's own from its other address, masqueraded",
        |c| source_nat(plain(c.gate, c.world), c.node, 40_000),
        None,
        Keep,
        EXEMPT,
    ),
    case("from loopback", |c| plain(c.loopback, c.world), None, Masquerade, Fits),
    // For the node itself, or for many.
    case("to the node", |c| plain(c.pod, c.node), None, Masquerade, Fits),
    case("to loopback", |c| plain(c.pod, c.loopback), None, Masquerade, Fits),
    case("to many", |c| plain(c.pod, c.multicast), None, Masquerade, Fits),
    case("to all of a subnet", |c| plain(c.pod, c.broadcast), None, Masquerade, Fits),
    case("to the node, masqueraded", |c| source_nat(plain(c.pod, c.node), c.gate, 40_000), None, Keep, Fits),
    // Foreign NAT.
    case(
        "a source translated to another address",
        |c| source_nat(plain(c.pod, c.world), c.elsewhere, 40_000),
        None,
        Keep,
        Fits,
    ),
    case(
        "the same, where we would masquerade",
        |c| source_nat(plain(c.pod, c.world), c.elsewhere, 40_000),
        None,
        Masquerade,
        Fits,
    ),
    case(
        "only the port translated, because two flows would be the same",
        |c| source_nat(plain(c.pod, c.world), c.pod, 40_000),
        None,
        Masquerade,
        Fits,
    ),
    case("masqueraded with its port kept", with_its_port, None, Keep, InDoubt),
    case("masqueraded with its port kept, as we masqueraded before", with_its_port, Some(&[Masquerade]), Keep, InDoubt),
    case("masqueraded with its port kept, though we never did", with_its_port, Some(&[Keep]), Keep, Fits),
    case("masqueraded with its port kept, as it still shall be", with_its_port, Some(&[Masquerade]), Masquerade, Fits),
    case("a service", |c| destination_nat(plain(c.pod, c.service), c.world), None, Masquerade, Fits),
    case(
        "a service that masquerades",
        |c| source_nat(destination_nat(plain(c.pod, c.service), c.world), c.node, 40_000),
        None,
        Keep,
        Fits,
    ),
    case(
        "a port forward to the same address by another port",
        |c| with(plain(c.pod, c.world), Status::DESTINATION_NAT),
        None,
        Masquerade,
        Fits,
    ),
    // Not a flow of its own, or not in the default zone.
    case("belongs to another flow", |c| with(masqueraded(c), Status::EXPECTED), None, Keep, Fits),
    case("is being deleted", |c| with(masqueraded(c), Status::DYING), None, Keep, Fits),
    case("a template", |c| with(plain(c.pod, c.world), Status::TEMPLATE), None, Masquerade, Fits),
    case("not tracked", |c| with(plain(c.pod, c.world), Status::UNTRACKED), None, Masquerade, Fits),
    case("masqueraded in a zone", |c| Flow { in_other_zone: true, ..masqueraded(c) }, None, Keep, Fits),
    case("kept in a zone", |c| Flow { in_other_zone: true, ..plain(c.pod, c.world) }, None, Masquerade, Fits),
];

#[test]
fn a_flow_begins_anew_only_if_a_policy_of_ours_gave_it_the_nat_that_it_has_and_would_not_now() {
    for family in Family::ALL {
        let cast = cast(family);
        for Case { name, flow, before, now, expected } in CASES {
            let of = |says: &Says| decisions(&cast, *says, "", true);
            let before = before.map_or(Before::Unknown, |before| Before::OneOf(before.iter().map(of).collect()));
            // About the other destination all policies say the same, so there the answer is that of the row.
            assert_eq!(verdict(&flow(&cast), &before, &of(now), &node(&cast)), *expected, "{family}: {name}");
        }
    }
}

#[test]
fn a_masqueraded_flow_is_ours_only_if_our_flags_allow_its_port() {
    for family in Family::ALL {
        let cast = cast(family);
        for (to_ports, random_fully, port, expected) in [
            ("", true, 40_000, EXEMPT),
            // As Docker leaves it. Of ours, about one flow in 65,536 draws its own port again.
            ("", true, 5_000, InDoubt),
            ("", false, 40_000, EXEMPT),
            ("", false, 5_000, EXEMPT),
            ("30000-39999,41000", true, 39_999, EXEMPT),
            ("30000-39999,41000", false, 41_000, EXEMPT),
            ("30000-39999,41000", true, 40_000, Fits),
            // Where there are few ports to choose from, the port may happen to be the old one.
            ("5000", true, 5_000, EXEMPT),
            // The kernel draws port 0 if it is told to, and does not replace it by another.
            ("0", true, 0, EXEMPT),
            ("0", true, 40_000, Fits),
            ("0-100", true, 0, EXEMPT),
            ("0-65535", true, 40_000, EXEMPT),
            ("80-90,85-95", true, 95, EXEMPT),
        ] {
            let flow = source_nat(plain(cast.pod, cast.world), cast.node, port);
            let now = decisions(&cast, Keep, to_ports, random_fully);
            let found = verdict(&flow, &Before::Unknown, &now, &node(&cast));
            assert_eq!(found, expected, "{family}: port {port} with {to_ports:?}, random {random_fully}");
        }
    }
}

#[test]
fn a_family_that_is_not_treated_is_not_touched() {
    let [v4, v6] = Family::ALL.map(cast);
    let now = |cast: &Cast| decisions(cast, Keep, "", true);
    for (ours, other) in [(&v4, &v6), (&v6, &v4)] {
        assert_eq!(verdict(&masqueraded(other), &Before::Unknown, &now(ours), &node(other)), Fits);
        assert_eq!(verdict(&masqueraded(ours), &Before::Unknown, &now(ours), &node(ours)), EXEMPT);
    }
}

#[test]
fn decisions_agree_with_the_policy_about_every_address_at_the_edges_of_its_ranges() {
    let flags = Flags { ipv6: true, ..Flags::default() };
    let file = b"nonMasqueradeCIDRs: [10.0.0.0/9, 10.128.0.0/9, 10.1.0.0/16, 0.0.0.0/32, 255.255.255.255/32, fd00::/8]";
    let config = crate::config::parse(file, &(&flags).into()).unwrap().config;
    let policy = Policy::new(&config, &flags);
    let decisions = Decisions::of(&policy);
    for address in [
        "0.0.0.0",
        "0.0.0.1",
        "9.255.255.255",
        "10.0.0.0",
        "10.127.255.255",
        "10.128.0.0",
        "10.255.255.255",
        "11.0.0.0",
        "169.253.255.255",
        "169.254.0.0",
        "169.254.255.255",
        "169.255.0.0",
        "255.255.255.254",
        "255.255.255.255",
        "::",
        "fcff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "fd00::",
        "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "fe00::",
        "fe7f:ffff::",
        "fe80::",
        "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "fec0::",
    ] {
        let address: IpAddr = address.parse().unwrap();
        let is_kept = matches!(evaluate(&policy, &Packet::to(address)), Answer::Kept(_));
        let effect = if is_kept { Effect::Kept } else { Effect::Masqueraded };
        assert_eq!(decisions.effect(&Packet::to(address)), Some(effect), "{address}");
    }
    let same = b"nonMasqueradeCIDRs:\n- fd00::/8\n- 10.0.0.0/8\n- 0.0.0.0/32\n- 255.255.255.255/32\n";
    let same = crate::config::parse(same, &(&flags).into()).unwrap().config;
    assert_eq!(Decisions::of(&Policy::new(&same, &flags)), decisions, "written otherwise, it says the same");
}

#[test]
fn of_many_policies_before_only_so_much_is_remembered_that_all_may_have_been() {
    let cast = cast(Family::Ipv4);
    let mut before = Before::nothing();
    assert!(before.is_nothing());
    before.add(decisions(&cast, Masquerade, "", true));
    let packet = Packet::to(cast.world);
    let may_have = |before: &Before| [Effect::Masqueraded, Effect::Kept].map(|effect| before.may_have(effect, &packet));
    assert_eq!(may_have(&before), [true, false]);
    for _ in 0..10 {
        before.add(decisions(&cast, Masquerade, "", true));
    }
    assert_eq!(before, Before::Unknown);
    assert_eq!(may_have(&before), [true, true]);
    assert!(!before.is_nothing());
}
