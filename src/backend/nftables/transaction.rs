//! Transactions: changes that the kernel commits as a whole or not at all (`NFNL_MSG_BATCH_BEGIN`, linux/netfilter/nfnetlink.h).

use crate::backend::nftables::{Action, Change, Generation, Handle};
use crate::rules::{Rule, TableId};

use super::encoding::{Encoding, encoding};
use super::{chain, compat, element, foreign_object, generation, native, rule, set, table};
use crate::netlink::NetlinkError;
use crate::netlink::Writer;
use crate::netlink::{Head, Kind, flag};

/// A transaction that still takes changes. Only a [`Batch`] can be sent.
#[derive(Debug)]
pub struct Transaction {
    writer: Writer,
    /// The sequence number of the message that begins it; those behind it count up.
    first: u32,
    /// For every message behind the frame's beginning, the change that it stands for.
    changes: Vec<usize>,
    /// How many changes were pushed.
    pushed: usize,
    /// Where the last message starts.
    last: usize,
    /// The first change that cannot be written down.
    unrepresentable: Option<usize>,
}

/// A complete transaction, encoded.
#[derive(Debug)]
pub struct Batch {
    bytes: Vec<u8>,
    first: u32,
    changes: Vec<usize>,
}

/// A transaction without its end (`NFNL_MSG_BATCH_END`). The kernel does every change that is in it, loading what modules
/// they need, and then takes all back, as for `nft --check`. Not seen is what it looks for only when it commits, such as
/// a jump from a base chain at the wrong hook to a rule that masquerades.
#[derive(Debug)]
pub struct Probe(pub(super) Batch);

/// Where a new rule goes in its chain.
#[derive(Clone, Copy)]
enum Place {
    Last,
    Before(Handle),
}

impl Transaction {
    /// An empty transaction. With a generation, the kernel commits only if that is still the current one, and else
    /// answers [`NetlinkError::StaleGeneration`].
    #[must_use]
    pub fn begin(expected: Option<Generation>) -> Self {
        Self::numbered(expected, 1)
    }

    /// The same, with sequence numbers from `first` on.
    pub(super) fn numbered(expected: Option<Generation>, first: u32) -> Self {
        let mut writer = Writer::new();
        let head = Head { kind: Kind::BATCH_BEGIN, flags: 0, sequence: first, family: None };
        writer.message(head, |writer| {
            if let Some(expected) = expected {
                generation::emit(writer, expected);
            }
        });
        Self { writer, first, changes: Vec::new(), pushed: 0, last: 0, unrepresentable: None }
    }

