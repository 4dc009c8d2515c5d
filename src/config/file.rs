//! The one place where the configuration meets the file system.

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

use super::{Context, Key, ReadError, Reading, parse};

/// The bytes that one range may take up in a file, comments included.
const BYTES_PER_CIDR: u64 = 64;

/// The bytes that every file may have.
const ALWAYS: u64 = 1 << 20;

/// The bytes that no file may exceed.
pub(crate) const NEVER_MORE: u64 = 64 << 20;

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

/// The bytes of the file at `path`.
///
/// Only a regular file is read, or what a symbolic link to one leads to, so that no pipe makes the agent wait. A file
/// may have 1 MiB, or 64 bytes for each range that its own `cidrLimit` allows, and never more than 64 MiB.
///
/// # Errors
///
/// When there is no file, when it cannot be read, and when it is too large.
pub fn load(path: &Path) -> Result<Vec<u8>, ReadError> {
    let bytes = regular_file(path, NEVER_MORE + 1)?;
    let limit = size_limit(&bytes);
    if bytes.len() as u64 > limit {
        return Err(ReadError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(bytes)
}

/// The first bytes of a regular file, at most so many.
pub(crate) fn regular_file(path: &Path, most: u64) -> Result<Vec<u8>, ReadError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => ReadError::Missing(path.to_owned()),
        _ => ReadError::Io { path: path.to_owned(), source },
    };
    let regular = |metadata: Metadata| match kind(metadata.file_type()) {
        None => Ok(()),
        Some(kind) => Err(ReadError::NotAFile { path: path.to_owned(), kind }),
    };
    regular(path.metadata().map_err(failed)?)?;
    // The path may lead to something else by now. Without O_NONBLOCK, opening a pipe waits for somebody who writes.
    let open = |path| OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
    let file: File = open(path).map_err(failed)?;
    regular(file.metadata().map_err(failed)?)?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
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

/// The bytes that a file with this text may have. The text is not understood for that, only searched: its size has to
/// be known as harmless before anything larger is built from it.
fn size_limit(bytes: &[u8]) -> u64 {
    if bytes.len() as u64 <= ALWAYS {
        return ALWAYS;
    }
    let Some((first, name)) = Key::CidrLimit.name().as_bytes().split_first() else { return ALWAYS };
    let (lower, upper) = (first.to_ascii_lowercase(), first.to_ascii_uppercase());
    let words = bytes.split(|byte| *byte == lower || *byte == upper).skip(1);
    let behind = words.filter_map(|word| {
        let (start, behind) = word.split_at_checked(name.len())?;
        start.eq_ignore_ascii_case(name).then_some(behind)
    });
    let limits = behind.map(|behind| {
        let digits = behind.iter().skip_while(|byte| matches!(byte, b'"' | b'\'' | b':' | b' ' | b'\t'));
        let digits = digits.take_while(|byte| byte.is_ascii_digit());
        digits.fold(0_u64, |limit, digit| limit.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
    });
    limits.max().unwrap_or(0).saturating_mul(BYTES_PER_CIDR).clamp(ALWAYS, NEVER_MORE)
}
