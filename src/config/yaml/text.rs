//! Bytes to the text that YAML is written in.

use std::borrow::Cow;

use crate::config::{ConfigError, Line, Problem};

/// A text up to the first thing that makes it none.
#[derive(Debug, PartialEq)]
pub(in crate::config) struct Decoded<'a> {
    pub(super) text: Cow<'a, str>,
    /// What is wrong behind the text. It does not matter where nobody reads that far.
    pub(super) fault: Option<ConfigError>,
}

/// The text in `bytes`: UTF-8, or UTF-16 behind a byte order mark, without any character that YAML 1.1 excludes (§5.1).
///
/// A second byte order mark is passed over. go-yaml does the same on the first line; on each further one that it has read
/// already by then, it passes over whatever comes first.
pub(in crate::config) fn decode(bytes: &[u8]) -> Decoded<'_> {
    let (text, fault) = match bytes {
        [0xff, 0xfe, 0xff, 0xfe, rest @ ..] | [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, 0xfe, 0xff, rest @ ..] | [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, 0xef, 0xbb, 0xbf, rest @ ..] | [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest),
        _ => utf8(bytes),
    };
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r');
    let control = if text.bytes().all(is_plain) { None } else { text.find(|character| !is_allowed(character)) };
    match control {
        None => Decoded { fault: fault.map(|what| error(what, &text)), text },
        Some(place) => {
            let text = match text {
                Cow::Borrowed(text) => Cow::Borrowed(text.get(..place).unwrap_or_default()),
                Cow::Owned(mut text) => {
                    text.truncate(place);
                    Cow::Owned(text)
                }
            };
            Decoded { fault: Some(error("a control character; remove it", &text)), text }
        }
    }
}

fn is_allowed(character: char) -> bool {
    matches!(character,
        '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..)
}

fn utf8(bytes: &[u8]) -> (Cow<'_, str>, Option<&'static str>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Cow::Borrowed(text), None),
        Err(wrong) => {
            let before = bytes.get(..wrong.valid_up_to()).unwrap_or_default();
            let text = std::str::from_utf8(before).unwrap_or_default();
            (Cow::Borrowed(text), Some("bytes that are not UTF-8; save the file as UTF-8"))
        }
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> (Cow<'_, str>, Option<&'static str>) {
    const HALF: &str = "half a character of UTF-16; save the file as UTF-8";
    let (pairs, rest) = bytes.as_chunks();
    let mut text = String::with_capacity(bytes.len());
    for character in char::decode_utf16(pairs.iter().copied().map(unit)) {
        match character {
            Ok(character) => text.push(character),
            Err(_) => return (Cow::Owned(text), Some(HALF)),
        }
    }
    let fault = (!rest.is_empty()).then_some(HALF);
    (Cow::Owned(text), fault)
}

/// The error on the line behind `before`.
fn error(what: &'static str, before: &str) -> ConfigError {
    let breaks = before.bytes().filter(|byte| *byte == b'\n').count();
    ConfigError::at(Line(u32::try_from(breaks + 1).unwrap_or(u32::MAX)), Problem::Encoding(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_encoding_gives_the_same_text() {
        let text = "a: é😀\n";
        let marked: Vec<u16> = format!("\u{feff}{text}").encode_utf16().collect();
        let little: Vec<u8> = marked.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = marked.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        let twice = ["\u{feff}\u{feff}", text].concat();
        for bytes in [text.as_bytes(), format!("\u{feff}{text}").as_bytes(), twice.as_bytes(), &little, &big] {
            assert_eq!(decode(bytes), Decoded { text: text.into(), fault: None });
        }
    }

    #[test]
    fn what_is_no_text_is_refused_with_its_line() {
        let cases: [(&[u8], _, _); 8] = [
            (b"a: \xff", 1, "bytes that are not UTF-8; save the file as UTF-8"),
            (b"a:\nb: \xc3", 2, "bytes that are not UTF-8; save the file as UTF-8"),
            (b"\xed\xa0\x80", 1, "bytes that are not UTF-8; save the file as UTF-8"),
            (b"a\n\n\x01", 3, "a control character; remove it"),
            (b"a: \x7f", 1, "a control character; remove it"),
            (b"\xef\xbf\xbe", 1, "a control character; remove it"),
            (b"\xff\xfea\0\n\0b", 2, "half a character of UTF-16; save the file as UTF-8"),
            (b"\xfe\xff\xd8\x00\x00a", 1, "half a character of UTF-16; save the file as UTF-8"),
        ];
        for (bytes, line, what) in cases {
            assert_eq!(decode(bytes).fault, Some(ConfigError::at(Line(line), Problem::Encoding(what))), "{bytes:?}");
        }
    }
}
