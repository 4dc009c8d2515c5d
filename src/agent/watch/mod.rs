//! Hearing of changes to the configuration files, whatever way they are made.

mod inotify;
mod route;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::future;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use thiserror::Error;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, timeout_at};

use inotify::{Heard, Watches};
use route::{Point, Route, What};

use super::sources::ready_for;
use crate::config::SourcePaths;

/// How long a writer may take until the file is read in spite of it. A writer that closes the file ends the wait, so this
/// is the delay only for one that keeps it open, and for a file that appears complete (a link).
const WRITER_GRACE: Duration = Duration::from_millis(250);

/// The mounts that this thread sees (`proc_pid_mountinfo(5)`). Where a thread has mounts of its own, those of the process are others.
const MOUNT_TABLE: &str = "/proc/thread-self/mountinfo";

/// Tells when the content of one of several files may have changed.
///
/// Written in place, renamed over, deleted and back, in a directory that is replaced or does not exist yet, behind
/// symbolic links of which one is swapped (as kubelet does for a `ConfigMap`), in a directory of which a parent is renamed,
/// mounted over or unmounted: all are heard.
///
/// The order that loses nothing: [`refresh`](Self::refresh), then read the files, then await
/// [`changed`](Self::changed), and again.
#[derive(Debug)]
pub(super) struct ConfigWatch {
    paths: SourcePaths,
    /// `None` until the kernel has given an instance, and the same from then on.
    watches: Option<Watches>,
    mounts: Option<Mounts>,
    /// The way to each file.
    routes: Vec<Route>,
    /// Whether all watches of the routes are set, and none was removed since.
    whole: bool,
    /// What was heard since the last refresh and has not been returned.
    heard: Heard,
    /// The end of the grace for a writer that was seen at work.
    grace: Option<Instant>,
}

/// Why changes of the configuration file are not heard at once.
#[derive(Debug, Error)]
pub(super) enum WatchError {
    /// `fs.inotify.max_user_instances` is reached, or the process's limit of open files.
    #[error(
        "cannot watch the configuration file {paths}: this user has no inotify instance left; changes are noticed at the \
         next resync; raise `sysctl fs.inotify.max_user_instances`, or the limit of open files (`ulimit -n`)"
    )]
    Instances {
        /// The configuration files.
        paths: SourcePaths,
    },
    /// `fs.inotify.max_user_watches` is reached.
    #[error(
        "cannot watch {path} for the configuration file: this user has no inotify watch left; changes are noticed at the \
         next resync; raise `sysctl fs.inotify.max_user_watches`"
    )]
    Watches {
        /// The directory or file.
        path: PathBuf,
    },
    /// The mount table cannot be watched.
    #[error(
        "cannot hear of mounts for the configuration file {paths}: {source}; one over a directory on the way to it is \
         noticed at the next resync; mount /proc for the agent, or raise the limit of open files (`ulimit -n`)"
    )]
    Mounts {
        /// The configuration files.
        paths: SourcePaths,
        /// What the kernel answered.
        source: io::Error,
    },
    /// There is no instance for another reason.
    #[error("cannot watch the configuration file {paths}: {source}; changes are noticed at the next resync")]
    Unavailable {
        /// The configuration files.
        paths: SourcePaths,
        /// What the kernel answered.
        source: io::Error,
    },
    /// Everything else, such as a directory that the agent may not read.
    #[error(
        "cannot watch {path} for the configuration file: {source}; changes are noticed at the next resync; let the agent \
         read that directory"
    )]
    Place {
        /// The directory or file.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
}

impl ConfigWatch {
    /// Watches nothing before the first [`refresh`](Self::refresh).
    #[must_use]
    pub(super) fn new(paths: SourcePaths) -> Self {
        Self {
            paths,
            watches: None,
            mounts: None,
            routes: Vec::new(),
            whole: false,
            heard: Heard::default(),
            grace: None,
        }
    }

    /// Completes once a file may have changed since the last [`refresh`](Self::refresh). Many changes at once are one.
    ///
    /// Dropping the future loses no change. Without a successful `refresh` it may stay pending for ever.
    pub(super) async fn changed(&mut self) {
        while !self.heard.settled {
            if self.heard.writing {
                let end = *self.grace.get_or_insert_with(|| Instant::now() + WRITER_GRACE);
                // Settled or not: what is there when the grace is over counts.
                self.heard.settled |= timeout_at(end, self.hear()).await.is_err();
            } else {
                self.hear().await;
            }
        }
        (self.heard, self.grace) = (Heard::default(), None);
        // The change may have taken a watch with it.
        self.whole = false;
    }

