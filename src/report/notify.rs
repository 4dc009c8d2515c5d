//! Telling the service manager how far the process is (`sd_notify(3)`).
//!
//! The service manager's socket may be full, if the service manager does not read it for a while. So only the latest
//! state is remembered, and sent as soon as there is room; nothing waits for that.

use std::convert::Infallible;
use std::env;
use std::ffi::OsString;
use std::future;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram as StdDatagram};

use socket2::SockRef;
use tokio::net::UnixDatagram;

use super::status::status;
use super::{Observer, PassReport, Report};
use crate::text::Shown;

/// Where the service manager listens, if one does, and what it is to know.
#[derive(Debug, Default)]
pub struct ServiceManager {
    address: Option<SocketAddr>,
    /// Connected to that address. `None` where that failed: it is tried again for each thing that there is to tell.
    socket: Option<UnixDatagram>,
    wanted: State,
    told: State,
}

/// How far the process is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    is_ready: bool,
    status: String,
    is_stopping: bool,
}

impl Observer for ServiceManager {
    fn observe(&mut self, report: &Report, _: u64) {
        match report {
            Report::Pass(report) => self.passed(report),
            Report::Stopping(_) => self.stopping(),
            Report::Flows { .. } | Report::Save(_) => {}
        }
    }
}

impl ServiceManager {
    /// The one that the environment names (`NOTIFY_SOCKET`): a path, or an abstract address if it begins with `@`.
    ///
    /// # Errors
    ///
    /// If that is no name of a socket.
    pub fn from_environment() -> io::Result<Self> {
        env::var_os("NOTIFY_SOCKET").map_or(Ok(Self::default()), Self::at)
    }

    fn at(name: OsString) -> io::Result<Self> {
        let address = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(name)?,
        };
        Ok(Self { address: Some(address), ..Self::default() })
    }

    /// What it is told after a pass, for tests.
    #[cfg(test)]
    pub(crate) fn status_after(report: &PassReport) -> String {
        status(report)
    }

    /// Whether there is a service manager.
    #[must_use]
    pub const fn is_present(&self) -> bool {
        self.address.is_some()
    }

    /// Tells how things are after a pass. The agent is ready once rules were read back as being in force, be it those
    /// of one family: if the manager ended it because of the other one, these would not be repaired any more.
    fn passed(&mut self, report: &PassReport) {
        self.wanted.is_ready |= report.is_partly_in_force();
        self.status(&status(report));
    }

    /// How things are, in one line.
    fn status(&mut self, status: &str) {
        status.clone_into(&mut self.wanted.status);
        self.tell();
    }

    /// The process is about to end.
    fn stopping(&mut self) {
        self.wanted.is_stopping = true;
        self.tell();
    }

    /// Tells what could not be told so far, whenever there is room. Never completes; dropping the future loses nothing.
    /// To be polled in a runtime, as all of this.
    pub async fn catch_up(&mut self) -> Infallible {
        // The service manager may listen again by now.
        self.tell();
        while let (Some(socket), Some(message)) = (&self.socket, message(&self.told, &self.wanted)) {
            let sent = match socket.writable().await {
                Ok(()) => socket.try_send(message.as_bytes()),
                Err(error) => Err(error),
            };
            self.learn(&sent);
        }
        future::pending().await
    }

    /// Tells what is new, if there is room for it at once.
    fn tell(&mut self) {
        // A socket that was made anew under the same name has to be connected to anew.
        for _ in 0..2 {
            let Some(message) = message(&self.told, &self.wanted) else { return };
            if self.socket.is_none() {
                self.socket = self.address.as_ref().and_then(|address| connect(address).ok());
            }
            let Some(socket) = &self.socket else { return };
            // Not by tokio, which has to hear from the kernel first that there is room.
            let sent = SockRef::from(socket).send(message.as_bytes());
            self.learn(&sent);
        }
    }

    /// Takes note of an attempt. A failure is not reported: the agent works without a service manager too.
    fn learn(&mut self, sent: &io::Result<usize>) {
        match sent {
            Ok(_) => self.told = self.wanted.clone(),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => self.socket = None,
        }
    }
}

fn connect(address: &SocketAddr) -> io::Result<UnixDatagram> {
    let socket = StdDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(address)?;
    UnixDatagram::from_std(socket)
}

/// What is new, as the protocol has it.
fn message(told: &State, wanted: &State) -> Option<String> {
    let lines = [
        (wanted.is_ready && !told.is_ready).then(|| "READY=1".to_owned()),
        (wanted.status != told.status).then(|| format!("STATUS={}", Shown(&*wanted.status))),
        (wanted.is_stopping && !told.is_stopping).then(|| "STOPPING=1".to_owned()),
    ];
    let lines: Vec<String> = lines.into_iter().flatten().collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::runtime::{Builder, Runtime};
    use tokio::time::timeout;

    use super::*;

    impl ServiceManager {
        fn ready(&mut self, status: &str) {
            self.wanted.is_ready = true;
            self.status(status);
        }
    }

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().build().unwrap()
    }

    fn received(listener: &StdDatagram) -> String {
        let mut buffer = [0; 128];
        let len = listener.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    }

    #[test]
    fn the_service_manager_is_told_under_a_path_and_under_an_abstract_name() {
        let runtime = runtime();
        let _entered = runtime.enter();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let name = format!("ip-masq-agent-test-{}", std::process::id());
        let listeners = [
            (StdDatagram::bind(&path).unwrap(), path.into_os_string()),
            (
                StdDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap(),
                format!("@{name}").into(),
            ),
        ];
        for (listener, name) in listeners {
            let mut manager = ServiceManager::at(name).unwrap();
            manager.ready("all is well");
            manager.ready("all is well");
            manager.status("a file\nMAINPID=1");
            manager.stopping();
            assert_eq!(received(&listener), "READY=1\nSTATUS=all is well");
            assert_eq!(received(&listener), "STATUS=a file\\nMAINPID=1", "no text from outside adds a field");
            assert_eq!(received(&listener), "STOPPING=1");
        }
    }

    #[test]
    fn a_socket_that_nobody_reads_makes_nobody_wait_and_the_latest_state_follows_when_it_is_read() {
        runtime().block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("notify");
            let listener = StdDatagram::bind(&path).unwrap();
            let mut manager = ServiceManager::at(path.into_os_string()).unwrap();
            let mut sent = 0;
            while manager.told == manager.wanted {
                sent += 1;
                manager.status(&sent.to_string());
            }
            manager.ready("a state that is overtaken");
            manager.status("the latest");
            let waited = timeout(Duration::from_millis(50), manager.catch_up()).await;
            assert!(waited.is_err() && manager.told != manager.wanted);
            for number in 1..sent {
                assert_eq!(received(&listener), format!("STATUS={number}"));
            }
            while manager.told != manager.wanted {
                let _ = timeout(Duration::from_millis(50), manager.catch_up()).await;
            }
            assert_eq!(received(&listener), "READY=1\nSTATUS=the latest");
        });
    }

    #[test]
    fn a_socket_that_is_made_anew_under_its_name_is_told() {
        runtime().block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("notify");
            let mut manager = ServiceManager::at(path.clone().into_os_string()).unwrap();
            manager.ready("nobody listens yet");
            assert_ne!(manager.told, manager.wanted);
            for text in ["first", "second"] {
                let _ = std::fs::remove_file(&path);
                let listener = StdDatagram::bind(&path).unwrap();
                manager.status(text);
                let ready = if text == "first" { "READY=1\n" } else { "" };
                assert_eq!(received(&listener), format!("{ready}STATUS={text}"));
            }
        });
    }
}
