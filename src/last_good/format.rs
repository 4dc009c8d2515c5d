//! The state file: a few lines of text for people, an empty line, then the configuration files byte for byte, one behind the
//! other.
//!
//! ```text
//! ip-masq-agent last-known-good 2
//! path: /etc/config/ip-masq-agent
//! length: 33
//! path: /etc/config/more
//! length: none
//! crc32: 10cc6e7f
//!
//! nonMasqueradeCIDRs: [10.0.0.0/8]
//! ```
//!
//! Each file, in the order in which they are merged, has a `path` and a `length`: that of its content in bytes, or `none` if
//! there was no file. The checksum (CRC-32 as in IEEE 802.3) covers everything but its own line and the empty one. In a
//! path, whatever is not printable ASCII is written as in a URL.
//!
//! Format 1 is the same with exactly one file. It is read, so that an update of the agent does not lose what the one before
//! has saved, and no longer written.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::LastKnownGood;
use crate::config::{Source, SourceSet};

/// What every state file begins with, whatever its version.
const MAGIC: &str = "ip-masq-agent last-known-good ";
/// The version of the format that is written.
const VERSION: &str = "2";
/// The version that holds one file, which is read as well.
const VERSION_OF_ONE: &str = "1";
/// What the line begins with that names a file.
const PATH: &str = "path: ";
/// The length where there was no file.
const NONE: &str = "none";

/// The most bytes that the lines before the contents can take: for each file `PATH_MAX` of them, each written as three, and
/// the rest.
pub(super) const LONGEST_HEADER: u64 = SourceSet::MOST as u64 * (3 * 4_096 + 64) + 1_024;

/// The lengths in the header are not those of the contents.
const WRONG_LENGTH: FormatError = FormatError::Corrupt("its content is not as long as its header says");

/// Why bytes are no state of ours.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FormatError {
    /// Another version of the agent wrote it.
    #[error("has format {0}; expected format {VERSION_OF_ONE} or {VERSION}, which this version of the agent reads")]
    Foreign(String),
    /// It is damaged, or was never ours.
    #[error("is damaged: {0}; expected what --state-dir writes")]
    Corrupt(&'static str),
}

/// The bytes of a state file.
#[must_use]
pub fn encode(good: &LastKnownGood) -> Vec<u8> {
    let mut text = format!("{MAGIC}{VERSION}\n");
    for Source { path, content } in good.sources.iter() {
        let length = content.as_ref().map_or_else(|| NONE.to_owned(), |content| content.len().to_string());
        let _ = write!(text, "path: {}\nlength: {length}\n", escaped(path));
    }
    let contents = || good.sources.iter().filter_map(|source| source.content.as_deref());
    let checksum = checksum(text.as_bytes(), contents());
    let _ = write!(text, "crc32: {checksum:08x}\n\n");
    let mut bytes = text.into_bytes();
    bytes.reserve_exact(contents().map(<[u8]>::len).sum());
    contents().for_each(|content| bytes.extend(content));
    bytes
}

/// The configuration that the bytes of a state file hold.
///
/// # Errors
///
/// [`FormatError`], if they are not what [`encode`] makes, or has made as format 1, to the last bit.
pub fn decode(bytes: &[u8]) -> Result<LastKnownGood, FormatError> {
    use FormatError::{Corrupt, Foreign};
    let behind = bytes.strip_prefix(MAGIC.as_bytes()).ok_or(Corrupt("its first line is not the agent's"))?;
    let (version, mut behind) = line(behind)?;
    if version != VERSION && version != VERSION_OF_ONE {
        let is_number = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
        return Err(if is_number { Foreign(version.to_owned()) } else { Corrupt("its version is no number") });
    }
    let most = if version == VERSION { SourceSet::MOST } else { 1 };
    let mut files = Vec::new();
    while files.is_empty() || behind.starts_with(PATH.as_bytes()) {
        if files.len() == most {
            return Err(Corrupt("it holds more files than its version allows"));
        }
        let (path, rest) = field(behind, PATH)?;
        let (length, rest) = field(rest, "length: ")?;
        files.push((path, length));
        behind = rest;
    }
    let (covered, _) = bytes.split_at_checked(bytes.len() - behind.len()).ok_or(Corrupt("it is too short"))?;
    let (written, behind) = field(behind, "crc32: ")?;
    let contents = behind.strip_prefix(b"\n").ok_or(Corrupt("no empty line follows its header"))?;
    let mut left = contents;
    let mut sources = Vec::with_capacity(files.len());
    for (path, length) in files {
        let length = (length != NONE).then(|| length.parse::<usize>()).transpose();
        let split =
            length.ok().and_then(|length| left.split_at_checked(length.unwrap_or(0)).map(|split| (length, split)));
        let (length, (content, behind)) = split.ok_or(WRONG_LENGTH)?;
        let path = unescaped(path).ok_or(Corrupt("its path cannot be read"))?;
        sources.push(Source { path, content: length.map(|_| content.to_vec()) });
        left = behind;
    }
    if !left.is_empty() {
        return Err(WRONG_LENGTH);
    }
    if written != format!("{:08x}", checksum(covered, [contents])) {
        return Err(Corrupt("its checksum does not fit its content"));
    }
    SourceSet::new(sources).map(|sources| LastKnownGood { sources }).ok_or(Corrupt("it holds no file"))
}

/// The value of a line, and what is behind it.
fn field<'a>(bytes: &'a [u8], name: &str) -> Result<(&'a str, &'a [u8]), FormatError> {
    line(bytes.strip_prefix(name.as_bytes()).ok_or(FormatError::Corrupt("a line is missing in its header"))?)
}

fn line(bytes: &[u8]) -> Result<(&str, &[u8]), FormatError> {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (line, behind) =
        end.and_then(|end| bytes.split_at_checked(end)).ok_or(FormatError::Corrupt("it ends early"))?;
    let line = str::from_utf8(line).map_err(|_| FormatError::Corrupt("its header is not a text"))?;
    Ok((line, behind.strip_prefix(b"\n").unwrap_or_default()))
}

fn checksum<'a>(header: &[u8], contents: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    contents.into_iter().for_each(|content| hasher.update(content));
    hasher.finalize()
}

fn escaped(path: &Path) -> String {
    let mut text = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b' '..=b'~' if *byte != b'%' => text.push(char::from(*byte)),
            _ => _ = write!(text, "%{byte:02X}"),
        }
    }
    text
}

fn unescaped(text: &str) -> Option<PathBuf> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut left = text.bytes();
    while let Some(byte) = left.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                (digit(left.next()?)? << 4) | digit(left.next()?)?
            }
            byte => byte,
        });
    }
    Some(OsString::from_vec(bytes).into())
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
