//! What is left in `--runtime-dir` for other processes. A running agent leaves a record for the verbs that are called beside
//! it, one for each network namespace, on which it holds a lock for as long as it lives: without the lock a record means
//! nothing. And `apply` leaves what it knew of the rules (`remembered`).

mod remembered;

use std::fmt;
use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::os::fd::IntoRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::thread;

use nix::fcntl::{FcntlArg, OFlag, fcntl, openat};
use nix::libc::{self, c_int, flock};
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::stat::Mode;
use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};
use tracing::debug;

use crate::last_good::{Owners, hand_over};
use crate::text::Shown;

/// `--runtime-dir`, if it is not given.
pub const DEFAULT: &str = "/run/ip-masq-agent";

/// The bytes that a record may have: those of the longest command line, and some.
const LARGEST: u64 = 4 << 20;
/// The thread that writes a record does little.
const STACK_BYTES: usize = 64 * 1024;
/// Written by others than their owner: files and directories of which this is so are not believed.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// What a running agent says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its process, as it numbers it itself.
    pub pid: u32,
    /// The flags that decide what it does, each with its value behind `=`, paths from the root.
    pub flags: Vec<String>,
    /// Its configuration file, from the root.
    pub config: PathBuf,
    /// Where this is true.
    #[serde(flatten)]
    place: Place,
}

/// What tells one network namespace of one boot from all others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    /// The inode of `/proc/self/ns/net`.
    namespace: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    boot: String,
}

/// There is a record of a running agent, but it cannot be trusted.
#[derive(Debug)]
pub struct Doubtful {
    path: PathBuf,
    why: String,
}

/// `--runtime-dir`.
#[derive(Clone, Debug)]
pub struct RuntimeDir {
    path: PathBuf,
}

impl RuntimeDir {
    /// The directory at `path`. It need not be there.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Leaves the record of this process for as long as it lives, on a thread, as a directory may be slow. An agent that runs
    /// here already keeps its own until it ends. Without a record the agent does all that it does with one.
    pub fn announce(self, flags: Vec<String>, config: &Path) {
        let place = match Place::here() {
            Ok(place) => place,
            Err(error) => return self.tell_of_no_record(&error),
        };
        let config = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
        let record = Record { pid: std::process::id(), flags, config, place };
        // Signals are for the thread that waits for them.
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK);
        let dir = self.clone();
        let work = move || dir.hold(&record).unwrap_or_else(|error| dir.tell_of_no_record(&error));
        let thread = thread::Builder::new().name("record".to_owned()).stack_size(STACK_BYTES).spawn(work);
        if let Err(error) = thread {
            self.tell_of_no_record(&error);
        }
        let _ = before.map(|before| before.thread_set_mask());
    }

    fn tell_of_no_record(&self, error: &io::Error) {
        let path = self.path.display();
        debug!(
            event = "record_not_left",
            error = %error,
            "no record of this agent in {path}, so that verbs that are called beside it do not know of it: {error}"
        );
    }

    /// Returns when the record is written. The lock is released when the process ends.
    fn hold(&self, record: &Record) -> io::Result<()> {
        match DirBuilder::new().mode(0o755).create(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let name = file_name(record.place.namespace);
        let mut file = open_in(&self.open_dir()?, &name, OFlag::O_RDWR | OFlag::O_CREAT)?;
        // Another user may have put it there, to have it written to.
        if let Some(why) = self.doubt(&file)? {
            return Err(io::Error::other(why));
        }
        hand_over(&file, &self.path.join(&name));
        fcntl(&file, FcntlArg::F_OFD_SETLKW(&lock(libc::F_WRLCK)))?;
        file.set_len(0)?;
        file.write_all(&serde_json::to_vec(record)?)?;
        // Never closed.
        let _ = file.into_raw_fd();
        Ok(())
    }

    /// The record of the agent that runs in this network namespace; `None` if none is known to run.
    ///
    /// # Errors
    ///
    /// [`Doubtful`], if one seems to run.
    pub fn running(&self) -> Result<Option<Record>, Doubtful> {
        // Looked for first: most nodes have no agent beside which a verb is called.
        let opened = self.open_dir().and_then(|dir| {
            let namespace = namespace()?;
            Ok((open_in(&dir, &file_name(namespace), OFlag::O_RDONLY)?, namespace))
        });
        let (file, namespace) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let path = self.path.display();
                debug!(event = "no_record", error = %error, "no record of an agent in {path}: {error}");
                return Ok(None);
            }
        };
        let doubtful = |why: String| Doubtful { path: self.path.join(file_name(namespace)), why };
        if !is_held(&file).unwrap_or_default() {
            return Ok(None);
        }
        if let Some(why) = self.doubt(&file).map_err(|error| doubtful(error.to_string()))? {
            return Err(doubtful(why));
        }
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes).map_err(|error| doubtful(error.to_string()))?;
        let record: Record =
            serde_json::from_slice(&bytes).map_err(|error| doubtful(format!("it cannot be read: {error}")))?;
        Ok(Place::here().is_ok_and(|place| record.place == place).then_some(record))
    }

    fn open_dir(&self) -> io::Result<File> {
        File::open(&self.path)
    }

    /// Why it cannot be trusted, if others than its [`Owners`] could have written it.
    fn doubt(&self, file: &File) -> io::Result<Option<String>> {
        let owners = Owners::of(&self.path);
        let of_directory = doubt(owners, "its directory", &fs::metadata(&self.path)?);
        let metadata = file.metadata()?;
        let kind = (!metadata.is_file()).then(|| "it is no regular file".to_owned());
        Ok(of_directory.or(kind).or_else(|| doubt(owners, "it", &metadata)))
    }
}

fn doubt(owners: Owners, what: &str, metadata: &Metadata) -> Option<String> {
    let (owner, us) = (metadata.uid(), geteuid().as_raw());
    if !owners.include(owner) {
        return Some(format!("{what} belongs to user {owner}; expected root or user {us}, who asks"));
    }
    let mode = metadata.mode();
    (mode & WRITABLE_BY_OTHERS != 0)
        .then(|| format!("{what} can be written by others than its owner (mode {:o})", mode & 0o7777))
}

impl Place {
    fn here() -> io::Result<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
        Ok(Self { namespace: namespace()?, boot })
    }
}

/// The inode of the network namespace of this thread.
fn namespace() -> io::Result<u64> {
    Ok(fs::metadata("/proc/thread-self/ns/net")?.ino())
}

fn file_name(namespace: u64) -> String {
    format!("netns-{namespace}")
}

/// No symbolic link is followed, and opening does not wait (for a FIFO).
fn open_in(dir: &File, name: &str, how: OFlag) -> io::Result<File> {
    let flags = how | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = openat(dir, Path::new(name), flags, Mode::from_bits_truncate(0o644))?;
    Ok(File::from(file))
}

/// A lock of an open file (`fcntl_locking(2)`) on the whole of it.
fn lock(kind: c_int) -> flock {
    let small = |number: c_int| i16::try_from(number).unwrap_or_default();
    flock { l_type: small(kind), l_whence: small(libc::SEEK_SET), l_start: 0, l_len: 0, l_pid: 0 }
}

/// Whether a process holds the lock of a writer. Taking it needs the right to write, while every process that may read
/// can lock as a reader.
fn is_held(file: &File) -> nix::Result<bool> {
    let mut found = lock(libc::F_RDLCK);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut found))?;
    Ok(c_int::from(found.l_type) != libc::F_UNLCK)
}

impl fmt::Display for Doubtful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, why } = self;
        write!(f, "an agent seems to run here, but its record {} is not believed: {why}", Shown(&**path))
    }
}
