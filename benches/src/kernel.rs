//! What the kernel itself takes: the floor under everything that has it commit or list the same.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;
use ip_masq_agent::backend::nftables::{Cache, plan};
use ip_masq_agent::backend::{Backend as _, Look, Nftables};
use ip_masq_agent::net::ChainName;
use ip_masq_agent::netlink::{Connection, NetlinkFamily, NetlinkSocket, Transport};
use ip_masq_agent::rules::Ruleset;

use crate::namespace::Namespace;
use crate::pure;

/// Brings the rules of a namespace into the desired state. Gives the time from the sending of each transaction that it
/// takes to its acknowledgement, all else done before and after.
pub fn share(namespace: &Namespace, desired: &Ruleset) -> Result<Duration> {
    namespace.inside(|| {
        let (mut reading, mut writing) = (Nftables::open()?, Connection::open(NetlinkFamily::Netfilter)?);
        let mut taken = Duration::ZERO;
        loop {
            let observed = reading.read(&desired.chain, Look::Fresh)?;
            let plan = plan(desired, &observed, &Cache::default())?;
            if plan.is_empty() {
                return Ok(taken);
            }
            let batch = pure::encode(&plan, Some(observed.generation))?;
            let start = Instant::now();
            writing.commit(&batch)?;
            taken += start.elapsed();
        }
    })
}

/// The time that the kernel takes to list what concerns the agent in a namespace, elements and rules included: that of the
/// system calls, without what the agent makes of the answers.
pub fn listing(namespace: &Namespace) -> Result<Duration> {
    namespace.inside(|| {
        let in_calls = Rc::new(Cell::new(Duration::ZERO));
        let socket = Timed { socket: NetlinkSocket::open(NetlinkFamily::Netfilter)?, in_calls: Rc::clone(&in_calls) };
        Nftables::over(Connection::new(socket)).read(&ChainName::default(), Look::Fresh)?;
        Ok(in_calls.get())
    })
}

/// A socket that adds up the time of its system calls.
struct Timed {
    socket: NetlinkSocket,
    in_calls: Rc<Cell<Duration>>,
}

impl Timed {
    fn timed<R>(&mut self, call: impl FnOnce(&mut NetlinkSocket) -> R) -> R {
        let start = Instant::now();
        let result = call(&mut self.socket);
        self.in_calls.set(self.in_calls.get() + start.elapsed());
        result
    }
}

impl Transport for Timed {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        self.timed(|socket| socket.send(datagram))
    }

    fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        self.timed(|socket| socket.receive(buffer))
    }

    fn port(&self) -> u32 {
        self.socket.port()
    }
}
