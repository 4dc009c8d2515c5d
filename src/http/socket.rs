//! The Unix socket (`--status-socket`).

use std::fmt;
use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{SocketAddr, UnixListener as StdListener};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nix::sys::stat::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};
use thiserror::Error;
use tokio::net::UnixListener;

/// Only the agent's own user may ask.
const MODE: Mode = Mode::from_bits_truncate(0o600);
/// So many clients may wait to be accepted.
const BACKLOG: i32 = 128;

/// A path that a socket can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketPath(PathBuf);

/// What tells the socket that was made from one that takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SocketId {
    device: u64,
    inode: u64,
}

/// Why a path cannot be that of a socket.
#[derive(Debug, Error)]
#[error("{0}; expected a path of at most 107 bytes, such as /run/ip-masq-agent/agent.sock")]
pub struct SocketPathError(io::Error);

impl SocketPath {
    /// The socket at this path, which need not be there.
    ///
    /// # Errors
    ///
    /// [`SocketPathError`], if no socket can have it.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self, SocketPathError> {
        let path = path.into();
        if path.as_os_str().is_empty() {
            return Err(SocketPathError(io::Error::other("the path is empty")));
        }
        SocketAddr::from_pathname(&path).map_err(SocketPathError)?;
        Ok(Self(path))
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Listens there. A socket that is there already is replaced if nobody listens to it.
    pub(super) fn listen(&self) -> io::Result<(UnixListener, SocketId)> {
        if let Some(parent) = self.0.parent() {
            match DirBuilder::new().mode(0o755).create(parent) {
                Err(error) if !parent.is_dir() => return Err(error),
                _ => {}
            }
        }
        let is_left_over = match fs::symlink_metadata(&self.0) {
            Ok(there) if !there.file_type().is_socket() => {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is there, and no socket"));
            }
            Ok(_) => true,
            Err(_) => false,
        };
        if is_left_over {
            // Who listens and has no room for another client is there all the same, and is not waited for.
            match stream()?.connect(&SockAddr::unix(&self.0)?) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(&self.0)?,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
            }
        }
        let socket = stream()?;
        // Before it has a name: nobody else can open it in between.
        fchmod(&socket, MODE)?;
        socket.bind(&SockAddr::unix(&self.0)?)?;
        socket.listen(BACKLOG)?;
        let id = SocketId::of(&fs::symlink_metadata(&self.0)?);
        Ok((UnixListener::from_std(StdListener::from(socket))?, id))
    }

    /// Removes the socket, if it is still this one.
    pub(super) fn remove(&self, id: SocketId) {
        if fs::symlink_metadata(&self.0).is_ok_and(|there| SocketId::of(&there) == id) {
            let _ = fs::remove_file(&self.0);
        }
    }
}

fn stream() -> io::Result<Socket> {
    Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)
}

impl SocketId {
    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

impl FromStr for SocketPath {
    type Err = SocketPathError;

    fn from_str(text: &str) -> Result<Self, SocketPathError> {
        Self::new(text)
    }
}

impl fmt::Display for SocketPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}
