//! Telling the service manager how far the process is (`sd_notify(3)`).
//!
//! The service manager's socket may be full, if the service manager does not read it for a while. So only the latest
//! state is remembered, and sent as soon as there is room; nothing waits for that.

use std::convert::Infallible;
use std::future;
use std::io;

use sd_notify::NotifyState;
use socket2::SockRef;
use tokio::net::UnixDatagram;

use super::manager_address::ManagerAddress;
use super::status::{first_problem, status};
use super::{Observer, PassReport, Report};
use crate::last_good::FileStatus;
use crate::text::visible;

/// Where the service manager listens, if one does, and what it is to know.
#[derive(Debug, Default)]
pub struct ServiceManager {
    address: Option<ManagerAddress>,
    /// Connected to that address. `None` where that failed: it is tried again for each thing that there is to tell.
    socket: Option<UnixDatagram>,
    wanted: State,
    told: State,
    /// What is wrong with the file as it is now.
    problem: Option<String>,
}

/// How far the process is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    /// Of what was told: not while it takes the process to be reloading.
    is_ready: bool,
    status: String,
    is_stopping: bool,
    /// How many reloads have begun, and when the last one did, in the microseconds of `CLOCK_MONOTONIC`.
    reloads: (u64, i128),
    is_reloading: bool,
}

impl Observer for ServiceManager {
    fn observe(&mut self, report: &Report, _: u64) {
        match report {
            Report::Pass(report) => self.passed(report),
            Report::Reloading => self.reloading(),
            Report::Reloaded { is_answered } => self.reloaded(*is_answered),
            Report::Stopping(_) => self.stopping(),
            Report::Flows { .. } | Report::Save(_) => {}
        }
    }
}

impl ServiceManager {
    /// The one that listens there, or none.
    #[must_use]
    pub fn new(address: Option<ManagerAddress>) -> Self {
        Self { address, ..Self::default() }
    }

    /// What it is told after a pass, for tests.
    #[cfg(test)]
    pub(crate) fn status_after(report: &PassReport) -> String {
        let mut manager = Self::default();
        manager.passed(report);
        manager.wanted.status
    }

    /// Whether there is a service manager.
    #[must_use]
    pub const fn is_present(&self) -> bool {
        self.address.is_some()
    }

    /// Tells how things are after a pass. The agent is ready once rules were read back as being in force, be it those
    /// of one family: if the manager ended it because of the other one, these would not be repaired any more.
    fn passed(&mut self, report: &PassReport) {
        if let Some(file) = &report.file {
            self.problem = match file {
                FileStatus::Unusable { error, .. } => Some(first_problem(error)),
                FileStatus::Valid(_) | FileStatus::Missing => None,
            };
        }
        self.wanted.is_ready |= report.is_partly_in_force();
        self.status(&status(report, self.problem.as_deref()));
    }

    /// How things are, in one line.
    fn status(&mut self, status: &str) {
        status.clone_into(&mut self.wanted.status);
        self.tell();
    }

    /// A reload begins. A manager that waits for the start hears of nothing but that.
    fn reloading(&mut self) {
        if self.wanted.is_ready {
            // Without a clock there would be no `Instant` either.
            let now = match NotifyState::monotonic_usec_now() {
                Ok(NotifyState::MonotonicUsec(now)) => now,
                _ => 0,
            };
            self.wanted.reloads = (self.wanted.reloads.0 + 1, now);
            self.wanted.is_reloading = true;
            self.tell();
        }
    }

    /// All reloads have ended.
    fn reloaded(&mut self, is_answered: bool) {
        self.wanted.is_reloading = false;
        if !is_answered {
            self.wanted.status.insert_str(0, "the file system of the configuration file does not answer; ");
        }
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
        while let (Some(socket), Some((message, then))) = (&self.socket, next(&self.told, &self.wanted)) {
            let sent = match socket.writable().await {
                Ok(()) => socket.try_send(message.as_bytes()),
                Err(error) => Err(error),
            };
            self.learn(&sent, then);
        }
        future::pending().await
    }

    /// Tells what is new, as far as there is room for it at once.
    fn tell(&mut self) {
        // A socket that was made anew under the same name has to be connected to anew.
        let mut failures = 0;
        while let Some((message, then)) = next(&self.told, &self.wanted) {
            if self.socket.is_none() {
                self.socket = self.address.as_ref().and_then(|address| address.connect().ok());
            }
            let Some(socket) = &self.socket else { return };
            // Not by tokio, which has to hear from the kernel first that there is room.
            let sent = SockRef::from(socket).send(message.as_bytes());
            failures += u32::from(sent.is_err());
            self.learn(&sent, then);
            if failures == 2 {
                return;
            }
        }
    }

    /// Takes note of an attempt, after which the manager would know this. A failure is not reported: the agent works without a
    /// service manager too.
    fn learn(&mut self, sent: &io::Result<usize>, then: State) {
        match sent {
            Ok(_) => self.told = then,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => self.socket = None,
        }
    }
}

