//! The requests that read nf_tables over a connection.

use nix::errno::Errno;

use crate::net::{AddressRange, Family};
use crate::netlink::{
    Attributes, Connection, FamilyHeader, Malformed, NetlinkError, Request, TRIES, Transport, Writer, flag, nfnetlink,
};
use crate::rules::SetKind;

use super::codec::{
    ChainInfo, RuleInfo, SetInfo, TableFamily, TableInfo, chain, element, foreign_object, generation, rule, set, table,
};
use super::{ForeignObject, Generation, Unrecognised};

/// What was being done, followed by what the kernel needs for it if the error says that the kernel does not support it.
pub(crate) fn with_need(doing: String, source: &NetlinkError) -> String {
    match source {
        NetlinkError::Unsupported { .. } => format!("{doing} (which takes nf_tables with nat for this family)"),
        _ => doing,
    }
}

impl<T: Transport> Connection<T> {
    /// The generation of the whole ruleset of the network namespace.
    ///
    /// # Errors
    ///
    /// Any of [`NetlinkError`] that is not about a batch. [`NetlinkError::Unsupported`] if the kernel has no nf_tables.
    pub fn generation(&mut self) -> Result<Generation, NetlinkError> {
        let request = Request {
            kind: generation::GET,
            family: nfnetlink::NO_FAMILY,
            flags: flag::ACK,
            content: &|_| {},
            answer: generation::NEW,
        };
        match self.read(&request, |attributes| generation::parse(attributes).map(Some)) {
            Ok(mut found) => found.pop().ok_or(NetlinkError::NoAnswer),
            // This is how netfilter answers a message to a subsystem that it does not have (`nfnetlink_rcv_msg`).
            Err(NetlinkError::Rejected { change: None, errno: errno @ Errno::EINVAL, text }) => {
                Err(NetlinkError::Unsupported { change: None, errno, text })
            }
            Err(error) => Err(error),
        }
    }

    /// The tables of a family.
    ///
    /// # Errors
    ///
    /// As [`Connection::generation`].
    pub fn tables(&mut self, family: impl Into<TableFamily>) -> Result<Vec<TableInfo>, NetlinkError> {
        let request = Request::dump(table::GET, family.into().header(), &|_| {}, table::NEW);
        self.read(&request, |attributes| table::parse(attributes).map(Some))
    }

    /// The chains of all tables of a family.
    ///
    /// # Errors
    ///
    /// As [`Connection::generation`].
    pub fn chains(&mut self, family: impl Into<TableFamily>) -> Result<Vec<ChainInfo>, NetlinkError> {
        let request = Request::dump(chain::GET, family.into().header(), &|_| {}, chain::NEW);
        self.read(&request, |attributes| chain::parse(attributes).map(Some))
    }

    /// The tables of the families whose tables are read.
    ///
    /// # Errors
    ///
    /// As [`Connection::generation`].
    pub(super) fn tables_of_all_families(&mut self) -> Result<Vec<(TableFamily, TableInfo)>, NetlinkError> {
        self.of_all_families(&Request::dump(table::GET, nfnetlink::NO_FAMILY, &|_| {}, table::NEW), table::parse)
    }

    /// The chains of these tables.
    ///
    /// # Errors
    ///
    /// As [`Connection::generation`].
    pub(super) fn chains_of_all_families(&mut self) -> Result<Vec<(TableFamily, ChainInfo)>, NetlinkError> {
        self.of_all_families(&Request::dump(chain::GET, nfnetlink::NO_FAMILY, &|_| {}, chain::NEW), chain::parse)
    }

    /// One request for all families takes a fraction of the time of one for each, as most have nothing.
    fn of_all_families<I>(
        &mut self,
        request: &Request<'_>,
        parse: impl Fn(Attributes<'_>) -> Result<I, Malformed>,
    ) -> Result<Vec<(TableFamily, I)>, NetlinkError> {
        self.read_with_headers(request, |payload| {
            let (number, attributes) = nfnetlink::family_and_attributes(payload)?;
            TableFamily::of_number(number).map(|family| Ok((family, parse(attributes)?))).transpose()
        })
    }

    /// The rules of one chain, in order; none if there is no such chain. The rules of other chains are not read.
    ///
    /// # Errors
    ///
    /// As [`Connection::generation`].
    pub fn rules(&mut self, family: Family, table: &str, chain: &str) -> Result<Vec<RuleInfo>, NetlinkError> {
        self.rules_as(family, table, chain, |info| info, RuleInfo::is_same_but_for_counters)
    }

    /// The same, where each rule is kept as `understand` makes it, and not as it came: a long chain as it comes takes
    /// several times the memory.
    pub(super) fn rules_as<R>(
        &mut self,
        family: Family,
        table: &str,
        chain: &str,
        understand: impl Fn(RuleInfo) -> R,
        is_same: impl Fn(&R, &R) -> bool,
    ) -> Result<Vec<R>, NetlinkError> {
        let content = |writer: &mut Writer| rule::emit_chain(writer, table, chain);
        let request = Request::dump(rule::GET, header(family), &content, rule::NEW);
        let parse = |attributes: Attributes<'_>| Ok(rule::parse(attributes, table, chain)?.map(&understand));
        self.read_long(&request, parse, is_same)
    }

    /// The sets of a table; none if there is no such table.
    ///
    /// # Errors
    ///
    /// As [`Connection::generation`].
    pub fn sets(&mut self, family: Family, table: &str) -> Result<Vec<SetInfo>, NetlinkError> {
        let content = |writer: &mut Writer| set::emit_table(writer, table);
        let request = Request::dump(set::GET, header(family), &content, set::NEW);
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
            let request = Request::dump(kind, header(family), &content, answer);
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
        let request = Request::dump(element::GET, header(family), &content, element::NEW);
        for _ in 0..TRIES {
            let parts =
                self.read_long(&request, |attributes| element::parse(attributes, family, table, set), PartialEq::eq)?;
            let boundaries: Vec<Vec<_>> = match parts.into_iter().collect() {
                Ok(boundaries) => boundaries,
                Err(unrecognised) => return Ok(Err(unrecognised)),
            };
            if let Some(ranges) = element::ranges(boundaries.concat(), family, kind) {
                return Ok(ranges);
            }
        }
        Err(NetlinkError::Interrupted { tries: TRIES })
    }
}

/// The header of requests about a table of this family.
fn header(family: Family) -> FamilyHeader {
    TableFamily::from(family).header()
}
