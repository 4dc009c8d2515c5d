//! The one place where the configuration meets the file system.

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

use super::{Context, ReadError, Reading, parse};

/// The bytes that a configuration may have. A larger one is refused before it is read.
pub(crate) const NEVER_MORE: u64 = 64 << 20;

/// The path that stands for stdin.
const STDIN: &str = "-";

/// Reads the configuration in the file at `path`: [`load`] and [`understand`] together.
///
/// # Errors
///
/// When there is no file, when it cannot be read, when it is too large, and when it is no configuration.
pub fn read(path: &Path, context: &Context) -> Result<Reading, ReadError> {
    understand(path, &load(path)?, context)
}

/// What the bytes of the file at `path` say.
///
/// # Errors
///
/// [`ReadError::Invalid`], when they are no configuration.
pub fn understand(path: &Path, bytes: &[u8], context: &Context) -> Result<Reading, ReadError> {
    parse(bytes, context).map_err(|errors| ReadError::Invalid { path: path.to_owned(), errors })
}

/// The bytes of the file at `path`, for whoever reads it again and again.
///
/// Only a regular file is read, or what a symbolic link to one leads to, so that no pipe makes the agent wait. It may
/// have 64 MiB.
///
/// # Errors
///
/// When there is no file, when it cannot be read, and when it is too large.
pub fn load(path: &Path) -> Result<Vec<u8>, ReadError> {
    regular_file(path, NEVER_MORE)
}

/// The bytes of the file at `path`, for whoever reads it once: also of a pipe (`<(…)` of a shell, a named pipe), or, if the
/// path is `-`, of stdin. Waits for whoever writes there.
///
/// # Errors
///
/// As [`load`].
pub fn load_once(path: &Path) -> Result<Vec<u8>, ReadError> {
    if is_stdin(path) {
        return bounded(io::stdin().lock(), 0, path, NEVER_MORE);
    }
    let is_pipe = path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo());
    if !is_pipe {
        return load(path);
    }
    let pipe = File::open(path).map_err(|error| failed(path, error))?;
    bounded(pipe, 0, path, NEVER_MORE)
}

/// Does the path stand for stdin?
#[must_use]
pub fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == STDIN
}

/// The bytes of a regular file, if they are no more than `limit`.
pub(crate) fn regular_file(path: &Path, limit: u64) -> Result<Vec<u8>, ReadError> {
    let regular = |metadata: &Metadata| match kind(metadata.file_type()) {
        None => Ok(()),
        Some(kind) => Err(ReadError::NotAFile { path: path.to_owned(), kind }),
    };
    regular(&path.metadata().map_err(|error| failed(path, error))?)?;
    // The path may lead to something else by now. Without O_NONBLOCK, opening a pipe waits for somebody who writes.
    let open = |path| OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
    let file: File = open(path).map_err(|error| failed(path, error))?;
    let metadata = file.metadata().map_err(|error| failed(path, error))?;
    regular(&metadata)?;
    bounded(file, metadata.len(), path, limit)
}

/// All that there is to read, if it is no more than `limit`. It is `expected` bytes, or it may be another number: a file can
/// grow, and what the kernel makes up (`/proc`) has no size.
fn bounded(from: impl Read, expected: u64, path: &Path, limit: u64) -> Result<Vec<u8>, ReadError> {
    let too_large = || ReadError::TooLarge { path: path.to_owned(), limit };
    if expected > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    // One more, so that reading finds the end without asking for more memory. Where that is short, reading says so.
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

/// What this is, if it is no regular file.
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