/// The next message to a manager that was told this, as the protocol has it, and what it knows then.
///
/// A reload is told before all else, as its end is another `READY=1`; many that could not be told in time are one, which began
/// with the last of them.
fn next(told: &State, wanted: &State) -> Option<(String, State)> {
    if wanted.reloads != told.reloads && !wanted.is_stopping {
        let lines = [NotifyState::Reloading, NotifyState::MonotonicUsec(wanted.reloads.1)];
        let then = State { is_ready: false, reloads: wanted.reloads, ..told.clone() };
        return Some((text(&lines), then));
    }
    let is_ready = wanted.is_ready && !wanted.is_reloading;
    let status = visible(&wanted.status);
    let lines: Vec<NotifyState<'_>> = [
        (is_ready && !told.is_ready).then_some(NotifyState::Ready),
        (wanted.status != told.status).then_some(NotifyState::Status(&status)),
        (wanted.is_stopping && !told.is_stopping).then_some(NotifyState::Stopping),
    ]
    .into_iter()
    .flatten()
    .collect();
    let then =
        State { is_ready: told.is_ready || is_ready, is_reloading: false, reloads: told.reloads, ..wanted.clone() };
    (!lines.is_empty()).then(|| (text(&lines), then))
}

fn text(lines: &[NotifyState<'_>]) -> String {
    lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram as StdDatagram};
    use std::time::Duration;

    use tokio::runtime::{Builder, Runtime};
    use tokio::time::timeout;

    use super::*;

    impl ServiceManager {
        fn at(name: impl AsRef<std::ffi::OsStr>) -> io::Result<Self> {
            ManagerAddress::parse(name.as_ref()).map(|address| Self::new(Some(address)))
        }

        fn knows_all(&self) -> bool {
            next(&self.told, &self.wanted).is_none()
        }

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
            while manager.knows_all() {
                sent += 1;
                manager.status(&sent.to_string());
            }
            manager.ready("a state that is overtaken");
            manager.status("the latest");
            let waited = timeout(Duration::from_millis(50), manager.catch_up()).await;
            assert!(waited.is_err() && !manager.knows_all());
            for number in 1..sent {
                assert_eq!(received(&listener), format!("STATUS={number}"));
            }
            while !manager.knows_all() {
                let _ = timeout(Duration::from_millis(50), manager.catch_up()).await;
            }
            assert_eq!(received(&listener), "READY=1\nSTATUS=the latest");
        });
    }

    /// The time at which a reload began, as the manager is told.
    fn began(message: &str) -> i128 {
        message.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect(message).parse().unwrap()
    }

    #[test]
    fn reloads_are_told_with_their_time_and_one_ready_follows_the_last_of_them() {
        let runtime = runtime();
        let _entered = runtime.enter();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let listener = StdDatagram::bind(&path).unwrap();
        let mut manager = ServiceManager::at(path.into_os_string()).unwrap();
        manager.observe(&Report::Reloading, 0);
        manager.ready("a start is waited for");
        manager.observe(&Report::Reloaded { is_answered: true }, 0);
        assert_eq!(received(&listener), "READY=1\nSTATUS=a start is waited for");
        manager.observe(&Report::Reloading, 0);
        manager.observe(&Report::Reloading, 0);
        manager.status("as the file says");
        manager.observe(&Report::Reloaded { is_answered: true }, 0);
        manager.observe(&Report::Reloading, 0);
        manager.observe(&Report::Reloaded { is_answered: false }, 0);
        manager.stopping();
        let times = [received(&listener), received(&listener)].map(|message| began(&message));
        assert!(0 < times[0] && times[0] <= times[1], "{times:?}");
        assert_eq!(received(&listener), "STATUS=as the file says");
        assert_eq!(received(&listener), "READY=1");
        assert!(began(&received(&listener)) >= times[1]);
        let told = "the file system of the configuration file does not answer; as the file says";
        assert_eq!(received(&listener), format!("READY=1\nSTATUS={told}"));
        assert_eq!(received(&listener), "STOPPING=1");
    }

    #[test]
    fn a_reload_that_began_and_ended_while_the_socket_was_full_is_told_whole() {
        runtime().block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("notify");
            let listener = StdDatagram::bind(&path).unwrap();
            let mut manager = ServiceManager::at(path.into_os_string()).unwrap();
            manager.ready("0");
            let mut sent = 0;
            while manager.knows_all() {
                sent += 1;
                manager.status(&sent.to_string());
            }
            for _ in 0..3 {
                manager.observe(&Report::Reloading, 0);
                manager.observe(&Report::Reloaded { is_answered: true }, 0);
            }
            manager.status("the latest");
            for _ in 0..sent {
                received(&listener);
            }
            while !manager.knows_all() {
                let _ = timeout(Duration::from_millis(50), manager.catch_up()).await;
            }
            began(&received(&listener));
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
            assert!(!manager.knows_all());
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
