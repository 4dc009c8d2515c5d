//! Batches: changes that the kernel commits as a whole or not at all (`NFNL_MSG_BATCH_BEGIN`, `linux/netfilter/nfnetlink.h`).

use super::{Budget, Connection, Received, Transport};
use crate::netlink::NetlinkError;
use crate::netlink::message::{Content, FamilyHeader, Head, Kind, Message, Messages, flag};
use crate::netlink::nfnetlink::{BATCH_BEGIN, BATCH_END, NFNL_BATCH_GENID, Subsystem};
use crate::netlink::wire::Writer;

/// A batch that still takes changes, each of which is one message or several. It has to be sealed before it can be
/// sent.
#[derive(Debug)]
pub(crate) struct BatchWriter {
    writer: Writer,
    subsystem: Subsystem,
    /// The sequence number of the message that begins it; those after it count up.
    first: u32,
    /// For every message after the one that begins the batch, the change to which it belongs.
    changes: Vec<usize>,
    /// How many changes were completed.
    completed: usize,
    /// Where the last message starts.
    last: usize,
    /// The first change that cannot be written down.
    unrepresentable: Option<usize>,
}

/// A complete batch, encoded.
#[derive(Debug)]
pub struct Batch {
    bytes: Vec<u8>,
    first: u32,
    changes: Vec<usize>,
}

impl BatchWriter {
    /// An empty batch with sequence numbers from `first` on. With a generation, the kernel commits only if that is still the
    /// current one, and else answers [`NetlinkError::StaleGeneration`].
    pub(crate) fn begin(subsystem: Subsystem, generation: Option<u32>, first: u32) -> Self {
        let mut writer = Writer::new();
        let head = Head { kind: BATCH_BEGIN, flags: 0, sequence: first, family: subsystem.batch_header() };
        writer.message(head, |writer| {
            if let Some(generation) = generation {
                writer.be32(NFNL_BATCH_GENID, generation);
            }
        });
        Self { writer, subsystem, first, changes: Vec::new(), completed: 0, last: 0, unrepresentable: None }
    }

    /// Appends a message of the change that is being added.
    pub(crate) fn message(&mut self, kind: Kind, family: FamilyHeader, flags: u16, content: impl FnOnce(&mut Writer)) {
        self.last = self.writer.len();
        let head = Head { kind, flags, sequence: self.next_sequence(), family };
        self.writer.message(head, content);
        self.changes.push(self.completed);
        if self.writer.is_overlong() {
            self.unrepresentable.get_or_insert(self.completed);
        }
    }

    /// Completes a change; errors name it by its number, counted from 0.
    pub(crate) fn complete_change(&mut self) {
        self.completed += 1;
    }

    /// Has the kernel send back, once all is committed, what the last message made.
    pub(crate) fn ask_for_echo(&mut self) {
        if !self.changes.is_empty() {
            self.writer.add_flags(self.last, flag::ECHO);
        }
    }

    /// The sequence number that the next message gets.
    pub(crate) fn next_sequence(&self) -> u32 {
        last_of(self.first, &self.changes).wrapping_add(1)
    }

    /// Closes the batch.
    ///
    /// # Errors
    ///
    /// [`NetlinkError::Unrepresentable`] if a change does not fit into a netlink message.
    pub(crate) fn seal(mut self) -> Result<Batch, NetlinkError> {
        self.ask_for_acknowledgement();
        let (sequence, family) = (self.next_sequence(), self.subsystem.batch_header());
        self.writer.message(Head { kind: BATCH_END, flags: 0, sequence, family }, |_| {});
        self.encoded()
    }

    /// Leaves out the message that ends the batch: the kernel then does every change, and takes all of them back
    /// (`nfnetlink_rcv_batch`).
    ///
    /// # Errors
    ///
    /// As [`BatchWriter::seal`].
    pub(crate) fn seal_without_end(mut self) -> Result<Batch, NetlinkError> {
        self.ask_for_acknowledgement();
        self.encoded()
    }

    /// Asks for it with the last change alone, as the kernel answers when all is done. Kernels differ in whether they
    /// acknowledge the two messages that frame the batch.
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
}

impl Batch {
    /// The messages, as they are sent.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether there is nothing to commit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The change to which the message with this sequence number belongs; `None` for the two that frame the batch.
    pub(crate) fn change(&self, sequence: u32) -> Option<usize> {
        let index = sequence.wrapping_sub(self.first).checked_sub(1)?;
        self.changes.get(usize::try_from(index).ok()?).copied()
    }

    /// Whether a message of the batch has this sequence number, the two that frame it among them.
    fn has(&self, sequence: u32) -> bool {
        sequence.wrapping_sub(self.first) <= self.last_sequence().wrapping_sub(self.first)
    }

    /// The sequence number of the message that ends it.
    fn last_sequence(&self) -> u32 {
        last_of(self.first, &self.changes).wrapping_add(1)
    }

    /// Whether the message with this sequence number is the one that asks for an acknowledgement.
    fn is_acknowledged_by(&self, sequence: u32) -> bool {
        !self.is_empty() && last_of(self.first, &self.changes) == sequence
    }
}

/// The sequence number of the last message before the end.
fn last_of(first: u32, changes: &[usize]) -> u32 {
    first.wrapping_add(u32::try_from(changes.len()).unwrap_or(u32::MAX))
}

impl<T: Transport> Connection<T> {
    /// An empty batch whose answers can be told from all that came before, if it is the next thing that is sent.
    pub(crate) fn begin_batch(&self, subsystem: Subsystem, generation: Option<u32>) -> BatchWriter {
        BatchWriter::begin(subsystem, generation, self.sequence.wrapping_add(1))
    }

    /// Commits a batch, as a whole or not at all. An empty one is not sent.
    ///
    /// # Errors
    ///
    /// Any of [`NetlinkError`]. If several changes were refused, the first of them is named. It is not sent again after any
    /// of them: only what is read afterwards tells whether it has to be.
    pub fn commit(&mut self, batch: &Batch) -> Result<(), NetlinkError> {
        self.commit_with_echoes(batch, |_, _, _| {})
    }

    /// The same, where each message that the kernel sends back ([`BatchWriter::ask_for_echo`]) is passed to `echoed`, with the
    /// change that it comes from. Not all that were asked for may come, and the commit may have failed all the same.
    ///
    /// # Errors
    ///
    /// As [`Connection::commit`].
    pub(crate) fn commit_with_echoes(
        &mut self,
        batch: &Batch,
        mut echoed: impl FnMut(usize, Kind, &[u8]),
    ) -> Result<(), NetlinkError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.discard_leftovers()?;
        self.sequence = batch.last_sequence();
        let bytes = batch.as_bytes();
        self.transport.send(bytes).map_err(|error| NetlinkError::from_io(error, bytes.len()))?;
        let (mut acknowledged, mut lost) = (false, false);
        let mut refused = None;
        let mut budget = Budget::STORED;
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
                    Content::Object { kind, payload } => {
                        if let Some(change) = batch.change(sequence) {
                            echoed(change, kind, payload);
                        }
                    }
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
}
