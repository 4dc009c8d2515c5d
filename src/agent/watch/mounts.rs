//! Hearing of changes to the mount table (`proc_pid_mountinfo(5)`).

use std::fs::File;
use std::io;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::super::readable::ready_for;

/// The mounts that this thread sees. Where a thread has mounts of its own, those of the process are others.
const TABLE: &str = "/proc/thread-self/mountinfo";

/// Says when something was mounted, moved or unmounted, wherever that was.
#[derive(Debug)]
pub(super) struct Mounts(AsyncFd<File>);

impl Mounts {
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self(ready_for(File::open(TABLE)?, Interest::PRIORITY)?))
    }

    /// Completes once the table has changed. Losing the future loses nothing.
    pub(super) async fn changed(&self) -> io::Result<()> {
        self.0.ready(Interest::PRIORITY).await?.clear_ready();
        Ok(())
    }
}
