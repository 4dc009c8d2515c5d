//! A socket that hears of nf_tables' commits, as `nft monitor` has one.

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt, socket, sockopt,
};

use crate::namespace::Namespace;

/// The bit of `NFNLGRP_NFTABLES`, which is group 7.
const GROUP: u32 = 1 << 6;
/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN`: the last message of every commit.
const NEW_GENERATION: u16 = 10 << 8 | 15;
/// Enough for what the kernel says of a commit of 100,000 elements.
const BUFFER: usize = 256 << 20;

/// Hears of the commits in one network namespace.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    /// The port of a socket whose commits do not count.
    ignored: Option<u32>,
    buffer: Vec<u8>,
}

impl Listener {
    /// Begins to listen in a namespace.
    pub fn open(namespace: &Namespace, ignored: Option<u32>) -> Result<Self> {
        let socket = namespace.inside(|| {
            let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
            let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkNetFilter)?;
            setsockopt(&socket, sockopt::RcvBufForce, &BUFFER)?;
            bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUP)).context("listening to nf_tables' commits")?;
            Ok(socket)
        })?;
        Ok(Self { socket, ignored, buffer: vec![0; 1 << 16] })
    }

    /// The commits that were announced, without waiting.
    pub fn announced(&mut self) -> Result<usize> {
        let mut commits = 0;
        loop {
            match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                Ok(length) => commits += self.buffer.get(..length).map_or(0, |datagram| self.commits(datagram)),
                Err(Errno::EAGAIN) => return Ok(commits),
                // Lost messages: the buffer was full.
                Err(Errno::EINTR | Errno::ENOBUFS) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for a message, so long at most; `false` if there was none.
    pub fn wait(&self, at_most: Duration) -> Result<bool> {
        let readable = PollFd::new(self.socket.as_fd(), PollFlags::POLLIN);
        Ok(poll(&mut [readable], PollTimeout::try_from(at_most)?)? > 0)
    }

    /// Waits for a commit, and for its successors until there was none for `silence`. Tells when the last one was announced.
    pub fn last_of_burst(&mut self, silence: Duration) -> Result<Instant> {
        let give_up = Instant::now() + Duration::from_secs(20);
        let mut last = None;
        loop {
            let heard = self.wait(silence)? && self.announced()? > 0;
            let now = Instant::now();
            match last {
                _ if heard => last = Some(now),
                Some(last) if now.duration_since(last) >= silence => return Ok(last),
                None if now > give_up => anyhow::bail!("nobody has committed anything for 20 s"),
                _ => {}
            }
        }
    }

    fn commits(&self, datagram: &[u8]) -> usize {
        commits(datagram).filter(|port| Some(*port) != self.ignored).count()
    }
}

/// The port of the socket of each commit whose end a datagram announces.
fn commits(mut rest: &[u8]) -> impl Iterator<Item = u32> {
    const HEADER: usize = 16;
    std::iter::from_fn(move || {
        while let Some((header, _)) = rest.split_first_chunk::<HEADER>() {
            let [l0, l1, l2, l3, k0, k1, _, _, _, _, _, _, p0, p1, p2, p3] = *header;
            let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).ok()?.max(HEADER);
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            if u16::from_ne_bytes([k0, k1]) == NEW_GENERATION {
                return Some(u32::from_ne_bytes([p0, p1, p2, p3]));
            }
        }
        None
    })
}

/// A listener that reads all that it hears, on a thread of its own, and does nothing with it. It ends with the value.
#[derive(Debug)]
pub struct Foreign {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Foreign {
    /// Listens in a namespace of its own. The kernel makes its messages for it as soon as there is a member of the group in
    /// any namespace.
    pub fn new() -> Result<Self> {
        let namespace = Namespace::new()?;
        let mut listener = Listener::open(&namespace, None)?;
        let end = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&end);
        let thread = thread::spawn(move || {
            let _namespace = namespace;
            while !ended.load(Ordering::Relaxed) && listener.wait(Duration::from_millis(20)).is_ok() {
                if listener.announced().is_err() {
                    return;
                }
            }
        });
        Ok(Self { end, thread: Some(thread) })
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        // It can only have panicked, which it has said.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, port: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(16 + payload.len()).unwrap_or(0);
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 6]);
        bytes.extend(port.to_ne_bytes());
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn the_end_of_each_commit_is_told_by_whom() {
        let datagram =
            [message(NEW_GENERATION, 7, &[1, 2, 3]), message(10 << 8, 7, &[0; 8]), message(NEW_GENERATION, 8, &[])];
        let datagram = datagram.concat();
        assert_eq!(commits(&datagram).collect::<Vec<_>>(), [7, 8]);
        // Whatever is cut off, or says that it has no length.
        for length in 0..datagram.len() {
            assert!(commits(datagram.get(..length).unwrap_or_default()).count() <= 2);
        }
        assert_eq!(commits(&[0; 64]).count(), 0);
    }
}
