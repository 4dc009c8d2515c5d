//! The state directory: reads and writes the file with the last valid configuration.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use thiserror::Error;

use super::format::{self, FormatError, LONGEST_HEADER};
use super::trust::{self, TrustError};
use super::{LastKnownGood, absolute};
use crate::config::{self, ReadError};
use crate::text::Shown;

/// The name of the state file.
const NAME: &str = "last-known-good";
/// The name of what is to become the state file. What a crash leaves of it is replaced and never read.
const NEW: &str = "last-known-good.new";
/// So many files of each kind are set aside at most; then the oldest is removed.
const MOST_ASIDE: usize = 3;
/// The bytes that a state file can need.
pub(super) const LARGEST: u64 = config::MOST_BYTES + LONGEST_HEADER;

/// `--state-dir`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDir {
    pub(super) path: PathBuf,
}

/// Why the state file gives no configuration.
#[derive(Debug, Error)]
pub enum LoadError {
    /// It cannot be read, or is no file.
    #[error(transparent)]
    Unreadable(ReadError),
    /// Somebody else could have put it there, or changed it.
    #[error(transparent)]
    Untrusted(#[from] TrustError),
    /// It was not written by this version of the agent, or is damaged.
    #[error("{}: {error}", Shown(&**.path))]
    Format {
        /// The state file.
        path: PathBuf,
        /// What is wrong with it.
        error: FormatError,
    },
    /// It is larger than any that the agent writes.
    #[error("{}: larger than the {LARGEST} bytes that --state-dir writes at most", Shown(&**.path))]
    TooLarge {
        /// The state file.
        path: PathBuf,
    },
}

/// What is wrong with a state file that is set aside: the word in its new name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Flaw {
    /// It is damaged, or was never ours.
    Corrupt,
    /// Another version of the agent wrote it.
    Foreign,
    /// Somebody else could have put it there, or changed it.
    Untrusted,
}

/// Why the last valid configuration could not be written. What was there before is there still.
#[derive(Debug, Error)]
#[error("could not {doing} {}: {source}", Shown(&**.path))]
pub struct WriteError {
    /// What was being done, in words that follow "could not".
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl StateDir {
    /// The directory at `path`, from the root or from the current directory. It need not be there yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: absolute(path) }
    }

    /// The state file.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.path.join(NAME)
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the state file holds; `None` if there is none. Nothing is changed.
    ///
    /// # Errors
    ///
    /// [`LoadError`], if there is one and it cannot be used, or if others could write one there.
    pub fn load(&self) -> Result<Option<LastKnownGood>, LoadError> {
        let path = self.file();
        trust::check(&self.path, &path)?;
        let bytes = match config::regular_file(&path, LARGEST) {
            Ok(bytes) => bytes,
            Err(ReadError::TooLarge { .. }) => return Err(LoadError::TooLarge { path }),
            Err(ReadError::Missing(_)) => return Ok(None),
            Err(error) => return Err(LoadError::Unreadable(error)),
        };
        format::decode(&bytes).map(Some).map_err(|error| LoadError::Format { path, error })
    }

    /// Renames a state file that cannot be used, so that it can be looked at and is not found again. Returns its new
    /// name.
    ///
    /// # Errors
    ///
    /// Why it could not be renamed.
    pub fn set_aside(&self, flaw: Flaw) -> io::Result<PathBuf> {
        // A save that begins while this waits for the disk comes after it.
        let _lock = self.lock().map_err(io::Error::other)?;
        let aside = |number: usize| self.path.join(format!("{NAME}.{flaw}-{number}"));
        let free = (1..=MOST_ASIDE).find(|number| fs::symlink_metadata(aside(*number)).is_err());
        if free.is_none() {
            (1..MOST_ASIDE).try_for_each(|number| fs::rename(aside(number + 1), aside(number)))?;
        }
        let to = aside(free.unwrap_or(MOST_ASIDE));
        fs::rename(self.file(), &to).map(|()| to)
    }

    /// Makes the state file hold this, unless it does already. At every moment, a crash and a loss of power included,
    /// it holds what it held or this. Returns whether anything was written.
    ///
    /// # Errors
    ///
    /// [`WriteError`]; the state file holds what it held.
    pub fn save(&self, good: &LastKnownGood) -> Result<bool, WriteError> {
        self.write(&format::encode(good))
    }

