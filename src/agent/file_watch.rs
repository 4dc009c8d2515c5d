//! When to read the configuration files again: once for all changes that belong together.

use std::time::{Duration, Instant};

use tokio::time::{timeout, timeout_at};
use tracing::{info, warn};

use super::config_files::Look;
use super::watch::ConfigWatch;
use crate::config::SourcePaths;
use crate::report::LogOnce;

/// How long a file that has vanished, or become empty, may take to come back before that counts: editors and copying tools
/// delete and create, or empty and write, and the defaults must not be in force for that moment.
const GRACE_FOR_A_FILE_THAT_IS_AWAY: Duration = Duration::from_millis(500);

/// Changes of the files that follow on each other within this time are one: kubelet's update of a volume is half a dozen.
const BURST_GAP: Duration = Duration::from_millis(5);

/// A burst that lasts longer is cut.
const LONGEST_BURST: Duration = Duration::from_millis(100);

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
    /// After a change: until when further changes of this or another file are waited for.
    burst_until: Option<Instant>,
    /// After a file became missing or empty: until when it may come back without that being news.
    away_until: Option<Instant>,
}

impl FileWatch {
    /// Watches nothing before the first [`refresh`](Self::refresh).
    pub(super) fn new(paths: SourcePaths) -> Self {
        Self { inner: ConfigWatch::new(paths), failure: LogOnce::new(), burst_until: None, away_until: None }
    }

    /// Sets the watches where they are needed now. To be called before each reading of the files ([`ConfigWatch::refresh`]).
    pub(super) fn refresh(&mut self) {
        self.burst_until = None;
        match self.inner.refresh().map_err(|error| error.to_string()) {
            Err(error) if self.failure.is_new(&error) => warn!(event = "config_not_watched", error, "{error}"),
            Ok(()) if self.failure.ends() => {
                info!(event = "config_watched", "changes of the configuration file are heard at once again");
            }
            _ => {}
        }
    }

    /// Takes note of the result of that reading. If a file was removed and stays away, [`changed`](Self::changed) says
    /// so: other looks in the meantime do not prolong the time that it has.
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
        match self.away_until {
            // However often another one changes.
            Some(until) if until <= Instant::now() => Change::Gone,
            Some(until) if timeout_at(until.into(), self.inner.changed()).await.is_err() => Change::Gone,
            Some(_) => Change::Happened,
            None => {
                self.settled().await;
                Change::Happened
            }
        }
    }

    /// Completes once a file has changed, and for a moment no more. Dropping the future loses nothing.
    async fn settled(&mut self) {
        let until = if let Some(until) = self.burst_until {
            until
        } else {
            self.inner.changed().await;
            *self.burst_until.insert(Instant::now() + LONGEST_BURST)
        };
        loop {
            let now = Instant::now();
            if now >= until || timeout(BURST_GAP.min(until - now), self.inner.changed()).await.is_err() {
                return;
            }
        }
    }
}
