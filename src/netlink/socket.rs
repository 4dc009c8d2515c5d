//! The netlink socket: the only I/O of the codec.

use std::io;

use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use nix::sys::socket::{MsgFlags, getsockopt, setsockopt, sockopt};

use super::{Connection, NetlinkError, Transport};

/// The kernel's own address.
const KERNEL: u32 = 0;
/// The kernel makes no datagram of a dump larger than 32 KiB (`netlink_dump`), and its other answers are smaller.
const DATAGRAM_LEN: usize = 64 * 1024;
/// What the kernel keeps back of a send buffer (`netlink_sendmsg`).
const SEND_RESERVE: usize = 32;

/// A socket of the netfilter subsystem, bound to the network namespace in which it was opened.
#[derive(Debug)]
pub struct NetlinkSocket {
    socket: Socket,
    /// The address that the kernel gave it.
    port: u32,
    /// The longest datagram that the send buffer takes.
    sendable: usize,
}

impl Connection<NetlinkSocket> {
    /// Opens a socket to the kernel of this network namespace.
    ///
    /// # Errors
    ///
    /// [`NetlinkError::Unsupported`] if the kernel has no netfilter; [`NetlinkError::Io`].
    pub fn open() -> Result<Self, NetlinkError> {
        NetlinkSocket::open().map(Self::new).map_err(|error| NetlinkError::from_io(error, 0))
    }
}

impl NetlinkSocket {
    /// A socket to the kernel of this network namespace.
    ///
    /// # Errors
    ///
    /// Those of the system calls that make and bind it.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        let port = socket.bind_auto()?.port_number();
        // Errors in words, and without the request in them: thousands of errors still fit into the receive buffer.
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        let sendable = sendable(&socket)?;
        Ok(Self { socket, port, sendable })
    }

    /// Makes room for a transaction, which has to be one datagram. Where the kernel grants too little, sending says so
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
        loop {
            buffer.clear();
            buffer.reserve(DATAGRAM_LEN);
            let (len, sender) = self.socket.recv_from(buffer, flags.bits())?;
            // Other processes may send to this socket, too.
            if sender.port_number() != KERNEL {
                continue;
            }
            if len > buffer.len() {
                let why = format!("the kernel sent a datagram of {len} bytes; expected at most {DATAGRAM_LEN}");
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            return Ok(());
        }
    }
    fn port(&self) -> u32 {
        self.port
    }
}
