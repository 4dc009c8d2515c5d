//! One inotify instance for the agent's life, whose watches are added and removed (inotify(7)).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use tokio::io::unix::AsyncFd;

use super::super::sources::readable;
use super::changes::News;
use super::route::{Point, Route, What};

/// The watches at the points of routes.
#[derive(Debug)]
pub(super) struct Watches {
    instance: AsyncFd<Instance>,
    set: HashMap<WatchDescriptor, Watch>,
    /// How many files the routes lead to.
    files: usize,
}

/// A watch belongs to an inode, so points that have one inode, by several paths (bind mounts) or on the ways to several files,
/// have one watch.
#[derive(Debug)]
struct Watch {
    mask: AddWatchFlags,
    /// What matters there for which file.
    what: Vec<(usize, What)>,
}

#[derive(Debug)]
struct Instance(Inotify);

/// More events than this are not read at once, so that a program that causes events without end does not stop the
/// thread from doing anything else.
const MOST_READS: usize = 64;

impl Watches {
    /// A new instance, without watches.
    pub(super) fn open() -> io::Result<Self> {
        let instance = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        Ok(Self { instance: readable(Instance(instance))?, set: HashMap::new(), files: 0 })
    }

    /// From now on the points of these routes are watched, and nothing else. Watches that are set already stay as they are.
    ///
    /// Hands each point that cannot be watched to `failed`; the others are.
    pub(super) fn watch<'p>(&mut self, routes: &'p [Route], mut failed: impl FnMut(&'p Point, Errno)) {
        let inotify = &self.instance.get_ref().0;
        let add = |path: &Path, mask: AddWatchFlags| inotify.add_watch(path, mask | AddWatchFlags::IN_DONT_FOLLOW);
        let mut set: HashMap<WatchDescriptor, Watch> = HashMap::new();
        let points = |(file, route): (usize, &'p Route)| route.points().map(move |point| (file, point));
        for (file, point) in routes.iter().enumerate().flat_map(points) {
            let mask = mask(&point.what);
            match add(&point.path, mask) {
                Err(errno) => failed(point, errno),
                Ok(descriptor) => match set.entry(descriptor) {
                    Entry::Vacant(place) => {
                        place.insert(Watch { mask, what: vec![(file, point.what.clone())] });
                    }
                    Entry::Occupied(mut place) => {
                        let watch = place.get_mut();
                        watch.mask |= mask;
                        watch.what.push((file, point.what.clone()));
                        // The mask that was set last counts.
                        if let Err(errno) = add(&point.path, watch.mask) {
                            failed(point, errno);
                        }
                    }
                },
            }
        }
        for descriptor in self.set.keys().filter(|descriptor| !set.contains_key(descriptor)) {
            // The kernel may have removed it already, with what it watched.
            let _ = inotify.rm_watch(*descriptor);
        }
        (self.set, self.files) = (set, routes.len());
    }

    /// Completes once there was something to hear. Dropping the future loses nothing.
    pub(super) async fn hear(&mut self) -> io::Result<Vec<News>> {
        loop {
            let mut ready = self.instance.readable().await?;
            let read = ready.try_io(|instance| Ok(instance.get_ref().0.read_events()?));
            let heard = match read {
                Ok(Ok(events)) => self.understand(&events),
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => Vec::new(),
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => Vec::new(),
            };
            if !heard.is_empty() {
                return Ok(heard);
            }
        }
    }

    /// What there is to hear by now.
    pub(super) fn drain(&mut self) -> Vec<News> {
        let mut heard = Vec::new();
        for _ in 0..MOST_READS {
            match self.instance.get_ref().0.read_events() {
                Ok(events) => heard.extend(self.understand(&events)),
                Err(Errno::EINTR) => {}
                // Any other error is met again, and reported, by `hear`.
                Err(_) => break,
            }
        }
        heard
    }

    fn understand(&self, events: &[InotifyEvent]) -> Vec<News> {
        events.iter().filter_map(|event| self.news(event)).collect()
    }

    fn news(&self, event: &InotifyEvent) -> Option<News> {
        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            // What is lost could have been anything, also the beginning of a writer's work.
            return Some(News::Written);
        }
        // Events of a watch that was removed may still be queued.
        let watch = self.set.get(&event.wd)?;
        let meaning = |what: &What| meaning(event.mask, event.name.as_deref(), what);
        let news = watch.what.iter().find_map(|(_, what)| meaning(what))?;
        let concerns = |file| watch.what.iter().any(|(of, what)| *of == file && meaning(what).is_some());
        let is_a_part = news == News::Replaced && !(0..self.files).all(concerns);
        Some(if is_a_part { News::Finished } else { news })
    }
}

/// The events that matter at such a point. That a reader opens or closes something is never heard.
fn mask(what: &What) -> AddWatchFlags {
    let itself = AddWatchFlags::IN_MOVE_SELF | AddWatchFlags::IN_DELETE_SELF;
    let content = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_ATTRIB;
    let names = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVE;
    match what {
        What::Passed => itself,
        What::File => itself | content,
        What::Names(_) => itself | content | names,
    }
}

/// What an event means for the file at the end of the route; `None` if it does not concern it.
fn meaning(mask: AddWatchFlags, name: Option<&OsStr>, what: &What) -> Option<News> {
    let gone = AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF
        | AddWatchFlags::IN_UNMOUNT
        // The kernel has removed the watch.
        | AddWatchFlags::IN_IGNORED;
    if mask.intersects(gone) {
        // A file that another one has replaced ends when its last reader closes it.
        return Some(if *what == What::File { News::Touched } else { News::Other });
    }
    let concerns = match (what, name) {
        (What::Names(names), Some(name)) => names.contains(name),
        // Only events in a directory have a name.
        (What::Passed, _) | (What::File, Some(_)) => false,
        (What::Names(_) | What::File, None) => true,
    };
    let is_directory = mask.contains(AddWatchFlags::IN_ISDIR);
    let begins = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE;
    concerns.then_some(if mask.contains(AddWatchFlags::IN_MOVED_TO) {
        News::Replaced
    } else if mask.intersects(begins) && !is_directory {
        News::Written
    } else if mask.contains(AddWatchFlags::IN_CLOSE_WRITE) {
        News::Finished
    } else if mask.contains(AddWatchFlags::IN_ATTRIB) {
        News::Touched
    } else {
        News::Other
    })
}

impl AsRawFd for Instance {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}
