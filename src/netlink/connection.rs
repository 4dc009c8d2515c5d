//! Requests to the kernel and their answers, over anything that carries datagrams.

mod batch;
mod read;
mod several;

pub use batch::Batch;
pub(crate) use batch::BatchWriter;
pub(crate) use several::Requests;

use std::io;

use nix::errno::Errno;

use super::NetlinkError;
use super::message::{Content, FamilyHeader, Head, Kind, Messages, flag};
use super::wire::{Attributes, Writer};

/// How often a request is sent if its answer is disturbed by commits of others, or fails on its way.
pub(crate) const TRIES: u32 = 16;

/// What carries datagrams to the kernel and back.
pub trait Transport {
    /// Sends one datagram.
    ///
    /// # Errors
    ///
    /// That of the system call. The kernel works on the request during the call, so it may have done something before
    /// the call failed.
    fn send(&mut self, datagram: &[u8]) -> io::Result<()>;

    /// Puts the next datagram from the kernel into `buffer`, in place of what was there. Never waits.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if none is queued; `EINTR` if a signal came first; `ENOBUFS` if some were lost; others
    /// of the system call.
    fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<()>;

    /// The port of this end (`nl_pid`; `netlink(7)`), by which the kernel knows it.
    fn port(&self) -> u32;

    /// The bytes of the receive buffer (`SO_RCVBUF`), as the kernel counts them: with what it needs itself for each datagram.
    /// What has no room is lost.
    fn receive_buffer(&self) -> usize {
        usize::MAX
    }
}

/// A connection to the part of the kernel for which its socket was opened.
///
/// The kernel works on a request while it is being sent, and on the next part of a dump while the one before is being
/// received. So an answer is queued already or never comes, and nothing here waits.
#[derive(Debug)]
pub struct Connection<T> {
    transport: T,
    /// The number of the last message sent. Each message has its own, so that a late answer is not taken for the answer to
    /// another request.
    sequence: u32,
    request: Writer,
    answer: Vec<u8>,
}

/// How the answer to a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It is whole, and says success.
    Whole,
    /// What was asked for is not there (`ENOENT`).
    Missing,
    /// It is whole, but others committed something while it was given, here or elsewhere (`NLM_F_DUMP_INTR`).
    Overtaken,
    /// What was asked for changed in the meantime, or messages were lost.
    Interrupted,
}

/// The result of receiving.
enum Received {
    Datagram,
    /// Nothing is queued.
    Nothing,
    /// The kernel could not queue everything (`ENOBUFS`).
    Lost,
}

/// How many datagrams may still be received for one request, so that every exchange ends, whatever is at the other end.
struct Budget {
    datagrams: u32,
    left: u32,
}

/// A request that is no batch.
pub(crate) struct Request<'a> {
    pub(crate) kind: Kind,
    pub(crate) family: FamilyHeader,
    /// [`flag::DUMP`] for all things of a kind, [`flag::ACK`] for one: what marks the end of the answer.
    pub(crate) flags: u16,
    pub(crate) content: &'a dyn Fn(&mut Writer),
    /// The kind of the messages that answer.
    pub(crate) answer: Kind,
}

impl<T: Transport> Connection<T> {
    /// A connection over `transport`.
    #[must_use]
    pub const fn new(transport: T) -> Self {
        Self { transport, sequence: 0, request: Writer::new(), answer: Vec::new() }
    }

    /// What carries its datagrams.
    pub(crate) const fn transport(&self) -> &T {
        &self.transport
    }

    /// The port of this end, by which the kernel names the socket to others (`nl_pid`; `netlink(7)`).
    pub fn port(&self) -> u32 {
        self.transport.port()
    }

    /// The bytes that the kernel can have queued before they are received ([`Transport::receive_buffer`]).
    pub(crate) fn receive_buffer(&self) -> usize {
        self.transport.receive_buffer()
    }

