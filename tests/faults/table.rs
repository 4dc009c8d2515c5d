//! What can go wrong, and what is promised then.

use nix::errno::Errno;

use crate::bytes;
use crate::faulty::Fault;

/// What is promised, beyond that the next pass ends with the new rules and that nothing panics or goes on forever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// The same pass ends with the new rules. Until then each commit leads from the old ones towards them.
    SamePass,
    /// The pass may end with an error. The old rules stand, or the new ones, or a step of the way.
    NextPass,
    /// What no kernel does: the answer is well-formed and untrue. The next pass ends with the new rules.
    Lie,
}

/// How many points there are for what goes another way with each number.
const SEEDS: usize = 3;

/// A row of the table.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) fault: Fault,
    pub(crate) promise: Promise,
    /// How often it is tried at each place.
    pub(crate) times: usize,
    /// It is tried at each place of so many.
    pub(crate) stride: usize,
}

const fn row(name: &'static str, fault: Fault, promise: Promise) -> Row {
    Row { name, fault, promise, times: 1, stride: 1 }
}

use Fault::{Altered, Doubled, Dropped, Endless, Inserted, Lost, NotReceived, NotSent, SentBut};
use Promise::{Lie, NextPass, SamePass};

pub(crate) const FAULTS: [Row; 43] = [
    row("send: EINTR", NotSent(Errno::EINTR), SamePass),
    row("send: EAGAIN", NotSent(Errno::EAGAIN), SamePass),
    row("send: ENOBUFS", NotSent(Errno::ENOBUFS), SamePass),
    row("send: ENOMEM", NotSent(Errno::ENOMEM), SamePass),
    row("send: EPERM", NotSent(Errno::EPERM), NextPass),
    row("send: EMSGSIZE", NotSent(Errno::EMSGSIZE), NextPass),
    row("sent, but EINTR", SentBut(Errno::EINTR), SamePass),
    row("sent, but EIO", SentBut(Errno::EIO), SamePass),
    row("sent, but EPERM", SentBut(Errno::EPERM), NextPass),
    row("receive: EINTR", NotReceived(Errno::EINTR), SamePass),
    row("receive: EIO", NotReceived(Errno::EIO), SamePass),
    row("an answer comes late", NotReceived(Errno::EAGAIN), SamePass),
    row("ENOBUFS, nothing lost", NotReceived(Errno::ENOBUFS), SamePass),
    row("ENOBUFS, a datagram lost", Lost, SamePass),
    row("a dump was overtaken", Altered(bytes::inconsistent), SamePass),
    row("ERESTART", Altered(bytes::stale), SamePass),
    row("EINTR", Altered(bytes::interrupted), SamePass),
    row("ENOMEM", Altered(bytes::no_memory), SamePass),
    row("EBUSY", Altered(bytes::busy), SamePass),
    row("EPERM", Altered(bytes::denied), NextPass),
    row("overrun", Inserted(bytes::overrun), SamePass),
    row("an answer to another request", Inserted(bytes::of_another_request), SamePass),
    row("a message of another subsystem", Inserted(bytes::of_another_subsystem), SamePass),
    row("an empty datagram", Inserted(bytes::empty), SamePass),
    row("a table that is none", Inserted(bytes::hostile_table), SamePass),
    row("cut in its header", Altered(bytes::cut_in_its_header), SamePass),
    row("cut behind its header", Altered(bytes::cut_behind_its_header), SamePass),
    row("cut in an attribute", Altered(bytes::cut_in_an_attribute), SamePass),
    row("cut in half", Altered(bytes::cut_in_half), SamePass),
    row("cut at its end", Altered(bytes::cut_at_its_end), SamePass),
    row("a message of 4 GiB", Altered(bytes::huge), SamePass),
    row("a message of no length", Altered(bytes::without_length), SamePass),
    Row { stride: 16, ..row("an endless dump", Endless(bytes::hostile_table), NextPass) },
    Row { stride: 16, ..row("endless answers to others", Endless(bytes::of_another_request), NextPass) },
    Row { stride: 16, ..row("endless empty datagrams", Endless(bytes::empty), NextPass) },
    row("a datagram dropped", Dropped, Lie),
    row("a datagram doubled", Doubled, Lie),
    row("the end too early", Inserted(bytes::done), Lie),
    row("another sequence number", Altered(bytes::misnumbered), Lie),
    row("another subsystem", Altered(bytes::misdirected), Lie),
    row("a name that is no UTF-8", Altered(bytes::renamed), Lie),
    Row { times: SEEDS, ..row("a lying length", Altered(bytes::with_a_lying_length), Lie) },
    Row { times: SEEDS, ..row("flipped bits", Altered(bytes::flipped), Lie) },
];
