//! What the agent depends on beside its rules and its file, and how each of it is taken away and given back.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::support::cgroup::Cgroup;
use super::support::daemon::Daemon;
use super::support::disk::Ext4;
use super::trouble::{MEMORY, Trouble};

/// The file in which the agent keeps the last valid configuration.
const STATE_FILE: &str = "last-known-good";

/// The disk with the state directory, the control group, the service manager.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    disk: Option<&'a Ext4>,
    group: Option<Cgroup>,
    manager: ServiceManager,
    state: PathBuf,
    is_frozen: bool,
}

impl<'a> Surroundings<'a> {
    /// Those that the troubles concern.
    pub(crate) fn new(scratch: &Path, disk: Option<&'a Ext4>, troubles: &[Trouble]) -> Self {
        let has = |trouble| troubles.contains(&trouble);
        Self {
            disk,
            group: (has(Trouble::Threads) || has(Trouble::Memory)).then(Cgroup::new),
            manager: ServiceManager::new(&scratch.join("service-manager")),
            state: disk.map_or_else(|| scratch.to_owned(), Ext4::path).join("state"),
            is_frozen: false,
        }
    }

    /// Where the agent keeps its state.
    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    /// What is saved there, or why it cannot be read.
    pub(crate) fn saved(&self) -> std::io::Result<String> {
        fs::read_to_string(self.state.join(STATE_FILE))
    }

    /// Whether nothing can be saved for now.
    pub(crate) const fn is_frozen(&self) -> bool {
        self.is_frozen
    }

    /// Starts an agent in these surroundings.
    pub(crate) fn start(&self, mut command: Command) -> Daemon {
        command.env("NOTIFY_SOCKET", &self.manager.path);
        let daemon = Daemon::run(command);
        if let Some(group) = &self.group {
            group.take(daemon.pid());
        }
        daemon
    }

    /// What goes on beside the test: the service manager reads.
    pub(crate) fn go_on(&self) {
        if !self.manager.is_stalled {
            self.manager.read();
        }
    }

    /// Takes something away. A trouble of the rules or of the file is not for here.
    pub(crate) fn begin(&mut self, trouble: Trouble, agent: Option<&Daemon>) {
        match trouble {
            Trouble::LogReader => agent.expect("the script knows that it lives").stall_log(),
            Trouble::StateDisk => {
                self.disk().freeze();
                self.is_frozen = true;
            }
            Trouble::Threads => self.group().no_more_threads(),
            Trouble::Memory => self.group().limit_memory(MEMORY),
            Trouble::ServiceManager => self.manager.stall(),
            Trouble::Dormant | Trouble::HugeFile | Trouble::Legacy => {}
        }
    }

    /// Gives it back.
    pub(crate) fn end(&mut self, trouble: Trouble, agent: Option<&Daemon>) {
        match trouble {
            Trouble::LogReader => agent.into_iter().for_each(Daemon::drain_log),
            Trouble::StateDisk => {
                self.disk().thaw();
                self.is_frozen = false;
            }
            Trouble::Threads | Trouble::Memory => self.group().lift(),
            Trouble::ServiceManager => self.manager.resume(),
            Trouble::Dormant | Trouble::HugeFile | Trouble::Legacy => {}
        }
    }

    fn disk(&self) -> &Ext4 {
        self.disk.expect("there is a disk if it shall hang")
    }

    fn group(&self) -> &Cgroup {
        self.group.as_ref().expect("there is a control group if something shall be short")
    }
}

impl Drop for Surroundings<'_> {
    /// An agent that waits for the disk could not be killed.
    fn drop(&mut self) {
        if self.is_frozen {
            self.disk().thaw();
        }
    }
}

/// The end of `NOTIFY_SOCKET` that listens (`sd_notify(3)`).
#[derive(Debug)]
struct ServiceManager {
    path: PathBuf,
    socket: UnixDatagram,
    is_stalled: bool,
}

impl ServiceManager {
    fn new(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { path: path.to_owned(), socket, is_stalled: false }
    }

    fn read(&self) {
        while self.socket.recv(&mut [0; 512]).is_ok() {}
    }

    /// Reads no more, and lets the queue be full.
    fn stall(&mut self) {
        self.is_stalled = true;
        let other = UnixDatagram::unbound().unwrap();
        other.set_nonblocking(true).unwrap();
        let full = std::iter::repeat_with(|| other.send_to(b"STATUS=another", &self.path)).find_map(Result::err);
        assert_eq!(full.map(|error| error.kind()), Some(ErrorKind::WouldBlock));
    }

    fn resume(&mut self) {
        self.is_stalled = false;
        self.read();
    }
}

/// How much memory an agent holds.
pub(crate) fn resident_kib(agent: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or_default()
}