    /// Takes note of the next things that happen.
    async fn hear(&mut self) {
        let (watches, mounts) = (&mut self.watches, &self.mounts);
        let events = async {
            match watches {
                Some(watches) => watches.hear().await,
                None => future::pending().await,
            }
        };
        let remounted = async {
            match mounts {
                Some(mounts) => mounts.changed().await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            // What cannot be waited for is opened anew by the next refresh, or that says why not.
            heard = events => if let Ok(heard) = heard {
                self.heard |= heard;
            } else {
                (self.watches, self.heard.settled) = (None, true);
            },
            // Nearly all mounts are of no concern to the files, so they are not read for them.
            remounted = remounted => if remounted.is_ok() {
                self.heard.settled |= self.look_up() != self.routes;
            } else {
                (self.mounts, self.heard.settled) = (None, true);
            },
        }
    }

    /// Sets the watches where they are needed now. To be called before each reading of the files, so that a change after
    /// the reading is heard. Costs a few system calls if nothing has changed.
    ///
    /// # Errors
    ///
    /// [`WatchError`], if a watch cannot be set. The others are, and the next call tries again.
    pub(super) fn refresh(&mut self) -> Result<(), WatchError> {
        let mut heard = std::mem::take(&mut self.heard);
        if let Some(watches) = &mut self.watches {
            heard |= watches.drain();
        }
        self.grace = None;
        self.whole &= heard == Heard::default();
        // Before the routes are looked up, so that none of its mounts is missed.
        let mounts = self.open_mounts();
        let routes = self.look_up();
        if self.whole && self.routes == routes {
            return mounts;
        }
        let failure = self.watch(&routes)?;
        self.whole = failure.is_none();
        self.routes = routes;
        failure.map_or(mounts, Err)
    }

    /// The way to each file as it is now.
    fn look_up(&self) -> Vec<Route> {
        self.paths.iter().map(Route::to).collect()
    }

    /// Sets the watches of these routes. Says which could not be set first.
    fn watch(&mut self, routes: &[Route]) -> Result<Option<WatchError>, WatchError> {
        let watches = match &mut self.watches {
            Some(watches) => watches,
            none => none.insert(Watches::open().map_err(|error| WatchError::no_instance(&self.paths, error))?),
        };
        let mut failure = None;
        watches.watch(routes.iter().flat_map(Route::points), |point, errno| {
            // A directory without read permission can be passed but not watched; what is behind it is watched all the
            // same.
            if !(errno == Errno::EACCES && point.what == What::Passed) {
                failure.get_or_insert_with(|| WatchError::no_watch(point, errno));
            }
        });
        if self.look_up() != routes {
            // The routes changed in the meantime, so neither the watches nor their failures are of use: refresh again.
            failure = None;
            self.heard.settled = true;
        }
        Ok(failure)
    }

    fn open_mounts(&mut self) -> Result<(), WatchError> {
        if self.mounts.is_none() {
            let opened = Mounts::open().map_err(|source| WatchError::Mounts { paths: self.paths.clone(), source })?;
            self.mounts = Some(opened);
        }
        Ok(())
    }
}

/// Tells when something was mounted, moved or unmounted anywhere.
#[derive(Debug)]
struct Mounts(AsyncFd<File>);

impl Mounts {
    fn open() -> io::Result<Self> {
        Ok(Self(ready_for(File::open(MOUNT_TABLE)?, Interest::PRIORITY)?))
    }

    /// Completes once the table has changed. Dropping the future loses nothing.
    async fn changed(&self) -> io::Result<()> {
        self.0.ready(Interest::PRIORITY).await?.clear_ready();
        Ok(())
    }
}

impl WatchError {
    fn no_instance(paths: &SourcePaths, source: io::Error) -> Self {
        let paths = paths.clone();
        match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EMFILE | Errno::ENFILE) => Self::Instances { paths },
            _ => Self::Unavailable { paths, source },
        }
    }

    fn no_watch(point: &Point, errno: Errno) -> Self {
        let path = point.path.clone();
        match errno {
            Errno::ENOSPC => Self::Watches { path },
            _ => Self::Place { path, source: errno.into() },
        }
    }
}
