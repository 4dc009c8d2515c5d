//! Telling the service manager how far the process is (`sd_notify(3)`).

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::shown::Shown;

/// Where the service manager listens, if one does.
#[derive(Debug, Default)]
pub struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
}

impl ServiceManager {
    /// The one that the environment names (`NOTIFY_SOCKET`): a path, or an abstract address if it begins with `@`.
    ///
    /// # Errors
    ///
    /// If there is such a name, but no way to it.
    pub fn from_environment() -> io::Result<Self> {
        env::var_os("NOTIFY_SOCKET").map_or(Ok(Self::default()), Self::at)
    }

    fn at(name: OsString) -> io::Result<Self> {
        let address = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(name)?,
        };
        Ok(Self { socket: Some((UnixDatagram::unbound()?, address)) })
    }

    /// Does anybody listen?
    #[must_use]
    pub const fn is_present(&self) -> bool {
        self.socket.is_some()
    }

    /// The rules are in force and were read back.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", Shown(status)));
    }

    /// How things are, in one line.
    pub fn status(&self, status: &str) {
        self.tell(&format!("STATUS={}", Shown(status)));
    }

    /// The process is about to end.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// A service manager that does not listen is no reason to do anything else.
    fn tell(&self, state: &str) {
        if let Some((socket, address)) = &self.socket {
            let _ = socket.send_to_addr(state.as_bytes(), address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_manager_is_told_under_a_path_and_under_an_abstract_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let name = format!("ip-masq-agent-test-{}", std::process::id());
        let listeners = [
            (UnixDatagram::bind(&path).unwrap(), path.into_os_string()),
            (
                UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap(),
                format!("@{name}").into(),
            ),
        ];
        for (listener, name) in listeners {
            let manager = ServiceManager::at(name).unwrap();
            manager.ready("all is well");
            manager.status("a file\nMAINPID=1");
            manager.stopping();
            let next = || {
                let mut buffer = [0; 128];
                let len = listener.recv(&mut buffer).unwrap();
                String::from_utf8(buffer[..len].to_vec()).unwrap()
            };
            assert_eq!(next(), "READY=1\nSTATUS=all is well");
            assert_eq!(next(), "STATUS=a file\\nMAINPID=1", "no text from outside adds a field");
            assert_eq!(next(), "STOPPING=1");
        }
    }
}
