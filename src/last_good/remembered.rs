//! The file with what a one-shot verb knew of the rules, in the directory of running agents.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use nix::sys::statfs::{TMPFS_MAGIC, statfs};

use super::directory::{Locked, StateDir, WriteError, failed, replace};

/// The name of the file.
pub const REMEMBERED: &str = "remembered-rules";
/// What is to become that file.
const NEW: &str = "remembered-rules.new";

impl StateDir {
    /// Makes the file [`REMEMBERED`] hold this, however long the disk takes.
    pub(super) fn remember(&self, bytes: &[u8]) -> Result<(), WriteError> {
        self.create_for_all()?;
        self.replace_remembered(&self.lock()?, bytes)
    }

    /// The same, if nothing of that can wait: neither for a disk, as the file system has none (tmpfs), nor for another process
    /// that writes there. Not done for the first of these reasons, it returns `false`.
    ///
    /// # Errors
    ///
    /// [`WriteError`], also if another process writes there. The file holds what it held.
    pub fn remember_at_once(&self, bytes: &[u8]) -> Result<bool, WriteError> {
        if !self.is_in_memory() {
            return Ok(false);
        }
        self.create_for_all()?;
        self.replace_remembered(&self.try_lock()?, bytes).map(|()| true)
    }

    /// Whether the directory, or what it is to be made in, is on a tmpfs, as `/run` is. That can be neither frozen nor gone.
    fn is_in_memory(&self) -> bool {
        let is_tmpfs = |path: &Path| statfs(path).map(|file_system| file_system.filesystem_type() == TMPFS_MAGIC);
        let parent = || self.path.parent().is_some_and(|parent| is_tmpfs(parent).unwrap_or_default());
        is_tmpfs(&self.path).unwrap_or_else(|_| parent())
    }

    /// The directory has the records of running agents too, which everybody may read.
    fn create_for_all(&self) -> Result<(), WriteError> {
        match DirBuilder::new().mode(0o755).create(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(failed("create the directory", &self.path)(error))
            }
            _ => Ok(()),
        }
    }

    /// After a crash of the whole node the file is of no use, so nothing waits for the disk.
    fn replace_remembered(&self, _alone: &Locked, bytes: &[u8]) -> Result<(), WriteError> {
        replace(&self.path.join(NEW), &self.path.join(REMEMBERED), bytes, false)
    }
}