    /// Adds a change; errors name it by its number, counted from 0.
    pub fn push(&mut self, change: &Change) {
        let Change { table: id, action } = change;
        let name = id.name.as_str();
        match action {
            Action::CreateTable { protection } => {
                self.message(*id, Kind::NEW_TABLE, flag::CREATE, |writer| table::emit(writer, name, *protection));
            }
            Action::DeleteTable => {
                self.message(*id, Kind::DEL_TABLE, 0, |writer| table::emit_name(writer, name));
            }
            Action::CreateSet { set, kind } => {
                // The sequence number is one that no other set of the transaction has.
                let number = self.next_sequence();
                self.message(*id, Kind::NEW_SET, flag::CREATE, |writer| {
                    set::emit(writer, id.family, name, set, *kind, number);
                });
            }
            Action::DeleteSet { set } => {
                self.message(*id, Kind::DEL_SET, 0, |writer| set::emit_name(writer, name, set));
            }
            Action::AddElements { set, kind, elements } => {
                for part in elements.chunks(element::PER_MESSAGE) {
                    self.message(*id, Kind::NEW_ELEMENTS, flag::CREATE, |writer| {
                        element::emit(writer, id.family, name, set, *kind, part);
                    });
                }
            }
            Action::DeleteElements { set, kind, elements } => {
                for part in elements.chunks(element::PER_MESSAGE) {
                    self.message(*id, Kind::DEL_ELEMENTS, 0, |writer| {
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
                self.message(*id, Kind::NEW_CHAIN, flag::CREATE, |writer| {
                    chain::emit(writer, name, chain, base.as_ref());
                });
            }
            Action::Append { chain, rule } => self.new_rule(*id, chain, rule, Place::Last),
            Action::Insert { chain, rule, before } => self.new_rule(*id, chain, rule, Place::Before(*before)),
            Action::Delete { chain, was } => {
                self.message(*id, Kind::DEL_RULE, 0, |writer| rule::emit_handle(writer, name, chain, was.handle));
            }
            // Without a handle all rules of the chain are meant.
            Action::Flush { chain } => {
                self.message(*id, Kind::DEL_RULE, 0, |writer| rule::emit_chain(writer, name, chain));
            }
            Action::DeleteChain { chain } => {
                self.message(*id, Kind::DEL_CHAIN, 0, |writer| chain::emit_name(writer, name, chain));
            }
        }
        self.pushed += 1;
    }

    /// Closes the transaction.
    ///
    /// # Errors
    ///
    /// [`NetlinkError::Unrepresentable`] if a change does not fit into a netlink message.
    pub fn seal(mut self) -> Result<Batch, NetlinkError> {
        self.ask_for_acknowledgement();
        let sequence = self.next_sequence();
        self.writer.message(Head { kind: Kind::BATCH_END, flags: 0, sequence, family: None }, |_| {});
        self.encoded()
    }

    /// Makes of the transaction a question: would the kernel commit it?
    ///
    /// # Errors
    ///
    /// As [`Transaction::seal`].
    pub fn seal_as_probe(mut self) -> Result<Probe, NetlinkError> {
        self.ask_for_acknowledgement();
        self.encoded().map(Probe)
    }

    /// Once is enough: the kernel answers when all is done. Of the frame's own messages kernels differ in whether they
    /// acknowledge them.
    fn ask_for_acknowledgement(&mut self) {
        if !self.changes.is_empty() {
            self.writer.add_flags(self.last, flag::ACK);
        }
    }

    fn encoded(self) -> Result<Batch, NetlinkError> {
        match self.unrepresentable {
            Some(change) => Err(NetlinkError::Unrepresentable { change }),
            None => Ok(Batch { bytes: self.writer.into_bytes(), first: self.first, changes: self.changes }),
        }
    }

    fn new_rule(&mut self, id: TableId, chain: &str, rule: &Rule, place: Place) {
        let encoding = encoding(id.name);
        let (expressions, comment) = match encoding {
            Encoding::Compat => (compat::encode(id.family, rule), compat::comment_beside(rule)),
            Encoding::Native => (native::encode(id.family, rule), rule.comment()),
        };
        // Without APPEND a rule comes before the position, or first.
        let flags = match place {
            Place::Last => flag::CREATE | flag::APPEND,
            Place::Before(_) => flag::CREATE,
        };
        self.message(id, Kind::NEW_RULE, flags, |writer| {
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

    /// Appends a message that stands for the change being pushed.
    fn message(&mut self, id: TableId, kind: Kind, flags: u16, content: impl FnOnce(&mut Writer)) {
        self.last = self.writer.len();
        let head = Head { kind, flags, sequence: self.next_sequence(), family: Some(id.family.into()) };
        self.writer.message(head, content);
        self.changes.push(self.pushed);
        if self.writer.is_overlong() {
            self.unrepresentable.get_or_insert(self.pushed);
        }
    }

    fn next_sequence(&self) -> u32 {
        last_of(self.first, &self.changes).wrapping_add(1)
    }
}

impl Batch {
    /// The messages, as they are sent.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Is there nothing to commit?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The change for which the message with this sequence number stands; `None` for the frame.
    pub(super) fn change(&self, sequence: u32) -> Option<usize> {
        let index = sequence.wrapping_sub(self.first).checked_sub(1)?;
        self.changes.get(usize::try_from(index).ok()?).copied()
    }

    /// Is a message of the batch numbered so, the frame's own two among them?
    pub(super) fn has(&self, sequence: u32) -> bool {
        sequence.wrapping_sub(self.first) <= self.last_sequence().wrapping_sub(self.first)
    }

    /// The number of its end.
    pub(super) fn last_sequence(&self) -> u32 {
        last_of(self.first, &self.changes).wrapping_add(1)
    }

    /// Does the message with this sequence number carry the batch's one request for an acknowledgement?
    pub(super) fn is_acknowledged_by(&self, sequence: u32) -> bool {
        !self.is_empty() && last_of(self.first, &self.changes) == sequence
    }
}

/// The number of the last message before the end.
fn last_of(first: u32, changes: &[usize]) -> u32 {
    first.wrapping_add(u32::try_from(changes.len()).unwrap_or(u32::MAX))
}
