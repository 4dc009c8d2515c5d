//! Packets of the node's, each a new flow, and from which address they come.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use ip_masq_agent::backend::{Nftables, ReconcileOptions, reconcile};
use ip_masq_agent::net::{ChainName, Family, Mark, MarkBits, PortRange, PortRanges, Protocol};
use ip_masq_agent::netlink::{Connection, NetlinkFamily};
use ip_masq_agent::policy::{
    AddressField, AddressType, Answer, Condition, Decision, Origin, Packet, Policy, PortChoice, PortField, Selector,
    Transport, evaluate,
};
use ip_masq_agent::rules::{Layout, Protection, compile};
use nix::sys::socket::{setsockopt, sockopt};

use crate::support::DEADLINE;
use crate::support::probe::tcp_connection;
use crate::support::topology::{Topology, parsed};

const LAYOUTS: [Layout; 2] = [Layout::IptablesNat, Layout::OwnTable(Protection::Off)];

/// How long a receiver waits before the sender tries again.
const PATIENCE: Duration = Duration::from_millis(500);

/// Where a packet of the node's goes, and with it the interface on which it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// On `up0`.
    ToWorld,
    /// On `pod0`.
    ToPod,
}
use Way::{ToPod, ToWorld};

/// A packet of the node's. A port that a test does not give is one that no other packet has, so that each is a new flow.
#[derive(Clone, Copy, Debug)]
struct Sent {
    way: Way,
    protocol: Protocol,
    source_port: Option<u16>,
    destination_port: Option<u16>,
    mark: u32,
}

const PLAIN: Sent = Sent { way: ToWorld, protocol: Protocol::Udp, source_port: None, destination_port: None, mark: 0 };

const fn on(way: Way) -> Sent {
    Sent { way, ..PLAIN }
}

const fn marked(mark: u32) -> Sent {
    Sent { mark, ..PLAIN }
}

const fn to_port(protocol: Protocol, port: u16) -> Sent {
    Sent { protocol, destination_port: Some(port), ..PLAIN }
}

const fn from_port(port: u16) -> Sent {
    Sent { source_port: Some(port), ..PLAIN }
}

/// What is masqueraded, the packets for which that is so, and others that keep their source.
struct Case {
    conditions: Vec<Condition>,
    masqueraded: Vec<Sent>,
    kept: Vec<Sent>,
}

fn case(conditions: &[Condition], masqueraded: &[Sent], kept: &[Sent]) -> Case {
    Case { conditions: conditions.to_vec(), masqueraded: masqueraded.to_vec(), kept: kept.to_vec() }
}

fn port(field: PortField, protocol: Protocol, first: u16, last: u16) -> Condition {
    Condition::port(field, protocol, PortRange::new(first, last).unwrap())
}

#[test]
fn a_packet_is_masqueraded_by_the_interface_on_which_it_leaves() {
    let name = |text: &str| text.parse().unwrap();
    check(&[
        case(&[Condition::output_interface(name("up0"))], &[on(ToWorld)], &[on(ToPod)]),
        case(&[Condition::output_interface_other_than(name("up0"))], &[on(ToPod)], &[on(ToWorld)]),
        case(&[Condition::output_interface_beginning(name("po"))], &[on(ToPod)], &[on(ToWorld)]),
        case(&[Condition::output_interface(name("up"))], &[], &[on(ToWorld), on(ToPod)]),
    ]);
}

#[test]
fn a_packet_is_masqueraded_by_its_mark() {
    let bits = MarkBits::new(0x4000, 0xc000).unwrap();
    check(&[
        case(
            &[Condition::mark(Mark::new(0x4000))],
            &[marked(0x4000)],
            &[marked(0x4001), marked(0), marked(0x0040_0000)],
        ),
        case(&[Condition::mark_other_than(Mark::new(7))], &[marked(0), marked(0x0700_0000)], &[marked(7)]),
        case(&[Condition::mark_bits(bits)], &[marked(0x4000), marked(0xffff_7fff)], &[marked(0xc000), marked(0)]),
    ]);
}

