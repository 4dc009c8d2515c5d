//! Listening to the commits of others, whatever announces them.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use super::BackendError;

/// How many processes are remembered at most.
const NAMES: usize = 4;

/// Tells of the commits of others. Its file descriptor is readable while there may be something to tell.
#[derive(Debug)]
pub struct ChangeSource(Box<dyn Listen>);

/// What a [`ChangeSource`] listens to.
pub(crate) trait Listen: AsFd + fmt::Debug {
    /// As [`ChangeSource::listen`].
    fn listen(&mut self, heard: &mut Heard) -> Result<bool, BackendError>;

    /// As [`ChangeSource::is_due`].
    fn is_due(&self) -> bool;
}

/// What is known about the commits of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// How many commits were announced or counted.
    pub commits: u64,
    /// Whether there were others of which no more is known: more than could be queued, some that could not be read, or some
    /// while the backend itself was committing.
    pub lost: bool,
    /// Some of the processes that committed, each name once.
    pub processes: Vec<Process>,
}

/// A process that committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number in the initial pid namespace.
    pub pid: u32,
    /// Its name, at most 15 bytes.
    pub name: String,
}

impl ChangeSource {
    pub(crate) fn new(source: impl Listen + 'static) -> Self {
        Self(Box::new(source))
    }

    /// Takes what there is to tell, without waiting, and adds it to `heard`. `true` if nothing is left.
    ///
    /// # Errors
    ///
    /// [`BackendError`] if the source fails; the next call may succeed.
    pub fn listen(&mut self, heard: &mut Heard) -> Result<bool, BackendError> {
        self.0.listen(heard)
    }

    /// Whether [`ChangeSource::listen`] has something to tell, or has failed, although the file descriptor need not be
    /// readable. That costs nothing.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.0.is_due()
    }
}

impl AsFd for ChangeSource {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for ChangeSource {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Heard {
    /// Whether another process committed anything.
    pub(crate) const fn is_something(&self) -> bool {
        self.commits > 0 || self.lost
    }

    /// Adds what was heard later.
    pub(crate) fn extend(&mut self, later: Self) {
        self.commits += later.commits;
        self.lost |= later.lost;
        for process in later.processes {
            self.remember(process);
        }
    }

    /// Adds a process as the latest. It replaces an earlier one of the same name, or the earliest if there are too many.
    pub(crate) fn remember(&mut self, process: Process) {
        self.processes.retain(|earlier| earlier.name != process.name);
        if self.processes.len() == NAMES {
            self.processes.remove(0);
        }
        self.processes.push(process);
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A process can give itself any name, even one with control characters.
        write!(f, "{} (pid {})", self.name.escape_debug(), self.pid)
    }
}
