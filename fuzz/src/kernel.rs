//! A kernel that keeps what it is told to make, and lists it when asked.

use std::collections::VecDeque;
use std::io;

use ip_masq_agent::netlink::Transport;

use crate::messages::{ACK, Message, acknowledgement, attribute, done, messages};

/// `NFNL_MSG_BATCH_BEGIN` and `NFNL_MSG_BATCH_END`
const FRAME: [u16; 2] = [0x10, 0x11];
/// `NFT_MSG_*` of `nf_tables`; the one that asks for a kind of thing comes after the one that makes it.
const NEW_RULE: u16 = 0x0a06;
const NEW_GEN: u16 = 0x0a0f;
const MAKES: [u16; 5] = [0x0a00, 0x0a03, NEW_RULE, 0x0a09, 0x0a0c];
/// `NFTA_RULE_HANDLE`
const HANDLE: u16 = 3;
/// `NFPROTO_UNSPEC`, of which a request is about all families.
const ALL_FAMILIES: u8 = 0;
/// `NFTA_GEN_ID`
const GENERATION_ID: u16 = 1;

/// It begins empty, in generation 1. Nothing of it can be deleted.
#[derive(Debug, Default)]
pub struct Kernel {
    made: Vec<Message>,
    /// How many transactions were committed.
    commits: u32,
    queue: VecDeque<Vec<u8>>,
}

impl Kernel {
    fn commit(&mut self, batch: Vec<Message>) {
        for mut message in batch {
            if message.flags & ACK != 0 {
                self.queue.push_back(acknowledgement(message.sequence));
            }
            if FRAME.contains(&message.kind) {
                continue;
            }
            assert!(MAKES.contains(&message.kind), "nothing is there that could be changed: {message:x?}");
            if message.kind == NEW_RULE {
                let handle = self.made.len() as u64 + 1;
                message.attributes.extend(attribute(HANDLE, &handle.to_be_bytes()));
            }
            self.made.push(message);
        }
        self.commits += 1;
    }

    fn answer(&mut self, request: &Message) {
        if request.kind == NEW_GEN + 1 {
            let attributes = attribute(GENERATION_ID, &(self.commits + 1).to_be_bytes());
            let generation = Message { kind: NEW_GEN, attributes, ..request.clone() };
            self.queue.extend([generation.answering(request.sequence), acknowledgement(request.sequence)]);
            return;
        }
        let is_of = |thing: &Message| request.family == ALL_FAMILIES || thing.family == request.family;
        let asked_for = |thing: &&Message| thing.kind + 1 == request.kind && is_of(thing);
        self.queue.extend(self.made.iter().filter(asked_for).map(|thing| thing.answering(request.sequence)));
        self.queue.push_back(done(request.sequence));
    }
}

impl Transport for Kernel {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        let messages = messages(datagram);
        match messages.as_slice() {
            [request] => self.answer(request),
            _ => self.commit(messages),
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        *buffer = self.queue.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        Ok(())
    }

    fn port(&self) -> u32 {
        1
    }
}
