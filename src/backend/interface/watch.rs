//! Hearing of what others commit, whatever tells of it.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use super::BackendError;

/// How many processes are remembered at most.
const NAMES: usize = 4;

/// Tells of commits of others. Readable while there is something to tell.
#[derive(Debug)]
pub struct ChangeSource(Box<dyn Listen>);

/// Where a [`ChangeSource`] hears of commits.
pub(crate) trait Listen: AsFd + fmt::Debug {
    /// As [`ChangeSource::listen`].
    fn listen(&mut self, heard: &mut Heard) -> Result<bool, BackendError>;
}

/// What was heard of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// How many commits were announced.
    pub commits: u64,
    /// Whether there were more than could be queued, or some that could not be read.
    pub lost: bool,
    /// Some of the processes that committed, each name once.
    pub processes: Vec<Process>,
}

/// A process that committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number in the initial pid namespace.
    pub pid: u32,
    /// What it calls itself, at most 15 bytes.
    pub name: String,
}

impl ChangeSource {
    pub(crate) fn new(source: impl Listen + 'static) -> Self {
        Self(Box::new(source))
    }

    /// Takes the announcements that are queued, without waiting, and adds those of others to `heard`. `true` if none is left.
    ///
    /// # Errors
    ///
    /// [`BackendError`] if the source fails; the next call may succeed.
    pub fn listen(&mut self, heard: &mut Heard) -> Result<bool, BackendError> {
        self.0.listen(heard)
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
    /// Whether somebody else committed anything.
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

    /// Adds a process as the latest, in place of an earlier one of the same name, or of the earliest if there are too many.
    pub(crate) fn remember(&mut self, process: Process) {
        self.processes.retain(|known| known.name != process.name);
        if self.processes.len() == NAMES {
            self.processes.remove(0);
        }
        self.processes.push(process);
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A process can give itself any name, with control characters in it.
        write!(f, "{} (pid {})", self.name.escape_debug(), self.pid)
    }
}
