//! Messages as if a kernel had dumped them.

use std::io;

use ip_masq_agent::netlink::Transport;

/// Answers every request with these messages, as the whole of a dump.
pub(crate) struct Replay {
    messages: Vec<Vec<u8>>,
    answer: Option<Vec<u8>>,
}

impl Replay {
    pub(crate) fn new(messages: Vec<Vec<u8>>) -> Self {
        Self { messages, answer: None }
    }
}

impl Transport for Replay {
    fn send(&mut self, request: &[u8]) -> io::Result<()> {
        const DONE: [u8; 20] = [20, 0, 0, 0, 3, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let mut answer = Vec::new();
        for message in self.messages.iter().map(Vec::as_slice).chain([&DONE[..]]) {
            answer.extend_from_slice(&message[..8]);
            answer.extend_from_slice(&request[8..12]);
            answer.extend_from_slice(&message[12..]);
        }
        self.answer = Some(answer);
        Ok(())
    }

    fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        *buffer = self.answer.take().ok_or(io::ErrorKind::WouldBlock)?;
        Ok(())
    }

    fn port(&self) -> u32 {
        1
    }
}
