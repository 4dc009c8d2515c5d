//! The state file: a few lines of text for people, an empty line, then the configuration file byte for byte.
//!
//! ```text
//! ip-masq-agent last-known-good 1
//! path: /etc/config/ip-masq-agent
//! length: 33
//! crc32: a3b0c3be
//!
//! nonMasqueradeCIDRs: [10.0.0.0/8]
//! ```
//!
//! `length` is that of the configuration in bytes, or `none` if there was no file. The checksum (CRC-32 as in IEEE 802.3)
//! covers everything but its own line and the empty one. In the path, whatever is not printable ASCII is written as in a
//! URL.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::LastKnownGood;

/// What every state file begins with, whatever its version.
const MAGIC: &str = "ip-masq-agent last-known-good ";
/// The version of the format that is written, and the only one that is read.
const VERSION: &str = "1";
/// The length where there was no file.
const NONE: &str = "none";

/// The most bytes that the lines before the configuration can take: `PATH_MAX` of them, each written as three, and the rest.
pub(super) const LONGEST_HEADER: u64 = 3 * 4_096 + 1_024;

/// Why bytes are no state of ours.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FormatError {
    /// Another version of the agent wrote it.
    #[error("has format {0}; expected format {VERSION}, which this version of the agent reads and writes")]
    Foreign(String),
    /// It is damaged, or was never ours.
    #[error("is damaged: {0}; expected what --state-dir writes")]
    Corrupt(&'static str),
}

/// The bytes of a state file.
#[must_use]
pub fn encode(good: &LastKnownGood) -> Vec<u8> {
    let content = good.content.as_deref();
    let length = content.map_or_else(|| NONE.to_owned(), |content| content.len().to_string());
    let content = content.unwrap_or_default();
    let mut text = format!("{MAGIC}{VERSION}\npath: {}\nlength: {length}\n", escaped(&good.path));
    let checksum = checksum(text.as_bytes(), content);
    let _ = write!(text, "crc32: {checksum:08x}\n\n");
    let mut bytes = text.into_bytes();
    bytes.extend(content);
    bytes
}

