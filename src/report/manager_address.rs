//! Where the service manager listens.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram as StdDatagram};

use tokio::net::UnixDatagram;

/// The variable that names it.
const SOCKET: &str = "NOTIFY_SOCKET";

/// The address of the service manager's socket.
#[derive(Clone, Debug)]
pub struct ManagerAddress(SocketAddr);

impl ManagerAddress {
    /// The one that the environment names (`NOTIFY_SOCKET`), if it does.
    ///
    /// # Errors
    ///
    /// If that is no name of a socket.
    pub fn from_environment() -> io::Result<Option<Self>> {
        let name = env::var_os(SOCKET).filter(|name| *name != OsString::new());
        name.map(|name| Self::parse(&name)).transpose()
    }

    /// A path, or an abstract address if it begins with `@`.
    pub(crate) fn parse(name: &OsStr) -> io::Result<Self> {
        match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
            _ => SocketAddr::from_pathname(name),
        }
        .map(Self)
    }

    /// A socket that is connected to it, for a thread that may wait.
    pub(crate) fn connect_blocking(&self) -> io::Result<StdDatagram> {
        let socket = StdDatagram::unbound()?;
        socket.connect_addr(&self.0)?;
        Ok(socket)
    }

    /// A socket that is connected to it and does not block.
    pub(super) fn connect(&self) -> io::Result<UnixDatagram> {
        let socket = self.connect_blocking()?;
        socket.set_nonblocking(true)?;
        UnixDatagram::from_std(socket)
    }
}
