//! Bytes to the text that YAML or JSON is written in.

use std::borrow::Cow;

use crate::span::narrow;
use crate::yaml::cursor::line_breaks;
use crate::{Error, Problem, Span};

/// A text up to the first thing that is not valid text.
#[derive(Debug, PartialEq)]
pub(crate) struct Decoded<'a> {
    pub(crate) text: Cow<'a, str>,
    /// The bytes of `text` that are byte order marks.
    pub(crate) marks: usize,
    /// What is wrong after the text. It does not matter if the reader stops before it.
    pub(crate) fault: Option<Error>,
}

/// The UTF-8 form of U+FEFF.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// Whether `sigs.k8s.io/yaml` takes this text for JSON: its first character after any white space is a brace.
pub(crate) fn is_json(bytes: &[u8]) -> bool {
    // A text that is not UTF-8 up to its first brace does not start with one.
    let valid = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(bytes.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default(),
    };
    valid.trim_start().starts_with('{')
}

/// The text of JSON. Go replaces what is not UTF-8 in a string, and refuses it anywhere else, as it does the replacement.
pub(crate) fn json(bytes: &[u8]) -> Decoded<'_> {
    let text = std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed);
    Decoded { text, marks: 0, fault: None }
}

/// The text of YAML: UTF-8, or UTF-16 after a byte order mark, without any character that YAML 1.1 excludes (§5.1).
///
/// A second byte order mark is skipped. go-yaml does the same on the first line; on each further one that it has read
/// already by then, it skips the first character, whatever it is.
pub(crate) fn yaml(bytes: &[u8]) -> Decoded<'_> {
    let mut marks = 0;
    let (text, fault) = match bytes {
        [0xff, 0xfe, 0xff, 0xfe, rest @ ..] | [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, 0xfe, 0xff, rest @ ..] | [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        _ => {
            // These are a part of the text, so that places in it are places in the file.
            marks = bytes.chunks(MARK.len()).take(2).take_while(|bytes| *bytes == MARK).count() * MARK.len();
            utf8(bytes)
        }
    };
    let control = if is_plain(text.as_bytes()) { None } else { text.find(|character| !is_allowed(character)) };
    match control {
        None => Decoded { fault: fault.map(|what| error(what, &text)), text, marks },
        Some(place) => {
            let text = match text {
                Cow::Borrowed(text) => Cow::Borrowed(text.get(..place).unwrap_or_default()),
                Cow::Owned(mut text) => {
                    text.truncate(place);
                    Cow::Owned(text)
                }
            };
            Decoded { fault: Some(error("a control character; remove it", &text)), text, marks }
        }
    }
}

/// Whether all of it is ordinary ASCII. In pieces of a fixed length, each looked at as a whole, the compiler compares many bytes
/// with one instruction.
fn is_plain(bytes: &[u8]) -> bool {
    let is_plain = |all: bool, byte: &u8| all & matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r');
    let (pieces, rest) = bytes.as_chunks::<64>();
    pieces.iter().all(|piece| piece.iter().fold(true, is_plain)) && rest.iter().fold(true, is_plain)
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

/// The error at the end of `before`.
fn error(what: &'static str, before: &str) -> Error {
    Error::new(Span::point(narrow(before.len()), 1 + line_breaks(before)), Problem::Encoding(what))
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
            let Decoded { text: found, marks, fault } = yaml(bytes);
            assert_eq!((&found[marks..], fault), (text, None));
        }
    }

    #[test]
    fn what_is_no_text_is_refused_with_its_line() {
        let cases: [(&[u8], _, _); 9] = [
            (b"a: \xff", 1, "bytes that are not UTF-8; save the file as UTF-8"),
            (b"a:\nb: \xc3", 2, "bytes that are not UTF-8; save the file as UTF-8"),
            (b"\xed\xa0\x80", 1, "bytes that are not UTF-8; save the file as UTF-8"),
            (b"a\n\n\x01", 3, "a control character; remove it"),
            (b"a\r\n\r\x01", 3, "a control character; remove it"),
            (b"a: \x7f", 1, "a control character; remove it"),
            (b"\xef\xbf\xbe", 1, "a control character; remove it"),
            (b"\xff\xfea\0\n\0b", 2, "half a character of UTF-16; save the file as UTF-8"),
            (b"\xfe\xff\xd8\x00\x00a", 1, "half a character of UTF-16; save the file as UTF-8"),
        ];
        for (bytes, line, what) in cases {
            let Decoded { text, fault, .. } = yaml(bytes);
            let end = Span::point(narrow(text.len()), line);
            assert_eq!(fault, Some(Error::new(end, Problem::Encoding(what))), "{bytes:?}");
        }
    }
}
