//! The sockets of the kernel in memory: they take what is sent to it and queue what it answers.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::rc::Rc;

use nix::errno::Errno;

use super::answer::{answer, done, echo, list, object};
use super::request::{Asked, BATCH_END, NAME, asked, change, generation_of};
use super::{Memory, Refused, Trouble, port_of};
use crate::backend::nftables::codec::{element, generation, rule, table};
use crate::backend::nftables::memory::Place;
use crate::backend::nftables::monitor::Member;
use crate::backend::nftables::{LONG, Monitor, ObservedTable, Plan};
use crate::netlink::{Attributes, NetlinkError, Transport, flag};

/// Where the fields of `struct nlmsghdr` are, and how long it is.
pub(super) const FLAGS_AT: usize = 6;
pub(super) const SEQUENCE_AT: usize = 8;
pub(super) const PORT_AT: usize = 12;
pub(super) const HEADER_LEN: usize = 16;
/// `NFTA_*` that only the kernel writes.
const NFTA_GEN_ID: u16 = 1;
const NFTA_GEN_PROC_PID: u16 = 2;
const NFTA_GEN_PROC_NAME: u16 = 3;

/// Where the announcements for a listening socket are sent.
#[derive(Clone, Debug)]
pub(crate) struct Announcements {
    sender: Rc<UnixDatagram>,
    /// Whether the socket is a member of the group.
    is_member: Rc<Cell<bool>>,
}

/// A netlink socket.
#[derive(Debug)]
pub(crate) struct Socket {
    kernel: Rc<RefCell<Memory>>,
    port: u32,
    queue: VecDeque<Vec<u8>>,
}

/// A socket that receives the announcements of commits.
#[derive(Debug)]
pub(super) struct Listening {
    kernel: Rc<RefCell<Memory>>,
    announcements: UnixDatagram,
    is_member: Rc<Cell<bool>>,
}

impl Socket {
    pub(super) fn open(kernel: Rc<RefCell<Memory>>) -> Self {
        kernel.borrow_mut().sockets += 1;
        let port = kernel.borrow().sockets;
        Self { kernel, port, queue: VecDeque::new() }
    }

    pub(super) fn place(&self) -> Option<Place> {
        self.kernel.borrow().place.clone()
    }

    /// Begins to listen to commits over other sockets.
    pub(super) fn announcements(&self) -> Result<Monitor<Listening>, NetlinkError> {
        let (sender, announcements) = UnixDatagram::pair().unwrap();
        sender.set_nonblocking(true).unwrap();
        announcements.set_nonblocking(true).unwrap();
        let is_member = Rc::new(Cell::new(false));
        let listening = Listening { kernel: Rc::clone(&self.kernel), announcements, is_member: Rc::clone(&is_member) };
        listening.join().map_err(|error| NetlinkError::from_io(error, 0))?;
        self.kernel.borrow_mut().announcements.push(Announcements { sender: Rc::new(sender), is_member });
        Ok(Monitor::new(listening, self.port))
    }

    /// Another socket to the same kernel.
    pub(super) fn another(&self) -> Self {
        Self::open(Rc::clone(&self.kernel))
    }

    fn question(&mut self, asked: &Asked<'_>) -> io::Result<()> {
        let mut memory = self.kernel.borrow_mut();
        if memory.ignores_questions {
            return Ok(());
        }
        memory.readings += usize::from(asked.kind == table::GET && asked.family.is_none());
        let mut trouble = None;
        if asked.kind != generation::GET
            && let Some((looks, next)) = memory.looks
            && memory.readings > looks
        {
            trouble = Some(next);
        }
        let answer = if asked.kind == generation::GET {
            let generation = memory.state.generation;
            vec![
                object(asked, generation::NEW, |writer| writer.be32(NFTA_GEN_ID, generation.0)),
                answer(asked.sequence, 0, ""),
            ]
        } else {
            let mut listed = list(&memory, asked);
            let is_long = match asked.kind {
                rule::GET => listed.len() >= LONG,
                element::GET => {
                    let tables = memory.state.tables.iter().filter(|table| Some(table.id.family) == asked.family);
                    let set =
                        tables.flat_map(|table| &table.sets).find(|set| asked.text(NAME).as_ref() == Some(&set.name));
                    set.is_some_and(|set| set.elements.len() >= LONG)
                }
                _ => false,
            };
            memory.long_listings += usize::from(is_long);
            listed.push(done(asked.sequence));
            listed
        };
        if asked.kind == table::GET
            && let Some(commit) = memory.while_listing.take()
        {
            commit(&mut memory);
        }
        drop(memory);
        self.answer(trouble, answer, &[asked.sequence])
    }