#[test]
fn a_packet_is_masqueraded_by_its_ports() {
    use Protocol::{Tcp, Udp};
    let (source, destination) = (PortField::Source, PortField::Destination);
    let several = [port(source, Udp, 300, 301), port(destination, Udp, 0, 700), Condition::protocol(Udp)];
    let with_ports = |source_port, port| Sent { source_port: Some(source_port), ..to_port(Udp, port) };
    check(&[
        case(&[port(destination, Udp, 7000, 7000)], &[to_port(Udp, 7000)], &[to_port(Udp, 7001), to_port(Tcp, 7000)]),
        case(
            &[port(destination, Tcp, 7000, 7010)],
            &[to_port(Tcp, 7000), to_port(Tcp, 7010)],
            &[to_port(Tcp, 6999), to_port(Tcp, 7011), to_port(Udp, 7000)],
        ),
        case(
            &[port(source, Udp, 256, 513)],
            &[from_port(256), from_port(511), from_port(513)],
            &[from_port(255), from_port(514), to_port(Udp, 256)],
        ),
        case(&several, &[with_ports(300, 699), with_ports(301, 698)], &[with_ports(302, 697), with_ports(300, 701)]),
    ]);
}

#[test]
fn conditions_hold_together_and_an_exempt_destination_stays_exempt_in_front_of_them() {
    let up0 = Condition::output_interface("up0".parse().unwrap());
    let dns = port(PortField::Destination, Protocol::Udp, 53, 53);
    let mark = Condition::mark(Mark::new(1));
    let to_dns = Sent { mark: 1, ..to_port(Protocol::Udp, 53) };
    check(&[case(
        &[up0, dns, mark],
        &[to_dns],
        &[Sent { way: ToPod, ..to_dns }, Sent { mark: 2, ..to_dns }, to_port(Protocol::Udp, 53), marked(1)],
    )]);
}

/// Brings rules for each case into force, in each layout, and sends its packets; and asks the policy about each.
fn check(cases: &[Case]) {
    for layout in LAYOUTS {
        let Some(topology) = Topology::new() else { return };
        let connection = topology.node.inside(|| Connection::open(NetlinkFamily::Netfilter).unwrap());
        let mut backend = Nftables::over(connection);
        for case in cases {
            let policy = policy(case);
            let outcome = reconcile(&mut backend, &compile(&policy, layout), &ReconcileOptions::default()).unwrap();
            assert!(!outcome.changes.is_empty());
            for family in Family::ALL {
                for (sent, is_masqueraded) in
                    case.masqueraded.iter().map(|sent| (sent, true)).chain(case.kept.iter().map(|sent| (sent, false)))
                {
                    let packet = Flow::new(sent, family);
                    let context = format!("{layout}: {:?} {packet:?}", case.conditions);
                    let answer = evaluate(&policy, &packet.known(sent));
                    assert_eq!(matches!(answer, Answer::Masqueraded(_)), is_masqueraded, "{context}: {answer:?}");
                    let seen = packet.send(sent, &topology);
                    assert_eq!(seen, if is_masqueraded { packet.masqueraded } else { packet.source.ip() }, "{context}");
                }
                let exempt = Flow { destination: exempt(family), ..Flow::new(&PLAIN, family) };
                assert_eq!(exempt.send(&PLAIN, &topology), exempt.source.ip(), "{layout}: {exempt:?}");
            }
        }
    }
}

