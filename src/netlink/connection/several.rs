//! Requests that go to the kernel together, each of which it does or refuses by itself.

use nix::errno::Errno;

use super::{Budget, Connection, End, Received, Transport};
use crate::netlink::NetlinkError;
use crate::netlink::message::{Content, FamilyHeader, Head, Kind, Messages, flag};
use crate::netlink::wire::Writer;

/// Requests in one datagram. They are no transaction: some may be done and others refused.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    writer: Writer,
    /// Where each begins.
    starts: Vec<usize>,
}

impl Requests {
    /// Appends a request, of which the kernel is to say only if it fails.
    pub(crate) fn add(&mut self, kind: Kind, family: FamilyHeader, content: impl FnOnce(&mut Writer)) {
        self.starts.push(self.writer.len());
        self.writer.message(Head { kind, flags: 0, sequence: 0, family }, content);
    }

    pub(crate) const fn len(&self) -> usize {
        self.starts.len()
    }

    pub(crate) fn clear(&mut self) {
        self.writer.clear();
        self.starts.clear();
    }

    /// Gives them numbers from `first` on. The last one asks for an acknowledgement, which comes behind all failures.
    fn complete(&mut self, first: u32) {
        let mut sequence = first;
        for start in &self.starts {
            self.writer.set_sequence(*start, sequence);
            sequence = sequence.wrapping_add(1);
        }
        if let Some(last) = self.starts.last() {
            self.writer.add_flags(*last, flag::ACK);
        }
    }
}

impl<T: Transport> Connection<T> {
    /// Sends the requests, and passes the place of each that failed to `failed`: those that are not named were done, if
    /// the answer is [`End::Whole`]. It is [`End::Interrupted`] if reports of failures were lost, and then all may be sent
    /// again.
    ///
    /// Each failure takes room in the receive buffer. The smallest one that a kernel gives by itself has room for more than
    /// a hundred.
    ///
    /// # Errors
    ///
    /// [`NetlinkError`], if the exchange failed as a whole.
    pub(crate) fn exchange_several(
        &mut self,
        requests: &mut Requests,
        mut failed: impl FnMut(usize, Result<End, NetlinkError>),
    ) -> Result<End, NetlinkError> {
        let Some(last) = requests.len().checked_sub(1) else { return Ok(End::Whole) };
        self.discard_leftovers()?;
        let first = self.sequence.wrapping_add(1);
        requests.complete(first);
        let place = |sequence: u32| usize::try_from(sequence.wrapping_sub(first)).unwrap_or(usize::MAX);
        // As many as fit into a datagram are far fewer than there are numbers.
        self.sequence = first.wrapping_add(u32::try_from(last).unwrap_or(u32::MAX));
        let bytes = requests.writer.bytes();
        self.transport.send(bytes).map_err(|error| NetlinkError::from_io(error, bytes.len()))?;
        let mut budget = Budget::HANDED_ON;
        loop {
            match self.receive(&mut budget)? {
                Received::Datagram => {}
                Received::Nothing => return Err(NetlinkError::NoAnswer),
                Received::Lost => return Ok(End::Interrupted),
            }
            for message in Messages::new(&self.answer) {
                let message = message?;
                let place = place(message.sequence);
                match message.content {
                    Content::Overrun => return Ok(End::Interrupted),
                    Content::Answer(report) if place <= last => {
                        match report.error() {
                            None => {}
                            Some(Errno::ENOENT) => failed(place, Ok(End::Missing)),
                            Some(errno) => failed(place, Err(NetlinkError::from_report(errno, &report, None))),
                        }
                        if place == last {
                            return Ok(End::Whole);
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}
