//! Hearing of changes to the configuration files, whatever way they are made.

mod changes;
mod inotify;
mod route;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::future;
use std::io;
use std::path::PathBuf;
use std::time::Instant;

use nix::errno::Errno;
use thiserror::Error;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout_at;

use changes::{Changes, News};
use inotify::Watches;
use route::{Point, Route, What};

use super::sources::ready_for;
use crate::config::SourcePaths;

/// The mounts that this thread sees (`proc_pid_mountinfo(5)`). Where a thread has mounts of its own, those of the process are others.
const MOUNT_TABLE: &str = "/proc/thread-self/mountinfo";

/// Tells when the content of one of several files may have changed.
///
/// Written in place, renamed over, deleted and back, in a directory that is replaced or does not exist yet, behind
/// symbolic links of which one is swapped (as kubelet does for a `ConfigMap`), in a directory of which a parent is renamed,
/// mounted over or unmounted: all are heard.
///
/// The order that loses nothing: [`refresh`](Self::refresh), then read the files, then ask whether what was read
/// [`is_whole`](Self::is_whole), then await [`changed`](Self::changed), and again.
#[derive(Debug)]
pub(super) struct ConfigWatch {
    paths: SourcePaths,
    /// `None` until the kernel has given an instance, and the same from then on.
    watches: Option<Watches>,
    mounts: Option<Mounts>,
    /// The way to each file.
    routes: Vec<Route>,
    /// Whether all watches of the routes are set, and none was removed since.
    is_set: bool,
    /// What was heard since the last reading of whole files began.
    changes: Changes,
    /// What of that was heard since the last refresh.
    since_refresh: Changes,
    /// When the last reading ended.
    last_reading: Option<Instant>,
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
            is_set: false,
            changes: Changes::default(),
            since_refresh: Changes::default(),
            last_reading: None,
        }
    }

    /// Completes once a file may have changed since the last [`refresh`](Self::refresh), or is to be read again, and all
    /// that belongs together has happened. Many changes at once are one.
    ///
    /// Dropping the future loses no change. Without a successful `refresh` it may stay pending for ever.
    pub(super) async fn changed(&mut self) {
        loop {
            let at = self.changes.read_at(self.last_reading);
            match at {
                None => self.hear().await,
                Some(at) if Instant::now() < at => drop(timeout_at(at.into(), self.hear()).await),
                Some(_) => {
                    // A writer may have begun since.
                    self.drain();
                    if self.changes.read_at(self.last_reading).is_some_and(|at| at <= Instant::now()) {
                        return;
                    }
                }
            }
        }
    }

    /// Whether what was read since the last [`refresh`](Self::refresh) counts. If a file was being written meanwhile, it
    /// may be half of what it will be, and [`changed`](Self::changed) tells when to read it again, which is soon.
    pub(super) fn is_whole(&mut self) -> bool {
        self.drain();
        let now = Instant::now();
        self.last_reading = Some(now);
        let is_whole = !self.changes.may_be_half(now);
        if is_whole {
            self.changes = self.since_refresh;
        }
        is_whole
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
                self.add_all(heard);
            } else {
                self.watches = None;
                self.add(News::Other);
            },
            // Nearly all mounts are of no concern to the files, so they are not read for them.
            remounted = remounted => if remounted.is_err() {
                self.mounts = None;
                self.add(News::Other);
            } else if self.look_up() != self.routes {
                self.add(News::Other);
            },
        }
    }

    /// Takes note of what there is to hear by now.
    fn drain(&mut self) {
        let heard = self.watches.as_mut().map(Watches::drain).unwrap_or_default();
        self.add_all(heard);
    }

    fn add_all(&mut self, heard: Vec<News>) {
        for news in heard {
            self.add(news);
        }
    }

    fn add(&mut self, news: News) {
        let now = Instant::now();
        self.changes.add(news, now);
        self.since_refresh.add(news, now);
    }

    /// Sets the watches where they are needed now. To be called before each reading of the files, so that a change after
    /// the reading is heard. Costs a few system calls if nothing has changed.
    ///
    /// # Errors
    ///
    /// [`WatchError`], if a watch cannot be set. The others are, and the next call tries again.
    pub(super) fn refresh(&mut self) -> Result<(), WatchError> {
        self.drain();
        // A change may have taken a watch with it.
        self.is_set &= std::mem::take(&mut self.since_refresh) == Changes::default();
        // Before the routes are looked up, so that none of its mounts is missed.
        let mounts = self.open_mounts();
        let routes = self.look_up();
        if self.is_set && self.routes == routes {
            return mounts;
        }
        let failure = self.watch(&routes)?;
        self.is_set = failure.is_none();
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
        watches.watch(routes, |point, errno| {
            // A directory without read permission can be passed but not watched; what is behind it is watched all the
            // same.
            if !(errno == Errno::EACCES && point.what == What::Passed) {
                failure.get_or_insert_with(|| WatchError::no_watch(point, errno));
            }
        });
        if self.look_up() != routes {
            // The routes changed in the meantime, so neither the watches nor their failures are of use: refresh again.
            failure = None;
            self.add(News::Other);
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
