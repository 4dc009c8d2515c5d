//! Requests to the kernel and their answers, over anything that carries datagrams.

mod read;

use std::io;

use nix::errno::Errno;

use crate::net::{AddressRange, Family};
use crate::ruleset::{Generation, Opaque, SetKind, Stray, TableFamily};

use super::allowance::Allowance;
use super::message::{Content, Head, Kind, Message, Messages, flag};
use super::transaction::{Batch, Probe, Transaction};
use super::wire::{Attributes, Writer};
use super::{
    ChainInfo, NetlinkError, RuleInfo, SetInfo, TableInfo, chain, element, generation, rule, set, stray, table,
};

/// How often a request is sent that others keep overtaking, or whose answer goes wrong on its way.
pub(super) const TRIES: u32 = 16;

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
    transport: T,
    /// The number of the last message sent. Each has its own, so that no late answer is taken for that to another.
    sequence: u32,
    request: Writer,
    answer: Vec<u8>,
}

/// How the answer to a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
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
enum Received {
    Datagram,
    Nothing,
    /// Something was queued that could not be had.
    Lost,
}

/// A request that is no transaction.
pub(super) struct Request<'a> {
    pub(super) kind: Kind,
    pub(super) family: Option<TableFamily>,
    /// [`flag::DUMP`] for all things of a kind, [`flag::ACK`] for one: what marks the end of the answer.
    pub(super) flags: u16,
    pub(super) content: &'a dyn Fn(&mut Writer),
    /// The kind of the messages that answer.
    pub(super) answer: Kind,
}

impl<T: Transport> Connection<T> {
    /// A conversation over `transport`.
    #[must_use]
    pub const fn new(transport: T) -> Self {
        Self { transport, sequence: 0, request: Writer::new(), answer: Vec::new() }
    }

    /// The generation of the whole ruleset of the network namespace.
    ///
    /// # Errors
    ///
    /// Any of [`NetlinkError`] that is not about a transaction.
    pub fn generation(&mut self) -> Result<Generation, NetlinkError> {
        let request =
            Request { kind: Kind::GET_GEN, family: None, flags: flag::ACK, content: &|_| {}, answer: Kind::NEW_GEN };
        let mut found = self.read(&request, |attributes| generation::parse(attributes).map(Some))?;
        found.pop().ok_or(NetlinkError::NoAnswer)
    }

    /// The number by which the kernel knows this socket as the owner of tables.
    pub fn port(&self) -> u32 {
        self.transport.port()
    }

    /// The tables of a family.
    ///
    /// # Errors
    ///
    /// As [`Connection::generation`].
    pub fn tables(&mut self, family: impl Into<TableFamily>) -> Result<Vec<TableInfo>, NetlinkError> {
        let request = Request::dump(Kind::GET_TABLE, family, &|_| {}, Kind::NEW_TABLE);
        self.read(&request, |attributes| table::parse(attributes).map(Some))
    }

    /// The chains of all tables of a family.
    ///
    /// # Errors
    ///
    /// As [`Connection::generation`].
    pub fn chains(&mut self, family: impl Into<TableFamily>) -> Result<Vec<ChainInfo>, NetlinkError> {
        let request = Request::dump(Kind::GET_CHAIN, family, &|_| {}, Kind::NEW_CHAIN);
        self.read(&request, |attributes| chain::parse(attributes).map(Some))
    }

    /// The rules of one chain, in order; none if there is no such chain. The rules of other chains are not read.
    ///
    /// # Errors
    ///
    /// As [`Connection::generation`].
    pub fn rules(&mut self, family: Family, table: &str, chain: &str) -> Result<Vec<RuleInfo>, NetlinkError> {
        let content = |writer: &mut Writer| rule::emit_chain(writer, table, chain);
        let request = Request::dump(Kind::GET_RULE, family, &content, Kind::NEW_RULE);
        let is_same = |one: &RuleInfo, other: &RuleInfo| one.is_same_but_for_counters(other);
        self.read_long(&request, |attributes| rule::parse(attributes, table, chain), is_same)
    }

    /// The sets of a table; none if there is no such table.
    ///
    /// # Errors
    ///
    /// As [`Connection::generation`].
    pub fn sets(&mut self, family: Family, table: &str) -> Result<Vec<SetInfo>, NetlinkError> {
        let content = |writer: &mut Writer| set::emit_table(writer, table);
        let request = Request::dump(Kind::GET_SET, family, &content, Kind::NEW_SET);
        self.read(&request, |attributes| set::parse(attributes, family, table))
    }

    /// What a table holds beside sets, chains and rules; nothing if there is no such table.
    ///
    /// # Errors
    ///
    /// As [`Connection::generation`].
    pub fn strays(&mut self, family: Family, table: &str) -> Result<Vec<Stray>, NetlinkError> {
        let content = |writer: &mut Writer| stray::emit_table(writer, table);
        let mut strays = Vec::new();
        for (kind, answer) in stray::DUMPS {
            let request = Request::dump(kind, family, &content, answer);
            strays.append(&mut self.read(&request, |attributes| stray::parse(attributes, answer, table))?);
        }
        Ok(strays)
    }

