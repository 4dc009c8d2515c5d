//! When to read the configuration files again, and whether one that is away counts as gone.

use std::time::{Duration, Instant};

use tokio::time::timeout_at;
use tracing::{info, warn};

use super::config_files::Look;
use super::watch::ConfigWatch;
use crate::config::SourcePaths;
use crate::report::LogOnce;

/// How long a file that has vanished, or become empty, may take to come back before that counts: editors and copying tools
/// delete and create, or empty and write, and the defaults must not be in force for that moment.
const GRACE_FOR_A_FILE_THAT_IS_AWAY: Duration = Duration::from_millis(500);

/// Why the files have to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Something happened to a file or on the way to it, or the loop asked for a look.
    Happened,
    /// A file has been missing or empty for a while.
    Gone,
}

/// The watch on the files, which logs its own failure once.
pub(super) struct FileWatch {
    inner: ConfigWatch,
    failure: LogOnce,
    /// Whether a file was being written when they were last read, so that what was read did not count.
    is_written: bool,
    /// After a file became missing or empty: until when it may come back without that being news.
    away_until: Option<Instant>,
}

impl FileWatch {
    /// Watches nothing before the first [`refresh`](Self::refresh).
    pub(super) fn new(paths: SourcePaths) -> Self {
        Self { inner: ConfigWatch::new(paths), failure: LogOnce::new(), is_written: false, away_until: None }
    }

    /// Sets the watches where they are needed now. To be called before each reading of the files ([`ConfigWatch::refresh`]).
    pub(super) fn refresh(&mut self) {
        match self.inner.refresh().map_err(|error| error.to_string()) {
            Err(error) if self.failure.is_new(&error) => warn!(event = "config_not_watched", error, "{error}"),
            Ok(()) if self.failure.ends() => {
                info!(event = "config_watched", "changes of the configuration file are heard at once again");
            }
            _ => {}
        }
    }

    /// To be asked after that reading: whether it counts ([`ConfigWatch::is_whole`]).
    pub(super) fn is_whole(&mut self) -> bool {
        let is_whole = self.inner.is_whole();
        self.is_written = !is_whole;
        is_whole
    }

    /// Takes note of the result of that reading, if it counts. If a file was removed and stays away,
    /// [`changed`](Self::changed) says so: other looks in the meantime do not prolong the time that it has.
    pub(super) fn looked(&mut self, look: &Look) {
        match look {
            Look::Away => {
                self.away_until.get_or_insert_with(|| Instant::now() + GRACE_FOR_A_FILE_THAT_IS_AWAY);
            }
            Look::Same | Look::News(_) => self.away_until = None,
        }
    }

    /// Completes once the files have to be read, and says why. Dropping the future loses nothing.
    pub(super) async fn changed(&mut self) -> Change {
        let until = self.away_until;
        let is_over = || until.is_some_and(|until| until <= Instant::now());
        match until {
            // However often another one changes.
            Some(_) if is_over() && !self.is_written => {}
            Some(until) if !self.is_written => drop(timeout_at(until.into(), self.inner.changed()).await),
            _ => self.inner.changed().await,
        }
        if is_over() { Change::Gone } else { Change::Happened }
    }
}
