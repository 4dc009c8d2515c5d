//! The one place where the configuration meets the file system.

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

use super::{Context, ReadError, Reading, Source, SourcePaths, SourceSet, understand};

/// The bytes that a configuration may have, all its files together. A larger one is refused before it is read.
pub(crate) const MOST_BYTES: u64 = 64 << 20;

/// The path that stands for stdin.
const STDIN: &str = "-";

/// Reads the configuration in the file at `path`, which has to be there.
///
/// # Errors
///
/// When there is no file, when it cannot be read, when it is too large, and when it is no configuration.
pub fn read(path: &Path, context: &Context) -> Result<Reading, ReadError> {
    let bytes = regular_file(path, MOST_BYTES)?;
    understand(&SourceSet::one(path, Some(bytes)), context)
}

impl SourceSet {
    /// The files at these paths, for a caller that reads them repeatedly. A missing file is not an error.
    ///
    /// Only regular files and symbolic links to them are read, so that no pipe makes the agent wait. They may have 64
    /// MiB together.
    ///
    /// # Errors
    ///
    /// When one of them cannot be read, and when they are too large.
    pub fn load(paths: &SourcePaths) -> Result<Self, ReadError> {
        Self::load_by(paths, regular_file)
    }

    /// The same for a caller that reads them once: this also reads pipes (`<(…)` of a shell, a named pipe) and, for the
    /// path `-`, stdin. Waits until the writer has closed its end.
    ///
    /// # Errors
    ///
    /// As [`SourceSet::load`].
    pub fn load_once(paths: &SourcePaths) -> Result<Self, ReadError> {
        Self::load_by(paths, of_any_kind)
    }

    fn load_by(
        paths: &SourcePaths,
        load: impl Fn(&Path, u64) -> Result<Vec<u8>, ReadError>,
    ) -> Result<Self, ReadError> {
        let mut left = MOST_BYTES;
        let source = |path: &Path| {
            let content = match load(path, left) {
                Ok(bytes) => Some(bytes),
                Err(ReadError::Missing(_)) => None,
                Err(ReadError::TooLarge { .. }) if left < MOST_BYTES => {
                    return Err(ReadError::TooLargeTogether { path: path.to_owned(), limit: MOST_BYTES });
                }
                Err(error) => return Err(error),
            };
            left -= content.as_ref().map_or(0, |bytes| bytes.len() as u64);
            Ok(Source { path: path.to_owned(), content })
        };
        Ok(Self { sources: paths.iter().map(source).collect::<Result<_, _>>()? })
    }
}

/// Whether the path stands for stdin.
#[must_use]
pub fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == STDIN
}

/// The bytes of whatever is at the path, which may be stdin or a pipe, if they are no more than `limit`.
fn of_any_kind(path: &Path, limit: u64) -> Result<Vec<u8>, ReadError> {
    if is_stdin(path) {
        return bounded(io::stdin().lock(), 0, path, limit);
    }
    let is_pipe = path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo());
    if !is_pipe {
        return regular_file(path, limit);
    }
    let pipe = File::open(path).map_err(|error| failed(path, error))?;
    bounded(pipe, 0, path, limit)
}

/// The bytes of a regular file, if they are no more than `limit`.
pub(crate) fn regular_file(path: &Path, limit: u64) -> Result<Vec<u8>, ReadError> {
    let regular = |metadata: &Metadata| match kind(metadata.file_type()) {
        None => Ok(()),
        Some(kind) => Err(ReadError::NotAFile { path: path.to_owned(), kind }),
    };
    regular(&path.metadata().map_err(|error| failed(path, error))?)?;
    // The path may lead to something else by now. Without O_NONBLOCK, opening a pipe waits for a writer.
    let open = |path| OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
    let file: File = open(path).map_err(|error| failed(path, error))?;
    let metadata = file.metadata().map_err(|error| failed(path, error))?;
    regular(&metadata)?;
    bounded(file, metadata.len(), path, limit)
}

/// All that there is to read, if it is no more than `limit`. `expected` is the size that the file system reports, which
/// need not be true: a file can grow, and files that the kernel generates (`/proc`) report no size.
fn bounded(from: impl Read, expected: u64, path: &Path, limit: u64) -> Result<Vec<u8>, ReadError> {
    let too_large = || ReadError::TooLarge { path: path.to_owned(), limit };
    if expected > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    // One byte more, so that reading finds the end without asking for more memory. If memory is short, the read reports
    // it.
    let _ = bytes.try_reserve_exact(usize::try_from(expected).unwrap_or(0) + 1);
    from.take(limit + 1).read_to_end(&mut bytes).map_err(|error| failed(path, error))?;
    if bytes.len() as u64 > limit {
        return Err(too_large());
    }
    bytes.shrink_to_fit();
    Ok(bytes)
}

fn failed(path: &Path, source: io::Error) -> ReadError {
    match source.kind() {
        io::ErrorKind::NotFound => ReadError::Missing(path.to_owned()),
        _ => ReadError::Io { path: path.to_owned(), source },
    }
}

/// What this is, with its article, if it is not a regular file.
fn kind(file_type: FileType) -> Option<&'static str> {
    let kinds = [
        (file_type.is_dir(), "a directory"),
        (file_type.is_fifo(), "a named pipe"),
        (file_type.is_socket(), "a socket"),
        (file_type.is_block_device() || file_type.is_char_device(), "a device"),
        (!file_type.is_file(), "no regular file"),
    ];
    kinds.into_iter().find_map(|(is_this, kind)| is_this.then_some(kind))
}
