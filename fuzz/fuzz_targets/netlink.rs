//! Arbitrary datagrams as answers to every request there is, and as announcements.
//!
//! An input is a byte that says what is asked for (its three upper bits) and how the answers end (the others: [`DONE`]
//! and so on), then datagrams, each after its length in two bytes, the lower one first.

#![no_main]

use std::collections::VecDeque;
use std::io;

use ip_masq_agent::backend::nftables::{Monitor, decode};
use ip_masq_agent::backend::{Heard, Nftables, ReconcileOptions, preview, reconcile};
use ip_masq_agent::config::{Config, Context};
use ip_masq_agent::conntrack::{Deletions, Status};
use ip_masq_agent::net::Family;
use ip_masq_agent::netlink::{Connection, NetlinkError, Transport};
use ip_masq_agent::policy::{Flags, Policy};
use ip_masq_agent::rules::{BaseChain, Layout, Protection, SetKind, TableId, compile};
use libfuzzer_sys::fuzz_target;

use fuzzing::messages::{acknowledgement, done, messages, number};

/// The datagrams are followed by what ends a dump.
const DONE: u8 = 1;
/// The datagrams are followed by an acknowledgement.
const ACKNOWLEDGED: u8 = 2;
/// They keep the sequence numbers that they have, instead of the request's.
const NUMBERED: u8 = 4;
/// After the first of them some were lost (`ENOBUFS`).
const LOST: u8 = 8;
/// A signal comes before each of them (`EINTR`).
const SIGNALS: u8 = 16;

/// More are sent for no reason: whatever is answered, a pass comes to an end.
const MOST_REQUESTS: usize = 20_000;

fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else { return };
    let kernel = || Answers { switches: *first, datagrams: datagrams(rest), queue: VecDeque::new(), sent: 0 };
    match first >> 5 {
        0 => ask_of_rules(&mut Connection::new(kernel()), Family::Ipv4),
        1 => ask_of_rules(&mut Connection::new(kernel()), Family::Ipv6),
        2 => ask_of_flows(kernel(), kernel(), Family::Ipv4),
        3 => ask_of_flows(kernel(), kernel(), Family::Ipv6),
        4 => told(Connection::new(kernel()).addresses()),
        5 => listen(kernel()),
        6 => pass(kernel(), Layout::IptablesNat),
        _ => pass(kernel(), Layout::OwnTable(Protection::OwnerPersist)),
    }
});

/// Every request about rules. What cannot be read is an error in words.
fn ask_of_rules(kernel: &mut Connection<Answers>, family: Family) {
    told(kernel.generation());
    told(kernel.tables(family));
    told(kernel.chains(family));
    for id in [TableId::nat(family), TableId::own(family)] {
        let table = id.name.as_str();
        for chain in [BaseChain::POSTROUTING, BaseChain::OWN_POSTROUTING, "IP-MASQ-AGENT"] {
            let rules = kernel.rules(family, table, chain).unwrap_or_default();
            for rule in &rules {
                let _ = decode(id, rule).map_err(|unrecognised| unrecognised.to_string());
            }
        }
        told(kernel.sets(family, table));
        told(kernel.foreign_objects(family, table));
        for (set, kind) in [("exempt", SetKind::Intervals), ("exempt-24", SetKind::Addresses { size: 64 })] {
            let ranges = kernel.elements(family, table, set, kind);
            if let Ok(Ok(ranges)) = &ranges {
                assert!(ranges.is_sorted_by(|earlier, later| earlier.last() < later.first()), "{ranges:?}");
                assert!(ranges.iter().all(|range| Family::of(range.first()) == family), "{ranges:?}");
            }
            told(ranges);
        }
    }
}

/// Flows are deleted while they are listed, as the agent does it.
fn ask_of_flows(listing: Answers, deleting: Answers, family: Family) {
    let mut deleting = Connection::new(deleting);
    let listed = Connection::new(listing).flows(Some(family), Status(0), |flow| {
        let mut flows = Deletions::default();
        flows.add(flow);
        flows.add(flow);
        if let Ok(ends) = deleting.delete_flows(&mut flows) {
            assert_eq!(ends.len(), 2);
        }
        Ok::<_, NetlinkError>(())
    });
    told(listed);
}

fn listen(mut kernel: Answers) {
    kernel.fill(0);
    let mut heard = Heard::default();
    let mut monitor = Monitor::new(kernel, 1);
    while let Ok(false) = monitor.listen(&mut heard) {}
    for process in &heard.processes {
        let shown = process.to_string();
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
    }
}

/// Whole passes.
fn pass(kernel: Answers, layout: Layout) {
    let policy = Policy::new(&Config::defaults(&Context::default()), &Flags { ipv6: true, ..Flags::default() });
    let desired = compile(&policy, layout);
    let mut backend = Nftables::over(Connection::new(kernel));
    let options = ReconcileOptions::default();
    let _ = reconcile(&mut backend, &desired, &options).map_err(|error| error.to_string());
    let _ = preview(&mut backend, &desired, &options).map_err(|error| error.to_string());
}

fn told<A>(answer: Result<A, NetlinkError>) {
    if let Err(error) = answer {
        assert!(!error.to_string().is_empty());
    }
}

fn datagrams(mut input: &[u8]) -> Vec<Vec<u8>> {
    let mut datagrams = Vec::new();
    while let [low, high, rest @ ..] = input {
        let (datagram, rest) = rest.split_at(rest.len().min(u16::from_le_bytes([*low, *high]).into()));
        datagrams.push(datagram.to_vec());
        input = rest;
    }
    datagrams
}

/// A kernel that gives the same datagrams in answer to every request.
struct Answers {
    switches: u8,
    datagrams: Vec<Vec<u8>>,
    queue: VecDeque<io::Result<Vec<u8>>>,
    sent: usize,
}

impl Answers {
    fn has(&self, switch: u8) -> bool {
        self.switches & switch != 0
    }

    fn fill(&mut self, sequence: u32) {
        for (index, datagram) in self.datagrams.iter().enumerate() {
            let mut datagram = datagram.clone();
            if !self.has(NUMBERED) {
                number(&mut datagram, sequence);
            }
            if self.has(SIGNALS) {
                self.queue.push_back(Err(io::ErrorKind::Interrupted.into()));
            }
            self.queue.push_back(Ok(datagram));
            if self.has(LOST) && index == 0 {
                self.queue.push_back(Err(io::Error::from_raw_os_error(ENOBUFS)));
            }
        }
        self.queue.extend(self.has(DONE).then(|| Ok(done(sequence))));
        self.queue.extend(self.has(ACKNOWLEDGED).then(|| Ok(acknowledgement(sequence))));
    }
}

const ENOBUFS: i32 = 105;

impl Transport for Answers {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        self.sent += 1;
        assert!(self.sent < MOST_REQUESTS, "the agent asks without end");
        let sequence = match messages(datagram).as_slice() {
            // Of a transaction the last message but its end asks for the acknowledgement.
            [.., last, _end] => last.sequence,
            [request] => request.sequence,
            [] => panic!("an empty datagram is sent"),
        };
        self.fill(sequence);
        Ok(())
    }

    fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        *buffer = self.queue.pop_front().unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))?;
        Ok(())
    }

    fn port(&self) -> u32 {
        1
    }
}
