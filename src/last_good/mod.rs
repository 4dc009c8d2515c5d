//! The configuration that was valid last, saved in `--state-dir` over restarts and reboots: so that a start that finds its
//! file broken, or not there yet, can go on as before.
//!
//! `format` turns it into bytes and back, `directory` reads and writes them, `trust` says whose files are used,
//! `writer` is the process that writes, `store` knows what is to be saved, and `active_config` which configuration the
//! rules follow. Whether the rules are in force, its callers say.

mod active_config;
mod directory;
mod format;
mod remembered;
mod save;
mod store;
mod task;
mod trust;
mod writer;

pub use active_config::{ActiveConfig, Fallback, FileStatus, ReadSources, choose};
pub use directory::{Flaw, LoadError, StateDir, WriteError};
pub use format::{FormatError, decode, encode};
pub use remembered::REMEMBERED;
pub use save::Save;
pub use store::{FallbackNotes, LastGoodStore};
pub use task::{WriterAnswer, WriterTask};
pub use trust::{Owners, TrustError, hand_over};
pub use writer::{SaveError, VERB, Writer, serve};

use std::path::{Path, PathBuf};

use crate::config::{self, Config, Context, SourceSet};

/// What was chosen by configuration files, or by their absence, and was in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastKnownGood {
    /// The files, by their paths from the root. Where none was there, the flags' defaults held.
    sources: SourceSet,
}

impl LastKnownGood {
    /// What was found at these paths, from the root or from the current directory.
    #[must_use]
    pub fn new(sources: SourceSet) -> Self {
        Self { sources: sources.with_absolute_paths() }
    }

    /// The first of these files that is not there now and was there then.
    #[must_use]
    pub fn missed<'a>(&self, now: &'a SourceSet) -> Option<&'a Path> {
        let was_there = |path: &Path| {
            let path = absolute(path);
            self.sources.iter().any(|then| then.content.is_some() && then.path == path)
        };
        let gone = now.iter().filter(|source| source.content.is_none());
        gone.map(|source| source.path.as_path()).find(|path| was_there(path))
    }

    /// The configuration, as the flags of now have it.
    ///
    /// # Errors
    ///
    /// What is wrong with it under these flags, in one line. Under those with which it was saved, nothing was.
    pub fn config(&self, context: &Context) -> Result<Config, String> {
        let merged = config::merge(&self.sources, *context);
        merged.map(|reading| reading.config).map_err(|errors| errors.in_one_line(&self.sources.paths()))
    }
}

/// The path from the root. Without a current directory it stays as it is.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;

    fn set(files: [(&str, Option<&str>); 3]) -> SourceSet {
        let source = |(path, content): (&str, Option<&str>)| Source {
            path: path.into(),
            content: content.map(|text| text.as_bytes().to_vec()),
        };
        SourceSet::new(files.map(source).into()).unwrap()
    }

    #[test]
    fn of_several_files_the_first_is_missed_that_was_there_and_is_not() {
        let good = LastKnownGood::new(set([("/a", Some("")), ("/b", None), ("/c", Some("x: 1"))]));
        for (now, missed) in [
            ([("/a", Some("")), ("/b", None), ("/c", Some(""))], None),
            ([("/a", Some("")), ("/b", None), ("/c", None)], Some("/c")),
            ([("/c", None), ("/b", None), ("/a", None)], Some("/c")),
            ([("/x", None), ("/y", None), ("/b", None)], None),
        ] {
            assert_eq!(good.missed(&set(now)), missed.map(Path::new), "{now:?}");
        }
    }
}