/// What the bytes of a state file say.
///
/// # Errors
///
/// [`FormatError`], if they are not what [`encode`] makes, to the last bit.
pub fn decode(bytes: &[u8]) -> Result<LastKnownGood, FormatError> {
    use FormatError::{Corrupt, Foreign};
    let behind = bytes.strip_prefix(MAGIC.as_bytes()).ok_or(Corrupt("its first line is not the agent's"))?;
    let (version, behind) = line(behind)?;
    if version != VERSION {
        let is_number = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
        return Err(if is_number { Foreign(version.to_owned()) } else { Corrupt("its version is no number") });
    }
    let (path, behind) = field(behind, "path: ")?;
    let (length, behind) = field(behind, "length: ")?;
    let (covered, _) = bytes.split_at_checked(bytes.len() - behind.len()).ok_or(Corrupt("it is too short"))?;
    let (written, behind) = field(behind, "crc32: ")?;
    let content = behind.strip_prefix(b"\n").ok_or(Corrupt("no empty line follows its header"))?;
    let has_length = match length {
        NONE => content.is_empty(),
        length => length.parse() == Ok(content.len()),
    };
    if !has_length {
        return Err(Corrupt("its content is not as long as its header says"));
    }
    if written != format!("{:08x}", checksum(covered, content)) {
        return Err(Corrupt("its checksum does not fit its content"));
    }
    let path = unescaped(path).ok_or(Corrupt("its path cannot be read"))?;
    Ok(LastKnownGood { path, content: (length != NONE).then(|| content.to_vec()) })
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

fn checksum(header: &[u8], content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(content);
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONFIG: &[u8] = b"nonMasqueradeCIDRs: [10.0.0.0/8]\n";

    fn good(content: Option<&[u8]>) -> LastKnownGood {
        LastKnownGood::new(Path::new("/etc/config/ip-masq-agent"), content.map(<[u8]>::to_vec))
    }

    #[test]
    fn a_person_can_read_it_and_the_configuration_is_its_end() {
        let bytes = encode(&good(Some(CONFIG)));
        let text = str::from_utf8(&bytes).unwrap();
        assert_eq!(
            text,
            "ip-masq-agent last-known-good 1\npath: /etc/config/ip-masq-agent\nlength: 33\ncrc32: a3b0c3be\n\n\
             nonMasqueradeCIDRs: [10.0.0.0/8]\n"
        );
        assert!(str::from_utf8(&encode(&good(None))).unwrap().contains("\nlength: none\ncrc32: "));
    }

    #[test]
    fn no_file_and_an_empty_file_are_two_things() {
        for content in [None, Some(&b""[..])] {
            assert_eq!(decode(&encode(&good(content))), Ok(good(content)));
        }
        assert_ne!(encode(&good(None)), encode(&good(Some(b""))));
    }

    #[test]
    fn a_change_of_any_byte_and_the_loss_of_any_part_are_found() {
        for content in [None, Some(CONFIG), Some(b"\n\n\0\xff")] {
            let bytes = encode(&good(content));
            for at in 0..bytes.len() {
                for flip in 1..=255 {
                    let mut damaged = bytes.clone();
                    damaged[at] ^= flip;
                    assert!(decode(&damaged).is_err_and(|error| is_said(&error)), "byte {at} ^ {flip:#x}: {damaged:?}");
                }
                assert!(decode(&bytes[..at]).is_err_and(|error| is_said(&error)), "cut off at {at}");
            }
            let longer = [&bytes[..], b"\n"].concat();
            assert_eq!(decode(&longer), Err(FormatError::Corrupt("its content is not as long as its header says")));
        }
    }

    /// Is the error one that is told of a damaged file? A damaged version may look like another version.
    fn is_said(error: &FormatError) -> bool {
        match error {
            FormatError::Foreign(version) => version.parse::<u32>().is_ok_and(|version| version != 1),
            FormatError::Corrupt(why) => why.starts_with("it") || why.starts_with("a line") || why.starts_with("no "),
        }
    }

    #[test]
    fn another_version_is_told_from_damage() {
        let bytes = encode(&good(Some(CONFIG)));
        let text = String::from_utf8(bytes).unwrap();
        for (version, expected) in [
            ("2", FormatError::Foreign("2".to_owned())),
            ("11", FormatError::Foreign("11".to_owned())),
            ("", FormatError::Corrupt("its version is no number")),
            ("x", FormatError::Corrupt("its version is no number")),
        ] {
            let other = text.replacen("good 1\n", &format!("good {version}\n"), 1);
            assert_eq!(decode(other.as_bytes()), Err(expected), "{version}");
        }
        assert_eq!(decode(b"anything"), Err(FormatError::Corrupt("its first line is not the agent's")));
        assert_eq!(decode(b""), Err(FormatError::Corrupt("its first line is not the agent's")));
    }

    #[test]
    fn the_longest_path_fits_the_bound_of_the_header() {
        let path = OsString::from_vec([vec![b'/'], vec![b'\xff'; 4_095]].concat());
        let bytes = encode(&LastKnownGood::new(Path::new(&path), Some(Vec::new())));
        assert!((bytes.len() as u64) < LONGEST_HEADER, "{}", bytes.len());
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_back(
            path in proptest::collection::vec(1..=255_u8, 0..40), content in proptest::option::of(any::<Vec<u8>>()),
        ) {
            let path = OsString::from_vec([vec![b'/'], path].concat());
            let good = LastKnownGood { path: path.into(), content };
            prop_assert_eq!(decode(&encode(&good)), Ok(good));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>(), header in "(path|length|crc32): [%a-f0-9]{0,12}\n{1,2}", lines in 0..5_usize) {
            let _ = decode(&bytes);
            let _ = decode(&[format!("{MAGIC}{VERSION}\n{}", header.repeat(lines)).as_bytes(), &bytes].concat());
        }
    }
}
