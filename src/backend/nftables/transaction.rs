//! Transactions: changes to nf_tables that the kernel commits as a whole or not at all.

use crate::backend::nftables::{Action, Change, Generation, Handle};
use crate::netlink::{Batch, BatchWriter, Connection, Kind, NetlinkError, Transport, Writer, flag};
use crate::rules::{Rule, TableId};

use super::codec::{
    Encoding, SUBSYSTEM, TableFamily, chain, compat, element, foreign_object, native, rule, set, table,
};

/// A transaction that still takes changes. Only a [`Batch`] can be sent.
#[derive(Debug)]
pub struct Transaction(BatchWriter);

/// A transaction without its end (`NFNL_MSG_BATCH_END`). The kernel carries out every change in it, loading the modules that
/// they need, and then rolls all back, as for `nft --check`. It does not make the checks of a commit, such as whether a jump
/// leads from a base chain at the wrong hook to a rule that masquerades.
#[derive(Debug)]
pub struct Probe(pub(super) Batch);

/// Where a new rule goes in its chain.
#[derive(Clone, Copy)]
enum Place {
    Last,
    Before(Handle),
}

impl Transaction {
    /// An empty transaction. With a generation, the kernel commits only if that is still the current one; otherwise it
    /// answers [`NetlinkError::StaleGeneration`].
    #[must_use]
    pub fn begin(expected: Option<Generation>) -> Self {
        Self(BatchWriter::begin(SUBSYSTEM, expected.map(|generation| generation.0), 1))
    }

    /// Adds a change; errors name it by its number, counted from 0.
    pub fn push(&mut self, change: &Change) {
        let Change { table: id, action } = change;
        let name = id.name.as_str();
        match action {
            Action::CreateTable { protection } => {
                self.message(*id, table::NEW, flag::CREATE, |writer| table::emit(writer, name, *protection));
            }
            Action::DeleteTable => {
                self.message(*id, table::DELETE, 0, |writer| table::emit_name(writer, name));
            }
            Action::CreateSet { set, kind } => {
                // The sequence number serves as the id, as no other set of the transaction has it.
                let number = self.0.next_sequence();
                self.message(*id, set::NEW, flag::CREATE, |writer| {
                    set::emit(writer, id.family, name, set, *kind, number);
                });
            }
            Action::DeleteSet { set } => {
                self.message(*id, set::DELETE, 0, |writer| set::emit_name(writer, name, set));
            }
            Action::AddElements { set, kind, elements } => {
                for part in elements.chunks(element::PER_MESSAGE) {
                    self.message(*id, element::NEW, flag::CREATE, |writer| {
                        element::emit(writer, id.family, name, set, *kind, part);
                    });
                }
            }
            Action::DeleteElements { set, kind, elements } => {
                for part in elements.chunks(element::PER_MESSAGE) {
                    self.message(*id, element::DELETE, 0, |writer| {
                        element::emit(writer, id.family, name, set, *kind, part);
                    });
                }
            }
            Action::DeleteForeignObject { foreign_object } => {
                self.message(*id, foreign_object::deletion(foreign_object.kind), 0, |writer| {
                    foreign_object::emit_name(writer, name, foreign_object);
                });
            }
            Action::CreateChain { chain, base } => {
                self.message(*id, chain::NEW, flag::CREATE, |writer| {
                    chain::emit(writer, name, chain, base.as_ref());
                });
            }
            Action::Append { chain, rule } => self.new_rule(*id, chain, rule, Place::Last),
            Action::Insert { chain, rule, before } => self.new_rule(*id, chain, rule, Place::Before(*before)),
            Action::Delete { chain, was } => {
                self.message(*id, rule::DELETE, 0, |writer| rule::emit_handle(writer, name, chain, was.handle));
            }
            // Without a handle the kernel deletes all rules of the chain.
            Action::Flush { chain } => {
                self.message(*id, rule::DELETE, 0, |writer| rule::emit_chain(writer, name, chain));
            }
            Action::DeleteChain { chain } => {
                self.message(*id, chain::DELETE, 0, |writer| chain::emit_name(writer, name, chain));
            }
        }
        self.0.complete_change();
    }

    /// Has the kernel send back what it made of the last change, which has to be one message.
    pub(super) fn ask_for_echo(&mut self) {
        self.0.ask_for_echo();
    }

    /// Closes the transaction.
    ///
    /// # Errors
    ///
    /// [`NetlinkError::Unrepresentable`] if a change does not fit into a netlink message.
    pub fn seal(self) -> Result<Batch, NetlinkError> {
        self.0.seal()
    }

    /// Closes the transaction as a probe, which the kernel only tries ([`Connection::probe`]).
    ///
    /// # Errors
    ///
    /// As [`Transaction::seal`].
    pub fn seal_as_probe(self) -> Result<Probe, NetlinkError> {
        self.0.seal_without_end().map(Probe)
    }

    fn new_rule(&mut self, id: TableId, chain: &str, rule: &Rule, place: Place) {
        let encoding = Encoding::of(id.name);
        let (expressions, comment) = match encoding {
            Encoding::Compat => (compat::encode(id.family, rule), compat::comment_beside(rule)),
            Encoding::Native => (native::encode(id.family, rule), rule.comment()),
        };
        // Without APPEND the kernel puts a rule before the position, or first in the chain.
        let flags = match place {
            Place::Last => flag::CREATE | flag::APPEND,
            Place::Before(_) => flag::CREATE,
        };
        self.message(id, rule::NEW, flags, |writer| {
            rule::emit_chain(writer, id.name.as_str(), chain);
            rule::emit_expressions(writer, &expressions);
            if encoding == Encoding::Compat {
                rule::emit_compat(writer, compat::protocol(rule));
            }
            if let Some(comment) = comment {
                rule::emit_comment(writer, comment);
            }
            if let Place::Before(before) = place {
                rule::emit_position(writer, before);
            }
        });
    }

    /// Appends a message of the change that is being pushed.
    fn message(&mut self, id: TableId, kind: Kind, flags: u16, content: impl FnOnce(&mut Writer)) {
        self.0.message(kind, TableFamily::from(id.family).header(), flags, content);
    }
}

impl<T: Transport> Connection<T> {
    /// An empty transaction. Its sequence numbers tell its answers from all earlier ones, provided that it is sent next.
    pub fn begin(&self, expected: Option<Generation>) -> Transaction {
        Transaction(self.begin_batch(SUBSYSTEM, expected.map(|generation| generation.0)))
    }

    /// Asks whether the kernel would commit this transaction. The kernel tries, rolls everything back, and announces
    /// nothing; the generation stays the same.
    ///
    /// # Errors
    ///
    /// As [`Connection::commit`].
    pub fn probe(&mut self, probe: &Probe) -> Result<(), NetlinkError> {
        self.commit(&probe.0)
    }
}
