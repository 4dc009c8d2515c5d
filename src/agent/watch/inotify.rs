//! One inotify instance for the agent's life, whose watches are added and removed (inotify(7)).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::OsStr;
use std::io;
use std::ops::BitOrAssign;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use tokio::io::unix::AsyncFd;

use super::super::sources::readable;
use super::route::{Point, What};

/// The watches at the points of routes.
#[derive(Debug)]
pub(super) struct Watches {
    instance: AsyncFd<Instance>,
    set: HashMap<WatchDescriptor, Watch>,
}

/// What the events mean for the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// The file is another, or it may be.
    pub(super) settled: bool,
    /// It is being written.
    pub(super) writing: bool,
}

/// A watch belongs to an inode, so points that have one inode, by several paths (bind mounts) or on the ways to several files,
/// have one watch.
#[derive(Debug)]
struct Watch {
    mask: AddWatchFlags,
    what: Vec<What>,
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
        Ok(Self { instance: readable(Instance(instance))?, set: HashMap::new() })
    }

    /// From now on these points are watched, and nothing else. Watches that are set already stay as they are.
    ///
    /// Hands each point that cannot be watched to `failed`; the others are.
    pub(super) fn watch<'p>(
        &mut self,
        points: impl Iterator<Item = &'p Point>,
        mut failed: impl FnMut(&'p Point, Errno),
    ) {
        let inotify = &self.instance.get_ref().0;
        let add = |path: &Path, mask: AddWatchFlags| inotify.add_watch(path, mask | AddWatchFlags::IN_DONT_FOLLOW);
        let mut set: HashMap<WatchDescriptor, Watch> = HashMap::new();
        for point in points {
            let mask = mask(&point.what);
            match add(&point.path, mask) {
                Err(errno) => failed(point, errno),
                Ok(descriptor) => match set.entry(descriptor) {
                    Entry::Vacant(place) => {
                        place.insert(Watch { mask, what: vec![point.what.clone()] });
                    }
                    Entry::Occupied(mut place) => {
                        let watch = place.get_mut();
                        watch.mask |= mask;
                        watch.what.push(point.what.clone());
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
        self.set = set;
    }

    /// Completes once there was something to hear. Dropping the future loses nothing.
    pub(super) async fn hear(&mut self) -> io::Result<Heard> {
        loop {
            let mut ready = self.instance.readable().await?;
            let read = ready.try_io(|instance| Ok(instance.get_ref().0.read_events()?));
            let heard = match read {
                Ok(Ok(events)) => self.understand(&events),
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => Heard::default(),
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => Heard::default(),
            };
            if heard != Heard::default() {
                return Ok(heard);
            }
        }
    }

    /// What there is to hear by now.
    pub(super) fn drain(&mut self) -> Heard {
        let mut heard = Heard::default();
        for _ in 0..MOST_READS {
            match self.instance.get_ref().0.read_events() {
                Ok(events) => heard |= self.understand(&events),
                Err(Errno::EINTR) => {}
                // Any other error is met again, and reported, by `hear`.
                Err(_) => break,
            }
        }
        heard
    }

    fn understand(&self, events: &[InotifyEvent]) -> Heard {
        let mut heard = Heard::default();
        for event in events {
            if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                // It could have been anything.
                heard.settled = true;
            }
            // Events of a watch that was removed may still be queued.
            for what in self.set.get(&event.wd).into_iter().flat_map(|watch| &watch.what) {
                heard |= meaning(event.mask, event.name.as_deref(), what);
            }
        }
        heard
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

/// What an event means for the file at the end of the route.
fn meaning(mask: AddWatchFlags, name: Option<&OsStr>, what: &What) -> Heard {
    let gone = AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF
        | AddWatchFlags::IN_UNMOUNT
        // The kernel has removed the watch.
        | AddWatchFlags::IN_IGNORED;
    let settled = Heard { settled: true, writing: false };
    let writing = Heard { settled: false, writing: true };
    if mask.intersects(gone) {
        return settled;
    }
    let concerns = match (what, name) {
        (What::Names(names), Some(name)) => names.contains(name),
        // Only events in a directory have a name.
        (What::Passed, _) | (What::File, Some(_)) => false,
        (What::Names(_) | What::File, None) => true,
    };
    let is_directory = mask.contains(AddWatchFlags::IN_ISDIR);
    let begins = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE;
    match concerns {
        false => Heard::default(),
        true if mask.intersects(begins) && !is_directory => writing,
        true => settled,
    }
}

impl BitOrAssign for Heard {
    fn bitor_assign(&mut self, other: Self) {
        self.settled |= other.settled;
        self.writing |= other.writing;
    }
}

impl AsRawFd for Instance {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}
