//! Hearing of changes to the configuration file (inotify(7)), whatever way they are made.

mod route;
#[cfg(test)]
mod tests;

use std::future;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use route::Route;

/// How long a writer may take until the file is read in spite of it. A writer that closes the file ends the wait, so this
/// is the delay only for one that keeps it open, and for a file that appears complete (a link).
const WRITER_GRACE: Duration = Duration::from_millis(250);

/// Tells when the content of a file may have changed.
///
/// Written in place, renamed over, deleted and back, in a directory that is replaced or does not exist yet, behind
/// symbolic links of which one is swapped (as kubelet does for a `ConfigMap`): all are heard. A directory further up that
/// is renamed or mounted over is not; the next [`refresh`](Self::refresh) finds it.
///
/// The order that loses nothing: [`refresh`](Self::refresh), then read the file, then await
/// [`changed`](Self::changed), and again.
#[derive(Debug)]
pub(super) struct ConfigWatch {
    path: PathBuf,
    watching: Option<Watching>,
    settled: Signal,
    writing: Signal,
    /// The end of the grace for a writer that was seen at work.
    grace: Option<Instant>,
}

/// Why changes of the configuration file are not heard at once.
#[derive(Debug, Error)]
pub(super) enum WatchError {
    /// `fs.inotify.max_user_instances` is reached, or the process's limit of open files.
    #[error(
        "cannot watch the configuration file {path}: this user has no inotify instance left; changes are noticed at the \
         next resync; raise `sysctl fs.inotify.max_user_instances`, or the limit of open files (`ulimit -n`)"
    )]
    Instances {
        /// The configuration file.
        path: PathBuf,
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

/// Watches along one route. A new route gets new watches: inotify's belong to inodes, notify's to paths, and only
/// together do they mean one thing.
#[derive(Debug)]
struct Watching {
    route: Route,
    /// Are all watches set, and none of them gone?
    whole: bool,
    _watcher: RecommendedWatcher,
}

/// A flag that can be raised on one thread and awaited on another; raised twice, it is raised.
#[derive(Debug)]
struct Signal {
    raise: watch::Sender<()>,
    raised: watch::Receiver<()>,
}

/// What an event says of the file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// It is another, or it may be.
    Settled,
    /// Somebody is writing it.
    Writing,
}

impl ConfigWatch {
    /// Watches nothing before the first [`refresh`](Self::refresh).
    #[must_use]
    pub(super) fn new(path: impl Into<PathBuf>) -> Self {
        let (settled, writing) = (Signal::new(), Signal::new());
        Self { path: path.into(), watching: None, settled, writing, grace: None }
    }

    /// Completes once the file may have changed since the last [`refresh`](Self::refresh). Many changes at once are one.
    ///
    /// Losing the future loses no change. Without a successful `refresh` it may stay pending for ever.
    pub(super) async fn changed(&mut self) {
        if self.grace.is_none() {
            tokio::select! {
                biased;
                () = self.settled.wait() => {}
                () = self.writing.wait() => self.grace = Some(Instant::now() + WRITER_GRACE),
            }
        }
        if let Some(end) = self.grace {
            // Settled or not: what is there when the grace is over counts.
            let _ = timeout_at(end, self.settled.wait()).await;
            self.grace = None;
        }
        if let Some(watching) = &mut self.watching {
            // The change may have taken a watch with it.
            watching.whole = false;
        }
    }

    /// Sets the watches where they are needed now. To be called before each reading of the file, so that a change after
    /// the reading is heard. Costs a few system calls if nothing has changed.
    ///
    /// # Errors
    ///
    /// [`WatchError`], if a watch cannot be set. The others are, and the next call tries again.
    pub(super) fn refresh(&mut self) -> Result<(), WatchError> {
        self.grace = None;
        let heard = self.settled.take() | self.writing.take();
        let route = Route::to(&self.path);
        if let Some(watching) = &mut self.watching {
            watching.whole &= !heard;
            if watching.whole && watching.route == route {
                return Ok(());
            }
        }
        // The old watches go only after the new ones are there.
        let mut watcher = self.watcher(route.clone())?;
        let mut failure = None;
        for point in route.points() {
            if let Err(error) = watcher.watch(point, RecursiveMode::NonRecursive) {
                failure.get_or_insert(WatchError::new(point, error));
            }
        }
        if Route::to(&self.path) != route {
            // It changed under our hands: neither the watches nor their failures say anything. Once more.
            failure = None;
            self.settled.raise();
        }
        self.watching = Some(Watching { route, whole: failure.is_none(), _watcher: watcher });
        failure.map_or(Ok(()), Err)
    }

    /// A watcher that raises the signals for what concerns the route. It runs a thread of its own.
    fn watcher(&self, route: Route) -> Result<RecommendedWatcher, WatchError> {
        let (settled, writing) = (self.settled.raise.clone(), self.writing.raise.clone());
        let handler = move |event| {
            let signal = match meaning(&event, &route) {
                Some(Meaning::Settled) => &settled,
                Some(Meaning::Writing) => &writing,
                None => return,
            };
            signal.send_replace(());
        };
        RecommendedWatcher::new(handler, notify::Config::default()).map_err(|error| WatchError::new(&self.path, error))
    }
}

/// What an event means for the file at the end of the route; `None` for nothing.
fn meaning(event: &notify::Result<Event>, route: &Route) -> Option<Meaning> {
    let Ok(event) = event else { return Some(Meaning::Settled) };
    if event.need_rescan() {
        // The kernel's queue was full: it could have been anything.
        return Some(Meaning::Settled);
    }
    if !event.paths.iter().any(|path| route.concerns(path)) {
        return None;
    }
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Meaning::Settled),
        EventKind::Access(_) => None,
        EventKind::Modify(ModifyKind::Data(_)) | EventKind::Create(CreateKind::File) => Some(Meaning::Writing),
        _ => Some(Meaning::Settled),
    }
}

impl Signal {
    fn new() -> Self {
        let (raise, raised) = watch::channel(());
        Self { raise, raised }
    }

    fn raise(&self) {
        self.raise.send_replace(());
    }

    /// Was it raised? It is not any more.
    fn take(&mut self) -> bool {
        let raised = self.raised.has_changed().unwrap_or(false);
        self.raised.mark_unchanged();
        raised
    }

    /// Waits until it is raised and takes it.
    async fn wait(&mut self) {
        if self.raised.changed().await.is_err() {
            // Nobody is left to raise it. It cannot happen, as one of them is `self`.
            future::pending::<()>().await;
        }
    }
}

impl WatchError {
    fn new(path: &Path, error: notify::Error) -> Self {
        let path = path.to_owned();
        match error.kind {
            notify::ErrorKind::MaxFilesWatch => Self::Watches { path },
            notify::ErrorKind::Io(source) if source.raw_os_error() == Some(Errno::EMFILE as i32) => {
                Self::Instances { path }
            }
            notify::ErrorKind::Io(source) => Self::Place { path, source },
            notify::ErrorKind::PathNotFound => Self::Place { path, source: io::ErrorKind::NotFound.into() },
            _ => Self::Place { path, source: io::Error::other(error.to_string()) },
        }
    }
}