/// One destination is exempt; behind it the case's packets are masqueraded, and nothing else.
fn policy(case: &Case) -> Policy {
    let ports = PortChoice { random_fully: true, to_ports: PortRanges::default() };
    let keep = |family| {
        let address = exempt(family).ip();
        let range = format!("{address}/{}", family.address_len() * 8).parse().unwrap();
        Decision::keep_source(Condition::address(AddressField::Destination, range).into(), Origin::Default)
    };
    let masquerade = Decision::masquerade(&Selector::all(case.conditions.clone()), ports, Origin::EverythingElse);
    let decisions = Family::ALL.map(keep).into_iter().chain([masquerade]).collect();
    Policy { chain: ChainName::default(), families: Family::ALL.to_vec(), decisions }
}

fn exempt(family: Family) -> SocketAddr {
    let address = match family {
        Family::Ipv4 => "10.200.0.9",
        Family::Ipv6 => "fd00:200::9",
    };
    SocketAddr::new(parsed(address), unused_port())
}

/// A port that no other packet has. The kernel takes others for sockets that ask for none.
fn unused_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(10_000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The ends of a flow, and what its source becomes if it is masqueraded. The node sends from the address that it has on
/// its other side.
#[derive(Clone, Copy, Debug)]
struct Flow {
    source: SocketAddr,
    destination: SocketAddr,
    masqueraded: IpAddr,
}

impl Flow {
    fn new(sent: &Sent, family: Family) -> Self {
        let (inside, outside, pod, world) = match family {
            Family::Ipv4 => ("10.77.0.1", "192.0.2.1", "10.77.0.2", "11.22.33.44"),
            Family::Ipv6 => ("fd77::1", "2001:db8::1", "fd77::2", "2001:db8:ffff::9"),
        };
        let (source, destination, masqueraded) = match sent.way {
            ToWorld => (inside, world, outside),
            ToPod => (outside, pod, inside),
        };
        let port = |given: Option<u16>| given.unwrap_or_else(unused_port);
        Self {
            source: SocketAddr::new(parsed(source), port(sent.source_port)),
            destination: SocketAddr::new(parsed(destination), port(sent.destination_port)),
            masqueraded: parsed(masqueraded),
        }
    }

    /// All that can be known of its first packet.
    fn known(&self, sent: &Sent) -> Packet {
        let interface = if sent.way == ToWorld { "up0" } else { "pod0" };
        Packet {
            source: Some(self.source.ip()),
            output_interface: Some(interface.parse().unwrap()),
            protocol: Some(Transport::WithPorts(sent.protocol)),
            source_port: Some(self.source.port()),
            destination_port: Some(self.destination.port()),
            mark: Some(Mark::new(sent.mark)),
            destination_type: Some(AddressType::Other),
            ..Packet::to(self.destination.ip())
        }
    }

    /// Sends it, and tells from which address it came.
    fn send(&self, sent: &Sent, topology: &Topology) -> IpAddr {
        let receiver = if sent.way == ToWorld { &topology.world } else { &topology.pod };
        let everywhere: IpAddr =
            if self.destination.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let at = SocketAddr::new(everywhere, self.destination.port());
        if sent.protocol == Protocol::Tcp {
            let listener = receiver.inside(|| TcpListener::bind(at).unwrap());
            let _connection = topology.node.inside(|| tcp_connection(self.source, self.destination));
            // A listener answers the handshake without its program, so somebody waits already.
            return listener.accept().unwrap().1.ip();
        }
        let receiver = receiver.inside(|| UdpSocket::bind(at).unwrap());
        receiver.set_read_timeout(Some(PATIENCE)).unwrap();
        let sender = topology.node.inside(|| UdpSocket::bind(self.source).unwrap());
        setsockopt(&sender, sockopt::Mark, &sent.mark).unwrap();
        let give_up = Instant::now() + DEADLINE;
        loop {
            assert!(Instant::now() < give_up, "nothing came of {self:?}");
            sender.send_to(b"packet", self.destination).unwrap();
            match receiver.recv_from(&mut [0; 16]) {
                Ok((_, from)) => return from.ip(),
                Err(error) => assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}"),
            }
        }
    }
}