    fn transaction(&mut self, messages: &[Asked<'_>]) -> io::Result<()> {
        let mut memory = self.kernel.borrow_mut();
        memory.sent += 1;
        if memory.ignores_changes {
            return Ok(());
        }
        let trouble = memory.troubles.pop_front();
        let (expected, is_whole, changes) = match messages {
            [begin, changes @ .., end] if end.kind == BATCH_END => (generation_of(begin), true, changes),
            [begin, changes @ ..] => (generation_of(begin), false, changes),
            [] => panic!("an empty transaction is sent"),
        };
        let mut plan = Plan::default();
        for message in changes {
            let change = change(&memory, &plan, message);
            plan.changes.push(change);
        }
        memory.new_rules.clear();
        let result = match trouble {
            Some((false, _)) => Ok(()),
            _ if is_whole => memory.transact(&plan, expected, self.port),
            _ => memory.try_out(&plan, self.port).map(drop),
        };
        let sequences: Vec<u32> = messages.iter().map(|message| message.sequence).collect();
        let asked = messages.iter().find(|message| message.flags & flag::ACK != 0).map(|message| message.sequence);
        let mut answers: Vec<Vec<u8>> = Vec::new();
        if let Err(Refused { change, errno, text }) = result {
            let sequence = sequences[change.map_or(0, |index| index + 1)];
            answers.push(answer(sequence, errno as i32, text));
        } else if is_whole {
            let mut echoes = echoes(&memory, changes);
            memory.echoes += echoes.len();
            if let Some(spoil) = memory.spoils_echoes {
                spoil(&mut echoes);
            }
            answers.extend(echoes);
        }
        // The kernel also acknowledges what it then rolls back.
        answers.extend(asked.map(|sequence| answer(sequence, 0, "")));
        drop(memory);
        self.answer(trouble.map(|(_, trouble)| trouble), answers, &sequences)
    }

    /// Queues an answer to the messages with these sequence numbers, or what the trouble puts in its place.
    fn answer(&mut self, trouble: Option<Trouble>, answers: Vec<Vec<u8>>, sequences: &[u32]) -> io::Result<()> {
        match trouble {
            None => self.queue.extend(answers),
            Some(Trouble::Lost) => {}
            Some(Trouble::Garbled) => self.queue.push_back(vec![0; 3]),
            Some(Trouble::Endless) => self.queue.extend(vec![answer(u32::MAX, 0, ""); 20_000]),
            Some(Trouble::Overtaken) => self.queue.extend(answers.into_iter().map(|mut answer| {
                let flags = u16::from_ne_bytes([answer[FLAGS_AT], answer[FLAGS_AT + 1]]) | flag::DUMP_INTR;
                answer[FLAGS_AT..FLAGS_AT + 2].copy_from_slice(&flags.to_ne_bytes());
                answer
            })),
            Some(Trouble::Refused(change, errno)) => {
                let sequence = sequences[change.map_or(0, |index| index + 1)];
                self.queue.push_back(answer(sequence, errno as i32, ""));
            }
            Some(Trouble::Unsendable(errno)) => return Err(errno.into()),
        }
        Ok(())
    }
}

/// What is sent back of the messages of a transaction that ask for it, before they are acknowledged (`nft_commit_notify`).
fn echoes(memory: &Memory, changes: &[Asked<'_>]) -> Vec<Vec<u8>> {
    let asking = changes.iter().enumerate().filter(|(_, message)| message.flags & flag::ECHO != 0);
    let made = asking.filter_map(|(number, message)| Some((message, memory.new_rules.get(&number)?)));
    made.map(|(message, (table, chain, rule))| echo(message, *table, chain, rule)).collect()
}

impl Transport for Socket {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        let messages = asked(datagram);
        match messages.as_slice() {
            [question] => self.question(question),
            transaction => self.transaction(transaction),
        }
    }

    fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        *buffer = self.queue.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        Ok(())
    }

    fn port(&self) -> u32 {
        self.port
    }
}

impl Drop for Socket {
    /// Protected tables outlive their owner.
    fn drop(&mut self) {
        let mut memory = self.kernel.borrow_mut();
        let owned = |table: &&mut ObservedTable| table.owner.is_some_and(|owner| port_of(owner) == self.port);
        memory.state.tables.iter_mut().filter(owned).for_each(|table| table.owner = None);
    }
}

impl Transport for Listening {
    fn send(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        buffer.resize(1_024, 0);
        let len = self.announcements.recv(buffer)?;
        buffer.truncate(len);
        Ok(())
    }

    fn port(&self) -> u32 {
        0
    }
}

impl Member for Listening {
    fn join(&self) -> io::Result<()> {
        let mut kernel = self.kernel.borrow_mut();
        if let Some(left) = kernel.refuses_listeners.checked_sub(1) {
            kernel.refuses_listeners = left;
            return Err(Errno::ENOBUFS.into());
        }
        self.is_member.set(true);
        Ok(())
    }

    fn leave(&self) -> io::Result<()> {
        self.is_member.set(false);
        Ok(())
    }
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.announcements.as_fd()
    }
}

impl Memory {
    /// Announces to all listening sockets that this socket has committed.
    pub(super) fn announce(&self, port: u32) {
        let asked =
            Asked { kind: generation::GET, flags: 0, sequence: 0, family: None, attributes: Attributes::new(&[]) };
        let mut announcement = object(&asked, generation::NEW, |writer| {
            writer.be32(NFTA_GEN_ID, self.state.generation.0);
            writer.be32(NFTA_GEN_PROC_PID, port);
            writer.text(NFTA_GEN_PROC_NAME, "socket");
        });
        announcement[PORT_AT..HEADER_LEN].copy_from_slice(&port.to_ne_bytes());
        for listener in self.announcements.iter().filter(|listener| listener.is_member.get()) {
            // Of a listener that is gone, or whose queue is full, the kernel takes no notice either.
            let _ = listener.sender.send(&announcement);
        }
    }
}
