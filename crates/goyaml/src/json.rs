//! JSON as Go's `encoding/json` reads it, strict in its grammar.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::document::Format;
use crate::records::Kind;
use crate::span::narrow;
use crate::text::Decoded;
use crate::tree::{Builder, Properties, Tree};
use crate::yaml::Scalar;
use crate::{Document, Error, MAX_BYTES, Problem, Span};

pub(crate) fn read(decoded: Decoded<'_>) -> Result<Document<'_>, Error> {
    let Decoded { text, .. } = decoded;
    if text.len() > MAX_BYTES {
        return Err(Error::new(Span::point(0, 1), Problem::Size));
    }
    let mut deserializer = serde_json::Deserializer::from_str(&text);
    let grammar = deserializer.deserialize_map(Grammar).and_then(|()| deserializer.end());
    grammar.map_err(|error| refused(&text, &error))?;
    let tree = Reader { text: &text, place: 0, line: 1 }.read()?;
    Ok(Document { text, tree, format: Format::Json, rest: None })
}

/// An object whose grammar is checked, and nothing else: raw values are passed over without recursion.
struct Grammar;

impl<'de> Visitor<'de> for Grammar {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<&RawValue, &RawValue>()?.is_some() {}
        Ok(())
    }
}

/// A text that is valid JSON, and how far it is read.
struct Reader<'a> {
    text: &'a str,
    place: usize,
    line: u32,
}

impl<'a> Reader<'a> {
    fn read(mut self) -> Result<Tree, Error> {
        let mut builder = Builder::new(self.text);
        while let Some(byte) = self.text.as_bytes().get(self.place) {
            let start = self.place;
            self.place += 1;
            match byte {
                b'\n' => self.line = self.line.saturating_add(1),
                b' ' | b'\t' | b'\r' | b',' | b':' => {}
                b'{' => builder.open(Kind::Map, Properties::NONE, self.span(start))?,
                b'[' => builder.open(Kind::List, Properties::NONE, self.span(start))?,
                b'}' | b']' => builder.close(narrow(self.place)),
                b'"' => {
                    let value = unquote(self.string());
                    builder.scalar(Properties::NONE, self.span(start), &value);
                }
                _ => {
                    let ends = |byte| matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n');
                    self.place += self.rest().bytes().position(ends).unwrap_or(self.rest().len());
                    let span = self.span(start);
                    builder.scalar(
                        Properties { plain: true, ..Properties::NONE },
                        span,
                        span.of(self.text).unwrap_or_default(),
                    );
                }
            }
        }
        Ok(builder.finish())
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.place..).unwrap_or_default()
    }

    /// From `start` to this place.
    fn span(&self, start: usize) -> Span {
        Span { start: narrow(start), end: narrow(self.place), line: self.line }
    }

    /// Moves past the quote that ends the string, and returns what is before it.
    fn string(&mut self) -> &'a str {
        let rest = self.rest();
        let mut is_escaped = false;
        let ends = |byte| {
            let is_end = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            is_end
        };
        let end = rest.bytes().position(ends).unwrap_or(rest.len());
        self.place += end + 1;
        rest.get(..end).unwrap_or_default()
    }
}

/// What a scalar means, which is written in the document or, with quotes around it, is the text that they hold.
pub(crate) fn resolve(value: &str, plain: bool) -> Scalar<'_> {
    match value.as_bytes().first() {
        _ if !plain => Scalar::Text(Cow::Borrowed(value)),
        Some(b'n') => Scalar::Null,
        Some(b't') => Scalar::Bool(true),
        Some(b'f') => Scalar::Bool(false),
        // Go decodes a number into an integer only as it is written: without a fraction, without an exponent.
        _ => value.parse().map_or(Scalar::Float(f64::NAN), Scalar::Int),
    }
}

/// Why it is no JSON, and where.
fn refused(text: &str, error: &serde_json::Error) -> Error {
    let line = narrow(error.line()).max(1);
    let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
    let line_start = match line {
        1 => 0,
        _ => breaks.map(|(place, _)| place + 1).nth(line as usize - 2).unwrap_or(text.len()),
    };
    // The column counts the bytes of the line, the wrong one included.
    let place = (line_start + error.column().saturating_sub(1)).min(text.len());
    let place = (0..=place).rev().find(|place| text.is_char_boundary(*place)).unwrap_or_default();
    let message = error.to_string();
    let what = message.split(" at line ").next().unwrap_or_default().to_owned();
    Error::new(Span::point(narrow(place), line), Problem::Json(what))
}

/// What a valid string says that is written like this between its quotes. Half a surrogate pair becomes U+FFFD, as in Go.
fn unquote(mut rest: &str) -> Cow<'_, str> {
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

/// The characters that a run of `u0041\u0042` stands for, and the text after it.
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
