//! The configuration that was valid last, kept over restarts and reboots in `--state-dir`: so that a start that finds its
//! file broken, or not there yet, can go on as before.
//!
//! `format` turns it into bytes and back, `directory` is where they meet the file system, `trust` says whose files are
//! obeyed, `writer` is the process that writes, `keeper` knows what is to be kept, and `basis` what the rules are to be based
//! on. Whether they are in force the caller says.

mod basis;
mod directory;
mod format;
mod in_force;
mod save;
mod store;
mod task;
mod trust;
mod writer;

pub use basis::{Basis, Instead};
pub use directory::{Flaw, LoadError, StateDir, WriteError};
pub use format::{FormatError, decode, encode};
pub use in_force::{Holding, InForce};
pub use save::Save;
pub use store::{Fallback, Keeper, Notes};
pub use task::{Answer, Task};
pub use trust::Distrust;
pub use writer::{SaveError, VERB, Writer, serve};

use std::path::{Path, PathBuf};

use crate::config::{self, Config, ConfigErrors, Context};

/// What was chosen by a configuration file, or by its absence, and was in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastKnownGood {
    /// The absolute path at which the file was looked for.
    path: PathBuf,
    /// What the file held; `None` if there was none, and the flags' defaults held.
    content: Option<Vec<u8>>,
}

impl LastKnownGood {
    /// What was found at `path`, from the root or from the current directory.
    #[must_use]
    pub fn new(path: &Path, content: Option<Vec<u8>>) -> Self {
        Self { path: absolute(path), content }
    }

    /// Would a file at `path` be missed if there were none?
    #[must_use]
    pub fn misses(&self, path: &Path) -> bool {
        self.content.is_some() && self.path == absolute(path)
    }

    /// The configuration, as the flags of now have it.
    ///
    /// # Errors
    ///
    /// What is wrong with it under these flags. Under those with which it was kept, nothing was.
    pub fn config(&self, context: &Context) -> Result<Config, ConfigErrors> {
        match &self.content {
            Some(bytes) => config::parse(bytes, context).map(|reading| reading.config),
            None => Ok(Config::defaults(context)),
        }
    }
}

/// The path from the root. Without a current directory it stays as it is.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
