//! Transactions: changes that the kernel commits as a whole or not at all (`NFNL_MSG_BATCH_BEGIN`, linux/netfilter/nfnetlink.h).

use crate::ruleset::{Action, Change, Generation, Handle, Rule, TableId};

use super::message::{Head, Kind, flag};
use super::wire::Writer;
use super::{NetlinkError, chain, compat, generation, rule, table};

/// A transaction that still takes changes. Only a [`Batch`] can be sent.
#[derive(Debug)]
pub struct Transaction {
    writer: Writer,
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
    changes: Vec<usize>,
}

/// The sequence number of the message that begins a batch; those behind it count up.
const FIRST_SEQUENCE: u32 = 1;

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
        let mut writer = Writer::new();
        let head = Head { kind: Kind::BATCH_BEGIN, flags: 0, sequence: FIRST_SEQUENCE, family: None };
        writer.message(head, |writer| {
            if let Some(expected) = expected {
                generation::emit(writer, expected);
            }
        });
        Self { writer, changes: Vec::new(), pushed: 0, last: 0, unrepresentable: None }
    }

    /// Adds a change; errors name it by its number, counted from 0.
    pub fn push(&mut self, change: &Change) {
        let Change { table: id, action } = change;
        let name = id.name.to_string();
        match action {
            Action::CreateTable { .. } => {
                self.message(*id, Kind::NEW_TABLE, flag::CREATE, |writer| table::emit(writer, &name));
            }
            Action::DeleteTable
            | Action::CreateSet { .. }
            | Action::DeleteSet { .. }
            | Action::AddElements { .. }
            | Action::DeleteElements { .. } => todo!(),
            Action::CreateChain { chain, base } => {
                self.message(*id, Kind::NEW_CHAIN, flag::CREATE, |writer| {
                    chain::emit(writer, &name, chain, base.as_ref());
                });
            }
            Action::Append { chain, rule } => self.new_rule(*id, chain, rule, Place::Last),
            Action::Insert { chain, rule, before } => self.new_rule(*id, chain, rule, Place::Before(*before)),
            Action::Delete { chain, was } => {
                self.message(*id, Kind::DEL_RULE, 0, |writer| rule::emit_handle(writer, &name, chain, was.handle));
            }
            // Without a handle all rules of the chain are meant.
            Action::Flush { chain } => {
                self.message(*id, Kind::DEL_RULE, 0, |writer| rule::emit_chain(writer, &name, chain));
            }
            Action::DeleteChain { chain } => {
                self.message(*id, Kind::DEL_CHAIN, 0, |writer| chain::emit_name(writer, &name, chain));
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
        if let Some(change) = self.unrepresentable {
            return Err(NetlinkError::Unrepresentable { change });
        }
        // One acknowledgement is enough: the kernel sends it once all is committed. Of the frame's own messages
        // kernels differ in whether they acknowledge them.
        if !self.changes.is_empty() {
            self.writer.add_flags(self.last, flag::ACK);
        }
        let sequence = self.next_sequence();
        self.writer.message(Head { kind: Kind::BATCH_END, flags: 0, sequence, family: None }, |_| {});
        Ok(Batch { bytes: self.writer.into_bytes(), changes: self.changes })
    }

    fn new_rule(&mut self, id: TableId, chain: &str, rule: &Rule, place: Place) {
        let expressions = compat::lower(id.family, rule);
        // Without APPEND a rule comes before the position, or first.
        let flags = match place {
            Place::Last => flag::CREATE | flag::APPEND,
            Place::Before(_) => flag::CREATE,
        };
        self.message(id, Kind::NEW_RULE, flags, |writer| {
            rule::emit_chain(writer, &id.name.to_string(), chain);
            rule::emit_content(writer, &expressions, compat::protocol(rule));
            if let Place::Before(before) = place {
                rule::emit_position(writer, before);
            }
        });
    }

    /// Appends a message that stands for the change being pushed.
    fn message(&mut self, id: TableId, kind: Kind, flags: u16, content: impl FnOnce(&mut Writer)) {
        self.last = self.writer.len();
        let head = Head { kind, flags, sequence: self.next_sequence(), family: Some(id.family) };
        self.writer.message(head, content);
        self.changes.push(self.pushed);
        if self.writer.is_overlong() {
            self.unrepresentable.get_or_insert(self.pushed);
        }
    }

    fn next_sequence(&self) -> u32 {
        let messages = u32::try_from(self.changes.len()).unwrap_or(u32::MAX);
        FIRST_SEQUENCE.wrapping_add(1).wrapping_add(messages)
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
        let index = sequence.checked_sub(FIRST_SEQUENCE + 1)?;
        self.changes.get(usize::try_from(index).ok()?).copied()
    }

    /// Does the message with this sequence number carry the batch's one request for an acknowledgement?
    pub(super) fn is_acknowledged_by(&self, sequence: u32) -> bool {
        let last = u32::try_from(self.changes.len()).ok().and_then(|messages| messages.checked_add(FIRST_SEQUENCE));
        !self.is_empty() && last == Some(sequence)
    }
}
