//! A configuration to be saved, and the ways to have it written.

use std::sync::Arc;
use std::time::Duration;

#[cfg(test)]
use super::WriteError;
use super::{LastKnownGood, SaveError, StateDir, Writer, WriterAnswer, WriterTask, format};

/// A configuration that is in force and is to be saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Save {
    pub(super) dir: StateDir,
    pub(super) good: Arc<LastKnownGood>,
}

impl Save {
    /// Where it is to be saved.
    #[must_use]
    pub const fn dir(&self) -> &StateDir {
        &self.dir
    }

    /// Starts a process that writes it. To be called in a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`SaveError::NotStarted`]
    pub fn start(&self) -> Result<Writer, SaveError> {
        Writer::start(&self.dir, WriterTask::Save, Some(&format::encode(&self.good)))
    }

    /// Has it written by a process, and waits for that, but no longer than `most`. Returns whether anything was
    /// written.
    ///
    /// # Errors
    ///
    /// [`SaveError`]
    pub fn run(&self, most: Duration) -> Result<bool, SaveError> {
        let answer = Writer::run(&self.dir, WriterTask::Save, Some(&format::encode(&self.good)), most);
        answer.map(|answer| answer == WriterAnswer::Saved(true))
    }

    /// Writes it in this process, for tests that have no other.
    #[cfg(test)]
    pub(crate) fn here(&self) -> Result<bool, WriteError> {
        self.dir.save(&self.good)
    }
}
