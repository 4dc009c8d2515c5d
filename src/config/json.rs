//! JSON as Go's `encoding/json` reads it, strict in its grammar and lenient with keys.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::MAX_DEPTH;
use super::value::{Document, List, Pair, Value};
use super::{ConfigError, Key, Line, Problem, Warning};

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
    let object: Object<'_> = serde_json::from_str(text).map_err(|error| {
        let line = u32::try_from(error.line()).unwrap_or(u32::MAX);
        ConfigError::at(Line(line.max(1)), Problem::Json(without_place(&error)))
    })?;
    let mut document = Document::default();
    let mut lines = Lines { rest: text, line: 1 };
    for (key, value) in object.0 {
        let name = unquote(key.get()).into_owned();
        let line = lines.line(key);
        match Key::named(&name) {
            Some(key) => document.pairs.push(Pair { key, name, line, value: lines.value(value)? }),
            None => document.warnings.push(Warning::UnknownKey { line, name }),
        }
    }
    Ok(document)
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

/// An object whose keys and values are left as they are written.
struct Object<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Vec<(&'de RawValue, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(pairs)
            }
        }
        deserializer.deserialize_map(Pairs).map(Object)
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

    fn value(&mut self, raw: &'a RawValue) -> Result<Value<'a>, ConfigError> {
        if !raw.get().starts_with('[') {
            return Ok(single(raw.get()));
        }
        let entries: Vec<&'a RawValue> = serde_json::from_str(raw.get())
            .map_err(|error| ConfigError::at(self.line(raw), Problem::Json(without_place(&error))))?;
        let mut list = List::default();
        for entry in entries {
            list.push(self.line(entry), single(entry.get()));
        }
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