    /// The same with the bytes that the file is to hold. Only one process writes at a time: others wait.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<bool, WriteError> {
        self.create()?;
        let directory = self.lock()?;
        let file = self.file();
        if config::regular_file(&file, bytes.len() as u64).is_ok_and(|held| held == bytes) {
            return Ok(false);
        }
        replace(&self.path.join(NEW), &file, bytes, true)?;
        // The name is on the disk only when the directory is.
        directory.sync().map_err(failed("write to the disk", &self.path)).map(|()| true)
    }

    /// The directory, which is this process's alone until the value is dropped. A writer process that an earlier agent
    /// left behind on a disk that hangs is waited for, so that it does not overwrite this with something older.
    pub(super) fn lock(&self) -> Result<Locked, WriteError> {
        // Some network file systems have no locks. Without, all else still holds.
        Ok(self.locked(FlockArg::LockExclusive)?.unwrap_or_else(|(directory, _)| Locked::Perhaps(directory)))
    }

    /// The same without waiting for another process: an error, if one has the lock.
    pub(super) fn try_lock(&self) -> Result<Locked, WriteError> {
        let locked = self.locked(FlockArg::LockExclusiveNonblock)?;
        locked.map_err(|(_, errno)| failed("lock", &self.path)(errno.into()))
    }

    fn locked(&self, how: FlockArg) -> Result<Result<Locked, (File, Errno)>, WriteError> {
        let directory = File::open(&self.path).map_err(failed("open", &self.path))?;
        Ok(Flock::lock(directory, how).map(|lock| Locked::Alone(Some(lock))))
    }

    fn create(&self) -> Result<(), WriteError> {
        if self.path.is_dir() {
            return Ok(());
        }
        let create = DirBuilder::new().recursive(true).mode(0o700).create(&self.path);
        create.map_err(failed("create the directory", &self.path))
    }
}

/// The state directory while it is written.
pub(super) enum Locked {
    /// No other process writes.
    Alone(Option<Flock<File>>),
    /// There are no locks.
    Perhaps(File),
}

impl Locked {
    fn sync(&self) -> io::Result<()> {
        match self {
            Self::Alone(lock) => lock.as_ref().map_or(Ok(()), |directory| directory.sync_all()),
            Self::Perhaps(directory) => directory.sync_all(),
        }
    }
}

impl Drop for Locked {
    /// The library would panic if unlocking failed; the end of the process unlocks as well.
    fn drop(&mut self) {
        if let Self::Alone(lock) = self
            && let Some(Err((lock, _))) = lock.take().map(Flock::unlock)
        {
            std::mem::forget(lock);
        }
    }
}

impl LoadError {
    /// What is wrong with the file, if it is of no use; `None` if nothing is known but that it cannot be read.
    #[must_use]
    pub const fn flaw(&self) -> Option<Flaw> {
        match self {
            Self::Untrusted(_) => Some(Flaw::Untrusted),
            Self::Format { error: FormatError::Foreign(_), .. } => Some(Flaw::Foreign),
            Self::Unreadable(ReadError::NotAFile { .. })
            | Self::TooLarge { .. }
            | Self::Format { error: FormatError::Corrupt(_), .. } => Some(Flaw::Corrupt),
            Self::Unreadable(_) => None,
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Corrupt => "corrupt",
            Self::Foreign => "foreign",
            Self::Untrusted => "untrusted",
        })
    }
}

/// Makes a file hold these bytes. At every moment it holds what it held or these.
pub(super) fn replace(new: &Path, file: &Path, bytes: &[u8], lasts: bool) -> Result<(), WriteError> {
    write(new, bytes, lasts)
        .and_then(|()| fs::rename(new, file).map_err(failed("rename to its name", new)))
        // What takes up room there is of no use.
        .inspect_err(|_| drop(fs::remove_file(new)))
}

/// Writes a new file, which no process has open, and down to the disk if it is to last.
fn write(new: &Path, bytes: &[u8], lasts: bool) -> Result<(), WriteError> {
    match fs::remove_file(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("replace", new)(error)),
        _ => {}
    }
    let open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new);
    let mut file: File = open.map_err(failed("create", new))?;
    trust::hand_over(&file, new);
    file.write_all(bytes).map_err(failed("write", new))?;
    if lasts { file.sync_all().map_err(failed("write to the disk", new)) } else { Ok(()) }
}