    /// The elements of a set, sorted, none if there is no such set; or, in words that follow on “the set”, why they
    /// cannot be those of a set of ours.
    ///
    /// # Errors
    ///
    /// As [`Connection::generation`].
    pub fn elements(
        &mut self,
        family: Family,
        table: &str,
        set: &str,
        kind: SetKind,
    ) -> Result<Result<Vec<AddressRange>, Opaque>, NetlinkError> {
        let content = |writer: &mut Writer| element::emit_set(writer, table, set);
        let request = Request::dump(Kind::GET_ELEMENTS, family, &content, Kind::NEW_ELEMENTS);
        for _ in 0..TRIES {
            let parts =
                self.read_long(&request, |attributes| element::parse(attributes, family, table, set), PartialEq::eq)?;
            let boundaries: Vec<Vec<_>> = match parts.into_iter().collect() {
                Ok(boundaries) => boundaries,
                Err(opaque) => return Ok(Err(opaque)),
            };
            if let Some(ranges) = element::ranges(boundaries.concat(), family, kind) {
                return Ok(ranges);
            }
        }
        Err(NetlinkError::Interrupted { tries: TRIES })
    }

    /// An empty transaction whose answers can be told from all that came before, if it is the next thing that is sent.
    pub fn begin(&self, expected: Option<Generation>) -> Transaction {
        Transaction::numbered(expected, self.sequence.wrapping_add(1))
    }

    /// Commits a transaction, as a whole or not at all. An empty one is not sent.
    ///
    /// # Errors
    ///
    /// Any of [`NetlinkError`]. If several changes were refused, the first of them is named. It is not sent again after any
    /// of them: whether it has to be is for a new reading to tell.
    pub fn commit(&mut self, batch: &Batch) -> Result<(), NetlinkError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.discard_leftovers()?;
        self.sequence = batch.last_sequence();
        let bytes = batch.as_bytes();
        self.transport.send(bytes).map_err(|error| NetlinkError::from_io(error, bytes.len()))?;
        let (mut acknowledged, mut lost) = (false, false);
        let mut refused = None;
        let mut allowance = Allowance::KEPT;
        loop {
            match self.receive(&mut allowance)? {
                Received::Datagram => {}
                // The answers that are queued are still to be had, and the first error is the first of them.
                Received::Lost => {
                    lost = true;
                    continue;
                }
                Received::Nothing => break,
            }
            for message in Messages::new(&self.answer) {
                let Message { sequence, content, .. } = message?;
                match content {
                    Content::Answer(report) if batch.has(sequence) => match report.error() {
                        None => acknowledged |= batch.is_acknowledged_by(sequence),
                        Some(errno) if refused.is_none() => {
                            refused = Some(NetlinkError::from_report(errno, &report, batch.change(sequence)));
                        }
                        Some(_) => {}
                    },
                    Content::Overrun => lost = true,
                    _ => {}
                }
            }
        }
        match refused {
            Some(error) => Err(error),
            // The kernel acknowledges the last message even if another failed, so no error may have been lost.
            None if acknowledged && !lost => Ok(()),
            None => Err(NetlinkError::NoAnswer),
        }
    }

    /// Would the kernel commit this transaction? It tries, takes everything back, and says nothing to anybody: neither is
    /// there a new generation.
    ///
    /// # Errors
    ///
    /// As [`Connection::commit`].
    pub fn probe(&mut self, probe: &Probe) -> Result<(), NetlinkError> {
        self.commit(&probe.0)
    }

    /// Sends a request, and hands on what answers it, one thing after the other, as the kernel lists it: nothing is kept.
    /// What was handed on counts only if the end says so.
    pub(super) fn exchange<E: From<NetlinkError>>(
        &mut self,
        request: &Request<'_>,
        each: impl FnMut(Attributes<'_>) -> Result<(), E>,
    ) -> Result<End, E> {
        self.exchange_within(Allowance::PASSED, request, each)
    }

    fn exchange_within<E: From<NetlinkError>>(
        &mut self,
        mut allowance: Allowance,
        request: &Request<'_>,
        mut each: impl FnMut(Attributes<'_>) -> Result<(), E>,
    ) -> Result<End, E> {
        self.discard_leftovers()?;
        self.send(request)?;
        let (mut overtaken, mut lost) = (false, false);
        loop {
            match self.receive(&mut allowance)? {
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
    fn discard_leftovers(&mut self) -> Result<(), NetlinkError> {
        let mut allowance = Allowance::PASSED;
        loop {
            match self.receive(&mut allowance)? {
                Received::Datagram | Received::Lost => {}
                Received::Nothing => return Ok(()),
            }
        }
    }

    fn receive(&mut self, allowance: &mut Allowance) -> Result<Received, NetlinkError> {
        loop {
            allowance.take()?;
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
    pub(super) fn dump(
        kind: Kind,
        family: impl Into<TableFamily>,
        content: &'a dyn Fn(&mut Writer),
        answer: Kind,
    ) -> Self {
        Self { kind, family: Some(family.into()), flags: flag::DUMP, content, answer }
    }
}
