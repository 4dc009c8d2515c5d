//! When the elements of a large set are listed, which costs a thousand times what a change of one of them does.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use ip_masq_agent::backend::{Nftables, Outcome, ReconcileOptions, reconcile};
use ip_masq_agent::net::{Cidr, Family};
use ip_masq_agent::netlink::{Connection, NetlinkFamily, NetlinkSocket, Transport};
use ip_masq_agent::policy::{Origin, Policy, PortChoice};
use ip_masq_agent::rules::{Layout, Protection, Ruleset, compile};

use crate::support::netns::Netns;

/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETSETELEM` (`linux/netfilter/nf_tables.h`).
const GETSETELEM: u16 = 10 << 8 | 0x0d;
const COUNT: u32 = 2_000;

/// A socket that counts the requests for the elements of a set.
struct Counting {
    socket: Rc<RefCell<NetlinkSocket>>,
    listings: Rc<Cell<usize>>,
}

impl Transport for Counting {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        if datagram[4..6] == GETSETELEM.to_ne_bytes() {
            self.listings.set(self.listings.get() + 1);
        }
        self.socket.borrow_mut().send(datagram)
    }

    fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        self.socket.borrow_mut().receive(buffer)
    }

    fn port(&self) -> u32 {
        self.socket.borrow().port()
    }
}

/// An agent's way to the kernel.
struct Agent {
    backend: Nftables<Counting>,
    socket: Rc<RefCell<NetlinkSocket>>,
    listings: Rc<Cell<usize>>,
}

impl Agent {
    fn new() -> Self {
        let listings = Rc::new(Cell::new(0));
        let socket = Rc::new(RefCell::new(NetlinkSocket::open(NetlinkFamily::Netfilter).unwrap()));
        let counting = Counting { socket: Rc::clone(&socket), listings: Rc::clone(&listings) };
        Self { backend: Nftables::over(Connection::new(counting)), socket, listings }
    }

    /// Brings the rules in line. Gives what was done, and how many sets were listed for it.
    fn pass(&mut self, ruleset: &Ruleset) -> (Outcome, usize) {
        let before = self.listings.get();
        let options = ReconcileOptions { hold: true, ..ReconcileOptions::default() };
        let outcome = reconcile(&mut self.backend, ruleset, &options).unwrap();
        (outcome, self.listings.get() - before)
    }
}

/// So many ranges of one length.
fn rules(count: u32, protection: Protection) -> Ruleset {
    let range = |number: u32| Cidr::around(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + (number << 4))), 29).unwrap();
    let exempt = (0..count).map(|number| (range(number), Origin::Default));
    let ports = PortChoice { random_fully: true, to_ports: "".parse().unwrap() };
    let policy = Policy::keeping("IP-MASQ-AGENT".parse().unwrap(), vec![Family::Ipv4], exempt, ports);
    compile(&policy, Layout::OwnTable(protection))
}

#[test]
fn a_large_set_that_only_we_can_change_is_listed_once_whatever_others_commit_elsewhere() {
    let Some(netns) = Netns::new("listed-once") else { return };
    netns.inside(|| {
        let ruleset = rules(COUNT, Protection::OwnerPersist);
        assert_eq!(Agent::new().pass(&ruleset).1, 0, "what we committed is known");
        // It adopts what the first has left, which it has to list.
        let mut agent = Agent::new();
        assert_eq!(agent.pass(&ruleset).1, 1);
        netns.nft("table ip others { chain theirs { counter; }; }");
        assert_eq!(agent.pass(&ruleset).1, 0);
        netns.nft("delete table ip others");
        let (outcome, listings) = agent.pass(&rules(COUNT + 1, Protection::OwnerPersist));
        assert_eq!((outcome.changes.len(), listings), (1, 0));
        netns.nft("table ip others { }");
        assert_eq!(agent.pass(&rules(COUNT + 1, Protection::OwnerPersist)).1, 0);
    });
}

#[test]
fn a_large_set_that_others_can_change_is_listed_after_every_commit_of_others() {
    let Some(netns) = Netns::new("listed-again") else { return };
    netns.inside(|| {
        let ruleset = rules(COUNT, Protection::Off);
        let mut agent = Agent::new();
        assert_eq!(agent.pass(&ruleset).1, 0);
        netns.nft("table ip others { }");
        assert_eq!(agent.pass(&ruleset).1, 1);
        // The same number as before, but other ones.
        netns.nft("delete element ip ip-masq-agent exempt-29 { 10.0.0.0 }");
        netns.nft("add element ip ip-masq-agent exempt-29 { 192.0.2.0 }");
        let (outcome, _) = agent.pass(&ruleset);
        assert_eq!(outcome.changes.len(), 2, "{:?}", outcome.changes);
    });
}

#[test]
fn a_table_that_was_out_of_our_hands_for_a_while_is_listed_again() {
    let Some(netns) = Netns::new("listed-lost") else { return };
    netns.inside(|| {
        let ruleset = rules(COUNT, Protection::OwnerPersist);
        let mut agent = Agent::new();
        agent.pass(&ruleset);
        // As if its socket had been closed.
        *agent.socket.borrow_mut() = NetlinkSocket::open(NetlinkFamily::Netfilter).unwrap();
        // It has no owner now, and gets the same number of elements, but other ones.
        netns.nft("delete element ip ip-masq-agent exempt-29 { 10.0.0.0 }");
        netns.nft("add element ip ip-masq-agent exempt-29 { 192.0.2.0 }");
        let (outcome, listings) = agent.pass(&ruleset);
        // Adopted, one element added, one deleted.
        assert_eq!((outcome.changes.len(), listings), (3, 1), "{:?}", outcome.changes);
    });
}