pub(super) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WriteError {
    move |source| WriteError { doing, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::SourceSet;

    fn good(text: &str) -> LastKnownGood {
        LastKnownGood::new(SourceSet::one("/etc/config/ip-masq-agent", Some(text.as_bytes().to_vec())))
    }

    /// A state directory that is not there yet.
    fn fresh() -> (tempfile::TempDir, StateDir) {
        let scratch = tempfile::tempdir().unwrap();
        let dir = StateDir::new(&scratch.path().join("lib/ip-masq-agent"));
        (scratch, dir)
    }

    fn names(dir: &StateDir) -> Vec<String> {
        let entries = fs::read_dir(&dir.path).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_saved_is_loaded_and_only_the_owner_may_look() {
        let (_scratch, dir) = fresh();
        assert_eq!(dir.load().unwrap(), None);
        for good in [good("masqLinkLocal: true\n"), good(""), LastKnownGood::new(SourceSet::one("relative", None))] {
            assert!(dir.save(&good).unwrap(), "written");
            assert_eq!(dir.load().unwrap(), Some(good));
        }
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&dir.path), mode(&dir.file())), (0o700, 0o600));
        assert_eq!(names(&dir), [NAME]);
    }

    #[test]
    fn what_is_there_already_is_not_written_again() {
        let (_scratch, dir) = fresh();
        let good = good("masqLinkLocal: true\n");
        assert!(dir.save(&good).unwrap());
        let before = dir.file().metadata().unwrap().modified().unwrap();
        assert!(!dir.save(&good).unwrap());
        assert_eq!(dir.file().metadata().unwrap().modified().unwrap(), before);
    }

    #[test]
    fn what_a_crash_left_unfinished_is_neither_read_nor_in_the_way() {
        let (_scratch, dir) = fresh();
        let (old, new) = (good("masqLinkLocal: true\n"), good("masqLinkLocal: false\n"));
        dir.save(&old).unwrap();
        let bytes = format::encode(&new);
        for written in 0..=bytes.len() {
            fs::write(dir.path.join(NEW), &bytes[..written]).unwrap();
            assert_eq!(dir.load().unwrap(), Some(old.clone()), "{written} bytes were written");
        }
        assert!(dir.save(&new).unwrap());
        assert_eq!((names(&dir), dir.load().unwrap()), (vec![NAME.to_owned()], Some(new)));
    }

    #[test]
    fn where_it_cannot_be_written_the_error_names_the_place_and_the_old_one_stays() {
        let (scratch, dir) = fresh();
        let (old, new) = (good("masqLinkLocal: true\n"), good("masqLinkLocal: false\n"));
        dir.save(&old).unwrap();
        // Nobody can replace a directory by a file, root included.
        fs::create_dir(dir.path.join(NEW)).unwrap();
        let message = dir.save(&new).unwrap_err().to_string();
        assert!(message.starts_with(&format!("could not replace {}: ", dir.path.join(NEW).display())), "{message}");
        assert_eq!(dir.load().unwrap(), Some(old));

        fs::write(scratch.path().join("file"), "").unwrap();
        let nowhere = StateDir::new(&scratch.path().join("file/state"));
        let message = nowhere.save(&new).unwrap_err().to_string();
        assert!(message.contains("could not create the directory") && message.contains("file/state"), "{message}");

        let taken = StateDir::new(&scratch.path().join("taken"));
        fs::create_dir_all(taken.file().join("something")).unwrap();
        let message = taken.save(&new).unwrap_err().to_string();
        assert!(message.contains("could not rename to its name"), "{message}");
        assert_eq!(names(&taken), [NAME], "what was written for nothing is gone");
    }

    #[test]
    fn what_cannot_be_obeyed_is_set_aside_by_its_kind_and_only_so_many_stay() {
        let (_scratch, dir) = fresh();
        let foreign = "ip-masq-agent last-known-good 7\n";
        fs::create_dir_all(&dir.path).unwrap();
        for number in 1..=5 {
            fs::write(dir.file(), format!("damaged {number}")).unwrap();
            let error = dir.load().unwrap_err();
            let why = "is damaged: its first line is not the agent's; expected what --state-dir writes";
            assert_eq!(error.to_string(), format!("{}: {why}", dir.file().display()));
            let aside = dir.set_aside(error.flaw().unwrap()).unwrap();
            assert_eq!(fs::read_to_string(&aside).unwrap(), format!("damaged {number}"));
            assert_eq!(aside, dir.path.join(format!("{NAME}.corrupt-{}", number.min(MOST_ASIDE))));
            assert_eq!(dir.load().unwrap(), None);
        }
        let left = (1..=MOST_ASIDE).map(|number| fs::read_to_string(dir.path.join(format!("{NAME}.corrupt-{number}"))));
        assert_eq!(left.map(Result::unwrap).collect::<Vec<_>>(), ["damaged 3", "damaged 4", "damaged 5"]);

        fs::write(dir.file(), foreign).unwrap();
        let error = dir.load().unwrap_err();
        assert!(error.to_string().contains("has format 7; expected format 1 or 2"), "{error}");
        dir.set_aside(error.flaw().unwrap()).unwrap();
        assert!(names(&dir).contains(&format!("{NAME}.foreign-1")), "{:?}", names(&dir));
    }

    #[test]
    fn what_is_no_file_or_too_large_is_not_read() {
        let (_scratch, dir) = fresh();
        fs::create_dir_all(dir.file()).unwrap();
        let error = dir.load().unwrap_err();
        assert!(error.to_string().contains("is a directory; expected a regular file"), "{error}");
        dir.set_aside(error.flaw().unwrap()).unwrap();

        // As large as it takes, without a block on the disk.
        File::create(dir.file()).unwrap().set_len(LARGEST + 1).unwrap();
        let error = dir.load().unwrap_err();
        assert!(error.to_string().contains(&format!("larger than the {LARGEST} bytes")), "{error}");
        dir.set_aside(error.flaw().unwrap()).unwrap();
        assert_eq!(names(&dir), [format!("{NAME}.corrupt-1"), format!("{NAME}.corrupt-2")]);
    }
}