    /// Sends a request, and passes each thing in the answer to `each`, as the kernel lists it: nothing is stored. The
    /// [`End`] tells whether the answer was complete.
    pub(crate) fn exchange<E: From<NetlinkError>>(
        &mut self,
        request: &Request<'_>,
        mut each: impl FnMut(Attributes<'_>) -> Result<(), E>,
    ) -> Result<End, E> {
        let header = request.family;
        self.exchange_within(Budget::HANDED_ON, request, |payload| {
            each(Attributes::behind(&header, payload).map_err(NetlinkError::from)?)
        })
    }

    /// The same, where `each` is also given the header of the protocol, and no more than so many datagrams are received.
    fn exchange_within<E: From<NetlinkError>>(
        &mut self,
        mut budget: Budget,
        request: &Request<'_>,
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<End, E> {
        self.discard_leftovers()?;
        self.send(request)?;
        let (mut overtaken, mut lost) = (false, false);
        loop {
            match self.receive(&mut budget)? {
                Received::Datagram => {}
                Received::Nothing => return Err(NetlinkError::NoAnswer.into()),
                Received::Lost => return Ok(End::Interrupted),
            }
            for message in Messages::new(&self.answer) {
                let message = message.map_err(NetlinkError::from)?;
                if message.sequence != self.sequence {
                    continue;
                }
                overtaken |= message.interrupted;
                match message.content {
                    Content::Object { kind, payload } if kind == request.answer => {
                        each(payload)?;
                    }
                    Content::Object { .. } | Content::Other => {}
                    Content::Overrun => lost = true,
                    Content::Done(report) | Content::Answer(report) => {
                        return match report.error() {
                            _ if lost => Ok(End::Interrupted),
                            None if overtaken => Ok(End::Overtaken),
                            None => Ok(End::Whole),
                            _ if overtaken => Ok(End::Interrupted),
                            Some(Errno::EINTR | Errno::ENOBUFS) => Ok(End::Interrupted),
                            Some(Errno::ENOENT) => Ok(End::Missing),
                            Some(errno) => Err(NetlinkError::from_report(errno, &report, None).into()),
                        };
                    }
                }
            }
        }
    }

    fn send(&mut self, request: &Request<'_>) -> Result<(), NetlinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        self.request.clear();
        request.emit(&mut self.request, self.sequence);
        let bytes = self.request.bytes();
        self.transport.send(bytes).map_err(|error| NetlinkError::from_io(error, bytes.len()))
    }

    /// Receives the rest of an abandoned answer, so that it is not taken for part of the next one. The kernel begins no
    /// dump on a socket before the last one is complete.
    fn discard_leftovers(&mut self) -> Result<(), NetlinkError> {
        let mut budget = Budget::HANDED_ON;
        loop {
            match self.receive(&mut budget)? {
                Received::Datagram | Received::Lost => {}
                Received::Nothing => return Ok(()),
            }
        }
    }

    fn receive(&mut self, budget: &mut Budget) -> Result<Received, NetlinkError> {
        loop {
            budget.take()?;
            match self.transport.receive(&mut self.answer) {
                Ok(()) => return Ok(Received::Datagram),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Received::Nothing),
                // A signal; nothing was taken from the queue.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The receive buffer was full.
                Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => return Ok(Received::Lost),
                Err(error) => return Err(NetlinkError::from_io(error, 0)),
            }
        }
    }
}

impl<'a> Request<'a> {
    /// A request for all things of a kind.
    pub(crate) const fn dump(kind: Kind, family: FamilyHeader, content: &'a dyn Fn(&mut Writer), answer: Kind) -> Self {
        Self { kind, family, flags: flag::DUMP, content, answer }
    }

    pub(crate) fn emit(&self, writer: &mut Writer, sequence: u32) {
        let head = Head { kind: self.kind, flags: self.flags, sequence, family: self.family };
        writer.message(head, self.content);
    }
}

impl Budget {
    /// For an answer that is stored. A dump fills each datagram with up to 32 KiB (`netlink_dump`), so that a million
    /// intervals of IPv6, or as many rules, take less than a quarter of them.
    const STORED: Self = Self::of(16_384);

    /// For an answer that is passed on and not stored: enough for the flows of the largest tables, several times over.
    const HANDED_ON: Self = Self::of(16 * 16_384);

    const fn of(datagrams: u32) -> Self {
        Self { datagrams, left: datagrams }
    }

    /// Counts one datagram.
    fn take(&mut self) -> Result<(), NetlinkError> {
        self.left = self.left.checked_sub(1).ok_or(NetlinkError::Endless { datagrams: self.datagrams })?;
        Ok(())
    }
}
