//! The kernel's announcements of commits to the rules of a network namespace (`NFNLGRP_NFTABLES`, `NFT_MSG_NEWGEN`).

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;

use super::codec::generation;
use super::watcher::{Current, OwnCommit, Watcher};
use crate::backend::interface::Heard;
use crate::netlink::{Content, Messages, NetlinkError, NetlinkFamily, NetlinkSocket, Transport, nfnetlink};

/// The multicast group to which the kernel announces every change of nf_tables (`enum nfnetlink_groups`).
const NFNLGRP_NFTABLES: u32 = 7;

/// How many announcements are received at once; the rest stays queued.
const AT_ONCE: usize = 1024;

/// Listens to what others commit. The kernel announces a commit while it makes it, so what was heard has happened.
///
/// As long as the group has a member, in whatever network namespace, the kernel makes a message for each object of every
/// commit there is. So the monitor leaves the group while its own backend commits.
#[derive(Debug)]
pub struct Monitor<T> {
    transport: T,
    /// The port of the socket over which the agent commits.
    own: u32,
    datagram: Vec<u8>,
    /// Whether others committed while it had left the group.
    missed: bool,
    /// Why it could not join the group again.
    failed: Option<io::Error>,
}

/// A socket that can be a member of the group.
pub(super) trait Member {
    /// Has announcements queued from now on.
    fn join(&self) -> io::Result<()>;

    /// Has them queued no more. What is queued stays.
    fn leave(&self) -> io::Result<()>;
}

impl Monitor<NetlinkSocket> {
    /// Begins to listen. `own` is the port of the socket ([`Transport::port`]) whose commits are ignored.
    ///
    /// # Errors
    ///
    /// [`NetlinkError::Unsupported`] if the kernel has no netfilter; [`NetlinkError::Io`].
    pub fn open(own: u32) -> Result<Self, NetlinkError> {
        NetlinkSocket::listening(NetlinkFamily::Netfilter, NFNLGRP_NFTABLES, generation::NEW)
            .map(|socket| Self::new(socket, own))
            .map_err(|error| NetlinkError::from_io(error, 0))
    }
}

impl<T: Transport> Monitor<T> {
    /// Listens on `transport`.
    #[must_use]
    pub const fn new(transport: T, own: u32) -> Self {
        Self { transport, own, datagram: Vec::new(), missed: false, failed: None }
    }

    /// Takes the announcements that are queued, without waiting, and adds those of others to `heard`. `true` if none is left.
    ///
    /// # Errors
    ///
    /// [`NetlinkError::Io`] if the socket fails; the next call may succeed.
    pub fn listen(&mut self, heard: &mut Heard) -> Result<bool, NetlinkError> {
        for _ in 0..AT_ONCE {
            match self.transport.receive(&mut self.datagram) {
                Ok(()) => self.take(heard),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => heard.lost = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(NetlinkError::from_io(error, 0)),
            }
        }
        Ok(false)
    }

    /// An announcement that cannot be read counts as lost: something was committed.
    fn take(&self, heard: &mut Heard) {
        for message in Messages::new(&self.datagram) {
            let Ok(message) = message else {
                heard.lost = true;
                return;
            };
            let Content::Object { kind: generation::NEW, payload } = message.content else { continue };
            if message.port == self.own {
                continue;
            }
            let Ok(attributes) = nfnetlink::attributes(payload) else {
                heard.lost = true;
                return;
            };
            heard.commits += 1;
            if let Some(process) = generation::parse_process(attributes) {
                heard.remember(process);
            }
        }
    }
}

impl<T: AsFd> AsFd for Monitor<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.transport.as_fd()
    }
}

impl<T: Transport + Member + AsFd + fmt::Debug> Watcher for Monitor<T> {
    fn before_commit(&mut self) {
        // A member that cannot leave hears of the own commits too, and ignores them.
        let _ = self.transport.leave();
    }

    fn after_commit(&mut self, own: OwnCommit, current: Current<'_>) {
        // First a member again, then the generation: nothing falls between the two.
        self.failed = self.transport.join().err();
        self.missed |= current() != Some(own.leads_to());
    }

    fn listen(&mut self, heard: &mut Heard) -> Result<bool, NetlinkError> {
        heard.lost |= std::mem::take(&mut self.missed);
        match self.failed.take() {
            Some(error) => Err(NetlinkError::from_io(error, 0)),
            None => Self::listen(self, heard),
        }
    }

    fn is_due(&self) -> bool {
        self.missed || self.failed.is_some()
    }
}

impl Member for NetlinkSocket {
    fn join(&self) -> io::Result<()> {
        Self::join(self, NFNLGRP_NFTABLES)
    }

    fn leave(&self) -> io::Result<()> {
        Self::leave(self, NFNLGRP_NFTABLES)
    }
}

#[cfg(test)]
#[path = "monitor_tests.rs"]
mod tests;
