//! When to read the configuration file again: once for all changes that belong together.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::time::{timeout, timeout_at};
use tracing::{info, warn};

use super::watch::ConfigWatch;

/// How long a file that has vanished may take to come back before its absence counts: editors and copying tools delete
/// and create, and the defaults must not be in force for that moment.
const GRACE_FOR_A_MISSING_FILE: Duration = Duration::from_millis(500);

/// Changes of the file that follow on each other within this time are one: kubelet's update of a volume is half a dozen.
const BURST_GAP: Duration = Duration::from_millis(5);

/// A burst that lasts longer is cut.
const LONGEST_BURST: Duration = Duration::from_millis(100);

/// The watch on the file, which tells of its own failure once.
pub(super) struct FileWatch {
    inner: ConfigWatch,
    complaint: Option<String>,
    /// The file has changed and may change again. Until when that is waited for.
    burst_until: Option<Instant>,
    /// The file has vanished. Until when it may come back as if it had not.
    missing_until: Option<Instant>,
}

impl FileWatch {
    /// Watches nothing before the first [`refresh`](Self::refresh).
    pub(super) fn new(path: &Path) -> Self {
        Self { inner: ConfigWatch::new(path), complaint: None, burst_until: None, missing_until: None }
    }

    /// Sets the watches where they are needed now. To be called before each reading of the file ([`ConfigWatch::refresh`]).
    pub(super) fn refresh(&mut self) {
        (self.burst_until, self.missing_until) = (None, None);
        let complaint = self.inner.refresh().err().map(|error| error.to_string());
        if complaint != self.complaint {
            if let Some(complaint) = &complaint {
                warn!("{complaint}");
            } else {
                info!("changes of the configuration file are heard at once again");
            }
        }
        self.complaint = complaint;
    }

    /// Completes once the file has to be read. Losing the future loses nothing.
    pub(super) async fn changed(&mut self, path: &Path) {
        if self.missing_until.is_none() {
            self.settled().await;
            if path.exists() {
                return;
            }
            self.refresh();
            self.missing_until = Some(Instant::now() + GRACE_FOR_A_MISSING_FILE);
        }
        if let Some(until) = self.missing_until {
            let _ = timeout_at(until.into(), self.inner.changed()).await;
        }
    }

    /// Completes once the file has changed, and for a moment no more. Losing the future loses nothing.
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
