//! The netlink socket.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use netlink_sys::{Socket, SocketAddr};
use netns_cookie::netns_cookie;
use nix::sys::socket::{MsgFlags, getsockopt, setsockopt, sockopt};
use socket2::{SockFilter, SockRef};

use super::message::Kind;
use super::{Connection, NetlinkError, Transport};

/// The kernel's own address.
const KERNEL: u32 = 0;
/// The kernel makes no datagram of a dump larger than 32 KiB (`netlink_dump`), and its other answers are smaller.
const DATAGRAM_LEN: usize = 64 * 1024;
/// What the kernel reserves of a send buffer (`netlink_sendmsg`).
const SEND_RESERVE: usize = 32;

/// The part of the kernel that a socket talks to (`netlink_family` of `netlink(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetlinkFamily {
    /// `NETLINK_ROUTE`: interfaces, their addresses, routes.
    Route,
    /// `NETLINK_NETFILTER`: all subsystems of netfilter.
    Netfilter,
}

/// A netlink socket, bound to the network namespace in which it was opened.
#[derive(Debug)]
pub struct NetlinkSocket {
    socket: Socket,
    /// The address that the kernel gave it.
    port: u32,
    /// The longest datagram that the send buffer takes.
    sendable: usize,
}

impl Connection<NetlinkSocket> {
    /// Opens a socket of this network namespace.
    ///
    /// # Errors
    ///
    /// [`NetlinkError::Unsupported`] if the kernel lacks this part; [`NetlinkError::Io`].
    pub fn open(family: NetlinkFamily) -> Result<Self, NetlinkError> {
        NetlinkSocket::open(family).map(Self::new).map_err(|error| NetlinkError::from_io(error, 0))
    }

    /// The number that no other network namespace has had since the kernel booted.
    ///
    /// # Errors
    ///
    /// That of the system call, which Linux has since 5.14.
    pub(crate) fn namespace_cookie(&self) -> io::Result<u64> {
        netns_cookie(self.transport())
    }
}

impl NetlinkSocket {
    /// A socket of this network namespace.
    ///
    /// # Errors
    ///
    /// Those of the system calls that make and bind it.
    pub fn open(family: NetlinkFamily) -> io::Result<Self> {
        let mut socket = Socket::new(match family {
            NetlinkFamily::Route => NETLINK_ROUTE,
            NetlinkFamily::Netfilter => NETLINK_NETFILTER,
        })?;
        let port = socket.bind_auto()?.port_number();
        // Errors in words, and without the request in them: thousands of errors still fit into the receive buffer.
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        let sendable = sendable(&socket)?;
        Ok(Self { socket, port, sendable })
    }

    /// A socket that hears the announcements of one kind to a multicast group. The kernel filters them before they are
    /// queued: a change of 100,000 elements announces each of them, which would leave no room for anything else.
    pub(crate) fn listening(family: NetlinkFamily, group: u32, kind: Kind) -> io::Result<Self> {
        let listening = Self::open(family)?;
        SockRef::from(&listening.socket).attach_filter(&only(kind))?;
        listening.join(group)?;
        Ok(listening)
    }

    /// Has what is announced to a multicast group queued from now on.
    pub(crate) fn join(&self, group: u32) -> io::Result<()> {
        self.socket.add_membership(group)
    }

    /// Has it queued no more. What is queued stays.
    pub(crate) fn leave(&self, group: u32) -> io::Result<()> {
        self.socket.drop_membership(group)
    }

    /// Makes room for a batch, which has to be one datagram. Where the kernel grants too little, sending says so
    /// (`EMSGSIZE`).
    fn make_room(&mut self, len: usize) -> io::Result<()> {
        if len <= self.sendable {
            return Ok(());
        }
        let wanted = len.saturating_add(SEND_RESERVE);
        // Beyond net.core.wmem_max only with CAP_NET_ADMIN, which may not count inside a user namespace.
        setsockopt(&self.socket, sockopt::SndBufForce, &wanted)
            .or_else(|_| setsockopt(&self.socket, sockopt::SndBuf, &wanted))?;
        self.sendable = sendable(&self.socket)?;
        Ok(())
    }
}

/// A program of the classic BPF (Linux' Documentation/networking/filter.rst): datagrams whose first message is of this
/// kind pass whole, all others are dropped.
fn only(kind: Kind) -> [SockFilter; 4] {
    const LOAD_U16: u16 = 0x28; // BPF_LD | BPF_H | BPF_ABS
    const JUMP_IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    const NLMSG_TYPE_OFFSET: u32 = 4;
    // The program loads in network order what stands there in the host's.
    let kind = u32::from(u16::from_be_bytes(kind.bytes()));
    [
        SockFilter::new(LOAD_U16, 0, 0, NLMSG_TYPE_OFFSET),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, kind),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

fn sendable(socket: &Socket) -> io::Result<usize> {
    Ok(getsockopt(socket, sockopt::SndBuf)?.saturating_sub(SEND_RESERVE))
}

impl Transport for NetlinkSocket {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        self.make_room(datagram.len())?;
        let sent = self.socket.send_to(datagram, &SocketAddr::new(KERNEL, 0), 0)?;
        if sent == datagram.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
        buffer.clear();
        buffer.reserve(DATAGRAM_LEN);
        let (len, sender) = self.socket.recv_from(buffer, flags.bits())?;
        if sender.port_number() != KERNEL {
            // Other processes may send to this socket, too. Such a datagram is returned without messages, so that it is
            // skipped, and counted.
            buffer.clear();
        } else if len > buffer.len() {
            let why = format!("the kernel sent a datagram of {len} bytes; expected at most {DATAGRAM_LEN}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(())
    }

    fn port(&self) -> u32 {
        self.port
    }

    fn receive_buffer(&self) -> usize {
        getsockopt(&self.socket, sockopt::RcvBuf).unwrap_or_default()
    }
}

impl AsRawFd for NetlinkSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl AsFd for NetlinkSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
