//! A way to the real kernel on which one thing goes wrong.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use ip_masq_agent::netlink::{NetlinkSocket, Transport};
use nix::errno::Errno;

use crate::bytes;

/// No pass of these tests needs more receives than this: a pass that makes more would never end.
const MOST_RECEIVES: usize = 200_000;
/// How many datagrams an endless answer has: more than are taken for one.
pub(crate) const ENDLESS: usize = 20_000;
/// `NFNL_MSG_BATCH_BEGIN` (`linux/netfilter/nfnetlink.h`).
const BATCH_BEGIN: [u8; 2] = 0x10_u16.to_ne_bytes();

/// What goes wrong, once.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The datagram is not sent.
    NotSent(Errno),
    /// The kernel did what it was sent, and the call fails all the same.
    SentBut(Errno),
    /// The call fails; what is queued stays so. With `EAGAIN`: the answer comes late.
    NotReceived(Errno),
    /// The next datagram is lost, and the call says so (`ENOBUFS`).
    Lost,
    /// The next datagram is lost, without an error.
    Dropped,
    /// The next datagram comes twice.
    Doubled,
    /// The next datagram is another.
    Altered(fn(&mut Vec<u8>, Around)),
    /// Another datagram comes before the next one.
    Inserted(fn(&[u8], Around) -> Vec<u8>),
    /// Another comes before the next one, again and again.
    Endless(fn(&[u8], Around) -> Vec<u8>),
}

/// What an altered datagram may depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Around {
    /// The sequence number of the first message of the last datagram that was sent.
    pub(crate) sequence: u32,
    /// For everything that is left to chance.
    pub(crate) seed: u64,
}

impl Fault {
    pub(crate) const fn is_of_sending(self) -> bool {
        matches!(self, Self::NotSent(_) | Self::SentBut(_))
    }

    /// Whether the fault needs a queued datagram to happen.
    pub(crate) const fn needs_a_datagram(self) -> bool {
        matches!(self, Self::Lost | Self::Dropped | Self::Doubled | Self::Altered(_))
    }
}

/// What was seen of a receive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Receive {
    /// Whether there was a datagram.
    pub(crate) is_datagram: bool,
    /// Whether it was part of the answer to a transaction.
    pub(crate) is_of_batch: bool,
}

/// What is between the agent and the kernel. Others may look in while the agent uses it.
pub(crate) struct Faulty(pub(crate) Rc<RefCell<Wire>>);

pub(crate) struct Wire {
    kernel: NetlinkSocket,
    /// What is done whenever the kernel was sent a transaction.
    after_batch: Box<dyn FnMut()>,
    /// What goes wrong, and at which send or receive from now on, counted from 0.
    fault: Option<(Fault, usize)>,
    around: Around,
    sends: usize,
    /// How many messages asked the kernel to send something back.
    echoes: usize,
    receives: Vec<Receive>,
    /// Whether what was sent last was a transaction.
    is_in_batch: bool,
    /// What comes before anything that the kernel has queued.
    waiting: VecDeque<Vec<u8>>,
}

impl Wire {
    pub(crate) fn new(kernel: NetlinkSocket, after_batch: impl FnMut() + 'static) -> Self {
        Self {
            kernel,
            after_batch: Box::new(after_batch),
            fault: None,
            around: Around { sequence: 0, seed: 0 },
            sends: 0,
            echoes: 0,
            receives: Vec::new(),
            is_in_batch: false,
            waiting: VecDeque::new(),
        }
    }

    /// Counts anew, and lets something go wrong.
    pub(crate) fn arm(&mut self, fault: Option<(Fault, usize)>, seed: u64) {
        (self.fault, self.sends, self.echoes, self.around.seed) = (fault, 0, 0, seed);
        self.receives.clear();
    }

    /// Whether the fault has happened.
    pub(crate) fn has_struck(&self) -> bool {
        self.fault.is_none()
    }

    /// How often something was sent, and what was received.
    pub(crate) fn counted(&self) -> (usize, Vec<Receive>) {
        (self.sends, self.receives.clone())
    }

    /// How many messages asked the kernel to send back what it made of them.
    pub(crate) fn echoes(&self) -> usize {
        self.echoes
    }

    /// The fault that is due at this call.
    fn struck(&mut self, sending: bool, call: usize) -> Option<Fault> {
        let (fault, _) = self.fault.filter(|(fault, at)| fault.is_of_sending() == sending && *at == call)?;
        self.fault = None;
        Some(fault)
    }

    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        let fault = self.struck(true, self.sends);
        self.sends += 1;
        self.around.sequence = bytes::sequence(datagram);
        self.echoes += bytes::echoes(datagram);
        if let Some(Fault::NotSent(errno)) = fault {
            return Err(errno.into());
        }
        self.kernel.send(datagram)?;
        self.is_in_batch = datagram.get(4..6) == Some(&BATCH_BEGIN);
        if self.is_in_batch {
            (self.after_batch)();
        }
        match fault {
            Some(Fault::SentBut(errno)) => Err(errno.into()),
            _ => Ok(()),
        }
    }

    fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        assert!(self.receives.len() < MOST_RECEIVES, "the agent receives for ever");
        let fault = self.struck(false, self.receives.len());
        if let Some(Fault::NotReceived(errno)) = fault {
            self.count(false);
            return Err(errno.into());
        }
        let next = self.next(buffer);
        self.count(next.is_ok());
        let Some(fault) = fault else { return next };
        if next.is_err() {
            assert!(!fault.needs_a_datagram(), "{fault:?}: nothing was queued");
            buffer.clear();
        }
        match fault {
            Fault::Lost => return Err(Errno::ENOBUFS.into()),
            Fault::Dropped => return self.next(buffer),
            Fault::Doubled => self.waiting.push_back(buffer.clone()),
            Fault::Altered(alter) => alter(buffer, self.around),
            Fault::Inserted(insert) => self.before(buffer, insert, 1),
            Fault::Endless(insert) => self.before(buffer, insert, ENDLESS),
            Fault::NotSent(_) | Fault::SentBut(_) | Fault::NotReceived(_) => unreachable!("struck above"),
        }
        Ok(())
    }

    fn count(&mut self, is_datagram: bool) {
        self.receives.push(Receive { is_datagram, is_of_batch: self.is_in_batch });
    }

    fn next(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        match self.waiting.pop_front() {
            Some(datagram) => {
                *buffer = datagram;
                Ok(())
            }
            None => self.kernel.receive(buffer),
        }
    }

    /// Puts other datagrams before the one in the buffer, if there is one.
    fn before(&mut self, buffer: &mut Vec<u8>, insert: fn(&[u8], Around) -> Vec<u8>, times: usize) {
        let inserted = insert(buffer, self.around);
        let real = std::mem::replace(buffer, inserted.clone());
        self.waiting.extend(std::iter::repeat_n(inserted, times - 1));
        self.waiting.extend(Some(real).filter(|real| !real.is_empty()));
    }
}

impl Transport for Faulty {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        self.0.borrow_mut().send(datagram)
    }

    fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        self.0.borrow_mut().receive(buffer)
    }

    fn port(&self) -> u32 {
        self.0.borrow().kernel.port()
    }
}
