//! Requests to the kernel and their answers, over anything that carries datagrams.

mod read;

use std::io;

use nix::errno::Errno;

use crate::netlink::TableFamily;

use super::NetlinkError;
use super::budget::Budget;
use super::message::{Content, Head, Kind, Messages, flag};
use super::wire::{Attributes, Writer};

/// How often a request is sent that others keep overtaking, or whose answer goes wrong on its way.
pub(crate) const TRIES: u32 = 16;

/// What carries datagrams to the kernel and back.
pub trait Transport {
    /// Sends one datagram.
    ///
    /// # Errors
    ///
    /// That of the system call. What the kernel does it does during the call, so that something may have been done
    /// before the call failed.
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
}

/// A conversation with the kernel, about what the socket was opened for.
///
/// The kernel works on a request while it is being sent, and on the next part of a dump while the one before is being
/// received. So an answer is queued or never comes, and nothing here waits.
#[derive(Debug)]
pub struct Connection<T> {
    pub(crate) transport: T,
    /// The number of the last message sent. Each has its own, so that no late answer is taken for that to another.
    pub(crate) sequence: u32,
    request: Writer,
    pub(crate) answer: Vec<u8>,
}

/// How the answer to a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It is whole, and says success.
    Whole,
    /// What was asked for is not there (`ENOENT`).
    Missing,
    /// It is whole, and others committed while it was given, be it elsewhere (`NLM_F_DUMP_INTR`).
    Overtaken,
    /// What was asked for changed meanwhile, or messages were lost.
    Interrupted,
}

/// What the next datagram is.
pub(crate) enum Received {
    Datagram,
    Nothing,
    /// Something was queued that could not be had.
    Lost,
}

/// A request that is no transaction.
pub(crate) struct Request<'a> {
    pub(crate) kind: Kind,
    pub(crate) family: Option<TableFamily>,
    /// [`flag::DUMP`] for all things of a kind, [`flag::ACK`] for one: what marks the end of the answer.
    pub(crate) flags: u16,
    pub(crate) content: &'a dyn Fn(&mut Writer),
    /// The kind of the messages that answer.
    pub(crate) answer: Kind,
}

impl<T: Transport> Connection<T> {
    /// A conversation over `transport`.
    #[must_use]
    pub const fn new(transport: T) -> Self {
        Self { transport, sequence: 0, request: Writer::new(), answer: Vec::new() }
    }

    /// The number by which the kernel knows this socket as the owner of tables.
    pub fn port(&self) -> u32 {
        self.transport.port()
    }

    /// Sends a request, and hands on what answers it, one thing after the other, as the kernel lists it: nothing is kept.
    /// What was handed on counts only if the end says so.
    pub(crate) fn exchange<E: From<NetlinkError>>(
        &mut self,
        request: &Request<'_>,
        each: impl FnMut(Attributes<'_>) -> Result<(), E>,
    ) -> Result<End, E> {
        self.exchange_within(Budget::PASSED, request, each)
    }

    fn exchange_within<E: From<NetlinkError>>(
        &mut self,
        mut budget: Budget,
        request: &Request<'_>,
        mut each: impl FnMut(Attributes<'_>) -> Result<(), E>,
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
                    Content::Object { kind, attributes } if kind == request.answer => each(attributes)?,
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
                            // So netfilter answers whatever is meant for a subsystem that it does not have.
                            Some(errno @ Errno::EINVAL) if request.kind == Kind::GET_GEN => {
                                Err(NetlinkError::Unsupported { change: None, errno, text: report.text() }.into())
                            }
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
        let head = Head { kind: request.kind, flags: request.flags, sequence: self.sequence, family: request.family };
        self.request.message(head, request.content);
        let bytes = self.request.bytes();
        self.transport.send(bytes).map_err(|error| NetlinkError::from_io(error, bytes.len()))
    }

    /// Takes what is left of an answer that was given up, so that it is not taken for part of the next. The kernel
    /// begins no dump on a socket before the last one is through.
    pub(crate) fn discard_leftovers(&mut self) -> Result<(), NetlinkError> {
        let mut budget = Budget::PASSED;
        loop {
            match self.receive(&mut budget)? {
                Received::Datagram | Received::Lost => {}
                Received::Nothing => return Ok(()),
            }
        }
    }

    pub(crate) fn receive(&mut self, budget: &mut Budget) -> Result<Received, NetlinkError> {
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
    pub(crate) fn dump(
        kind: Kind,
        family: impl Into<TableFamily>,
        content: &'a dyn Fn(&mut Writer),
        answer: Kind,
    ) -> Self {
        Self { kind, family: Some(family.into()), flags: flag::DUMP, content, answer }
    }
}
