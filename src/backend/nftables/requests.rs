//! What is asked of nf_tables over a connection, and the transactions that are sent over it.

use crate::net::{AddressRange, Family};
use crate::netlink::{
    Budget, Connection, Content, Kind, Message, Messages, NetlinkError, Received, Request, TRIES, TableFamily,
    Transport, Writer, flag,
};
use crate::rules::SetKind;

use super::codec::{
    ChainInfo, RuleInfo, SetInfo, TableInfo, chain, element, foreign_object, generation, rule, set, table,
};
use super::{Batch, ForeignObject, Generation, Probe, Transaction, Unrecognised};

impl<T: Transport> Connection<T> {
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
    pub fn foreign_objects(&mut self, family: Family, table: &str) -> Result<Vec<ForeignObject>, NetlinkError> {
        let content = |writer: &mut Writer| foreign_object::emit_table(writer, table);
        let mut foreign_objects = Vec::new();
        for (kind, answer) in foreign_object::DUMPS {
            let request = Request::dump(kind, family, &content, answer);
            foreign_objects
                .append(&mut self.read(&request, |attributes| foreign_object::parse(attributes, answer, table))?);
        }
        Ok(foreign_objects)
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
    ) -> Result<Result<Vec<AddressRange>, Unrecognised>, NetlinkError> {
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
        let mut budget = Budget::KEPT;
        loop {
            match self.receive(&mut budget)? {
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
}
