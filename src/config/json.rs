//! JSON as Go's `encoding/json` reads it, strict in its grammar and lenient with keys.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::error::MAX_DEPTH;
use super::value::{Document, List, Pair, Value};
use super::{ConfigError, Key, Line, Problem, Warning};
use crate::text::excerpt;

/// Is this text JSON to upstream? It is, if its first character behind any white space is a brace.
pub(super) fn is_json(bytes: &[u8]) -> bool {
    // A text that is not UTF-8 up to its first brace does not start with one.
    let valid = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(bytes.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default(),
    };
    valid.trim_start().starts_with('{')
}

/// The text in `bytes`. Go replaces what is not UTF-8 in a string, and refuses it anywhere else, as it does the
/// replacement.
pub(super) fn decode(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// The known keys and their values, in their order.
pub(super) fn read(text: &str) -> Result<Document<'_>, ConfigError> {
    check_depth(text)?;
    let mut object = Object { document: Document::default(), lines: Lines { rest: text, line: 1 } };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = (&mut object).deserialize(&mut deserializer).and_then(|()| deserializer.end());
    read.map(|()| object.document).map_err(|error| {
        let line = u32::try_from(error.line()).unwrap_or(u32::MAX);
        ConfigError::at(Line(line.max(1)), Problem::Json(without_place(&error)))
    })
}

/// The message without its ` at line 1 column 2`.
fn without_place(error: &serde_json::Error) -> String {
    let message = error.to_string();
    message.split(" at line ").next().unwrap_or_default().to_owned()
}

/// Values may be nested no deeper than upstream reads them. What is not looked into is skipped without recursion.
fn check_depth(text: &str) -> Result<(), ConfigError> {
    if text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count() <= MAX_DEPTH {
        return Ok(());
    }
    let mut depth: usize = 0;
    let mut in_string = false;
    let mut escaped = false;
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            let before = text.get(..place).unwrap_or_default();
            return Err(ConfigError::at(Line(breaks(before).saturating_add(1)), Problem::Depth));
        }
    }
    Ok(())
}

/// An object whose keys and values are looked at as they come: what nobody knows is not kept.
struct Object<'a> {
    document: Document<'a>,
    lines: Lines<'a>,
}

impl<'de> DeserializeSeed<'de> for &mut Object<'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Object<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            let name = unquote(key.get());
            let line = self.lines.line(key);
            match Key::named(&name) {
                Some(key) => {
                    let value = self.lines.value(value).map_err(Error::custom)?;
                    self.document.pairs.push(Pair { key, name: name.into_owned(), line, value });
                }
                None => self.document.warnings.push(Warning::UnknownKey { line, name: excerpt(&name) }),
            }
        }
        Ok(())
    }
}

/// The entries of a list, which is a valid one.
struct Entries<'l, 'a> {
    list: List,
    lines: &'l mut Lines<'a>,
}

impl<'de> Visitor<'de> for Entries<'_, 'de> {
    type Value = List;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut entries: A) -> Result<List, A::Error> {
        while let Some(entry) = entries.next_element::<&RawValue>()? {
            self.list.push(self.lines.line(entry), single(entry.get()));
        }
        Ok(self.list)
    }
}

/// The lines of a text, counted on from one of its parts to the next.
struct Lines<'a> {
    /// The text from the last part on.
    rest: &'a str,
    line: u32,
}

impl<'a> Lines<'a> {
    /// The line of a value that stands behind all those asked for before.
    fn line(&mut self, raw: &RawValue) -> Line {
        let skipped = (raw.get().as_ptr() as usize).saturating_sub(self.rest.as_ptr() as usize);
        if let Some((before, rest)) = self.rest.split_at_checked(skipped) {
            self.line = self.line.saturating_add(breaks(before));
            self.rest = rest;
        }
        Line(self.line)
    }

    fn value(&mut self, raw: &'a RawValue) -> Result<Value<'a>, serde_json::Error> {
        if !raw.get().starts_with('[') {
            return Ok(single(raw.get()));
        }
        let entries = Entries { list: List::default(), lines: self };
        let list = serde_json::Deserializer::from_str(raw.get()).deserialize_seq(entries)?;
        Ok(Value::List(Box::new(list)))
    }
}

/// The line breaks in a text.
fn breaks(text: &str) -> u32 {
    u32::try_from(text.bytes().filter(|byte| *byte == b'\n').count()).unwrap_or(u32::MAX)
}

/// A value without what stands in it.
fn single(text: &str) -> Value<'_> {
    match text.as_bytes().first() {
        Some(b'n') => Value::Null,
        Some(b't') => Value::Bool(true),
        Some(b'f') => Value::Bool(false),
        Some(b'"') => Value::Text(unquote(text)),
        Some(b'[') => Value::List(Box::default()),
        Some(b'{') => Value::Mapping,
        // Go reads a number into an integer only as it is written: without a fraction, without an exponent.
        _ => Value::Number { whole: text.parse().ok(), text: Cow::Borrowed(text) },
    }
}

/// The text of a valid string with its quotes. Half a surrogate pair becomes U+FFFD, as in Go.
fn unquote(quoted: &str) -> Cow<'_, str> {
    let mut rest = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default();
    if !rest.as_bytes().contains(&b'\\') {
        return Cow::Borrowed(rest);
    }
    let mut text = String::with_capacity(rest.len());
    while let Some((before, escape)) = rest.split_once('\\') {
        text.push_str(before);
        let mut behind = escape.chars();
        match behind.next() {
            Some('u') => {
                let (characters, behind) = unquote_units(escape);
                text.push_str(&characters);
                rest = behind;
                continue;
            }
            Some('b') => text.push('\x08'),
            Some('f') => text.push('\x0c'),
            Some('n') => text.push('\n'),
            Some('r') => text.push('\r'),
            Some('t') => text.push('\t'),
            Some(itself) => text.push(itself),
            None => {}
        }
        rest = behind.as_str();
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// The characters that a run of `u0041\u0042` stands for, and the text behind it.
fn unquote_units(escapes: &str) -> (String, &str) {
    let mut units = Vec::new();
    let mut rest = escapes;
    let mut next = Some(escapes);
    while let Some(unit) = next.and_then(|text| text.strip_prefix('u')) {
        let Some((digits, behind)) = unit.split_at_checked(4) else { break };
        units.push(u16::from_str_radix(digits, 16).unwrap_or(0xfffd));
        rest = behind;
        next = behind.strip_prefix('\\');
    }
    (String::from_utf16_lossy(&units), rest)
}
