//! Packets that never cease: each the first of a flow, from the pod to each destination in turn.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};

use super::oracle::{Answer, Moment, Packet};
use super::policy::PROBED;
use super::support::topology::{Topology, parsed};

/// Where world listens.
const PORT: u16 = 4242;
/// The sources' ports, in turn.
const FIRST_SOURCE_PORT: u16 = 10_000;
const POD: [&str; 2] = ["10.77.0.2", "fd77::2"];
/// The packets that have not been judged yet.
const RECEIVE_BUFFER: usize = 4 << 20;

/// The addresses of the node, one of which masquerading chooses; which one depends on its interfaces.
pub(crate) const NODE: [&str; 7] =
    ["192.0.2.1", "10.77.0.1", "10.99.0.1", "2001:db8::1", "fd77::1", "fe80::1", "fd99::1"];

/// The time of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> Moment {
        self.0.elapsed()
    }
}

/// The sender and the receiver, and what the latter has seen.
#[derive(Debug)]
pub(crate) struct Traffic {
    clock: Clock,
    /// Behind a packet to each destination.
    pause: Duration,
    sent: AtomicU64,
    arrived: Mutex<Vec<Packet>>,
    stop: AtomicBool,
}

impl Traffic {
    pub(crate) const fn new(clock: Clock, pause: Duration) -> Self {
        Self { clock, pause, sent: AtomicU64::new(0), arrived: Mutex::new(Vec::new()), stop: AtomicBool::new(false) }
    }

    pub(crate) const fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// The packets that have arrived since the last time.
    pub(crate) fn take(&self) -> Vec<Packet> {
        std::mem::take(&mut *self.arrived.lock().unwrap())
    }

    /// Keeps packets coming while `work` is done.
    pub(crate) fn during(&self, topology: &Topology, work: impl FnOnce()) {
        // A flow is forgotten at once, so that the same ports make a new one.
        topology.node.sysctl(&[("netfilter/nf_conntrack_udp_timeout", "0")]);
        // IPv4 comes here as well, with mapped addresses.
        let receiver = topology.world.inside(|| UdpSocket::bind(("::", PORT)).unwrap());
        receiver.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        setsockopt(&receiver, RcvBufForce, &RECEIVE_BUFFER).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| self.receive(&receiver));
            scope.spawn(|| topology.pod.inside(|| self.send()));
            let _stopped = super::support::StopOnDrop(&self.stop);
            work();
        });
    }

    fn send(&self) {
        let targets = PROBED.map(|(address, _)| SocketAddr::new(parsed(address), PORT));
        let sources = POD.map(parsed);
        let mut ports = (FIRST_SOURCE_PORT..=u16::MAX).cycle();
        let mut number = 0_u64;
        while !self.stop.load(Ordering::Relaxed) {
            for (to, target) in targets.iter().enumerate() {
                let source = sources[usize::from(target.is_ipv6())];
                // A program that is just being started holds for a moment what was open then.
                let Some(socket) = ports.by_ref().find_map(|port| UdpSocket::bind((source, port)).ok()) else { return };
                let mut payload = [0; 17];
                payload[0] = u8::try_from(to).expect("a short list");
                payload[1..9].copy_from_slice(&number.to_ne_bytes());
                let now = u64::try_from(self.clock.now().as_nanos()).expect("centuries");
                payload[9..].copy_from_slice(&now.to_ne_bytes());
                // There may be no way while an interface is down.
                let _ = socket.send_to(&payload, target);
                number += 1;
            }
            self.sent.store(number, Ordering::Relaxed);
            #[expect(clippy::disallowed_methods, reason = "the pace of the packets, which nothing waits for")]
            std::thread::sleep(self.pause);
        }
    }

    fn receive(&self, socket: &UdpSocket) {
        let (pod, node) = (POD.map(parsed), NODE.map(parsed));
        let mut payload = [0; 64];
        while !self.stop.load(Ordering::Relaxed) {
            let Ok((17, source)) = socket.recv_from(&mut payload) else { continue };
            let arrived = self.clock.now();
            let number = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().unwrap());
            let packet = Packet {
                to: payload[0],
                number: number(&payload[1..9]),
                sent: Duration::from_nanos(number(&payload[9..17])),
                arrived,
                answer: answer(source.ip().to_canonical(), pod, &node),
            };
            self.arrived.lock().unwrap().push(packet);
        }
    }
}

fn answer(source: IpAddr, pod: [IpAddr; 2], node: &[IpAddr]) -> Answer {
    if pod.contains(&source) {
        Answer::Kept
    } else if node.contains(&source) {
        Answer::Masqueraded
    } else {
        Answer::Odd
    }
}
