//! A place in the text, moved on character by character.

use crate::span::narrow;
use crate::{Error, Span};

/// A place in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The bytes of the text before this place.
    position: usize,
    /// The line, counted from 1.
    pub(super) line: u32,
    /// The characters of the line before this place.
    pub(super) column: i64,
}

impl Mark {
    /// The empty span at this place.
    pub(super) fn point(self) -> Span {
        Span::point(narrow(self.position), self.line)
    }
}

/// The text and how far it is read. At the end of the text every byte reads as 0, which no YAML text contains.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    /// The bytes before this place.
    position: usize,
    line: u32,
    /// The position at which the line would start, if each of its characters before this place were one byte long.
    line_start: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor in front of the character at `position`.
    pub(super) fn new(text: &'a str, position: usize) -> Self {
        Self { text, position, line: 1, line_start: position }
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { position: self.position, line: self.line, column: self.column() }
    }

    /// The empty span at this place.
    pub(super) fn point(&self) -> Span {
        self.mark().point()
    }

    /// The span from that place up to `end`.
    pub(super) fn span(from: Mark, end: usize) -> Span {
        Span { start: narrow(from.position), end: narrow(end), line: from.line }
    }

    /// The span from that place to this one.
    pub(super) fn span_from(&self, from: Mark) -> Span {
        Self::span(from, self.position)
    }

    /// The empty span after what `span` covers.
    pub(super) fn behind(&self, span: Span) -> Span {
        Span::point(span.end, span.line.saturating_add(span.of(self.text).map_or(0, line_breaks)))
    }

    /// The characters of the line before this place.
    pub(super) fn column(&self) -> i64 {
        i64::try_from(self.position - self.line_start).unwrap_or(i64::MAX)
    }

    /// The bytes of the text before this line, if all characters of the line before this place are one byte long.
    pub(super) fn line_start(&self) -> usize {
        self.line_start
    }

    /// The bytes of the text before this place.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// The text between a position and this place.
    pub(super) fn since(&self, position: usize) -> &'a str {
        self.text.get(position..self.position).unwrap_or_default()
    }

    /// The next byte.
    pub(super) fn byte(&self) -> u8 {
        self.byte_at(0)
    }

    /// The byte `ahead` bytes after the next one.
    pub(super) fn byte_at(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.position + ahead).copied().unwrap_or(0)
    }

    pub(super) fn is_end(&self) -> bool {
        self.position >= self.text.len()
    }

    /// Whether a space or a tab comes next.
    pub(super) fn is_blank(&self) -> bool {
        is_blank(self.byte())
    }

    pub(super) fn is_break(&self) -> bool {
        self.break_len(0) > 0
    }

    pub(super) fn is_break_or_end(&self) -> bool {
        self.is_end() || self.is_break()
    }

    /// Whether a space, a tab, a line break or the end stands `ahead` bytes after the next byte.
    pub(super) fn is_space_at(&self, ahead: usize) -> bool {
        match self.byte_at(ahead) {
            b' ' | b'\t' | b'\n' | b'\r' => true,
            0 => self.position + ahead >= self.text.len(),
            // Only these two start a line break of more than one byte.
            0xc2 | 0xe2 => self.break_len(ahead) > 0,
            _ => false,
        }
    }

    /// Whether `---` or `...` stands here, at the start of a line.
    pub(super) fn is_document_indicator(&self) -> bool {
        self.position == self.line_start
            && matches!([self.byte(), self.byte_at(1), self.byte_at(2)], [b'-', b'-', b'-'] | [b'.', b'.', b'.'])
            && self.is_space_at(3)
    }

    /// The bytes of the line break that stands `ahead` bytes after the next byte, or 0. YAML 1.1 has five of them.
    fn break_len(&self, ahead: usize) -> usize {
        break_len(self.text.as_bytes().get(self.position + ahead..).unwrap_or_default())
    }

    /// Moves past the next character.
    pub(super) fn skip(&mut self) {
        let length = match self.byte() {
            0..0x80 => 1,
            0x80..0xe0 => 2,
            0xe0..0xf0 => 3,
            0xf0.. => 4,
        };
        self.position += length;
        self.line_start += length - 1;
    }

    /// Moves past all ASCII characters for which `wanted` holds, and returns them.
    pub(super) fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a str {
        let start = self.position;
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        self.position += rest.iter().position(|byte| !byte.is_ascii() || !wanted(*byte)).unwrap_or(rest.len());
        self.since(start)
    }

    /// Moves on to the first place at which `ends` holds, and returns the text before it. What [`is_ordinary`] ends
    /// nothing, and is not asked about.
    pub(super) fn take_until(&mut self, ends: impl Fn(&Self) -> bool) -> &'a str {
        let start = self.position;
        loop {
            self.take_while(is_ordinary);
            if self.is_end() || ends(self) {
                return self.since(start);
            }
            self.skip();
        }
    }

    /// Moves past `- `, a plain word or nothing, a line break and `indent` spaces, if a dash and a space follow those,
    /// and returns the word and where it is.
    pub(super) fn take_word_entry(&mut self, indent: usize) -> Option<(&'a str, Span)> {
        let rest = self.text.get(self.position..)?.strip_prefix("- ")?;
        let length = rest.bytes().position(|byte| !is_ordinary(byte) && byte != b':')?;
        let (word, behind) = rest.split_at_checked(length)?;
        let (spaces, next) = behind.strip_prefix('\n')?.split_at_checked(indent)?;
        // A colon at the end would make a key of the word.
        if word.ends_with(':') || !spaces.bytes().all(|byte| byte == b' ') || !next.starts_with("- ") {
            return None;
        }
        // Where no word is, its place is right after the dash.
        let start = narrow(self.position + if word.is_empty() { 1 } else { 2 });
        let span = Span { start, end: start + narrow(word.len()), line: self.line };
        self.line_start = self.text.len() - behind.len() + 1;
        self.position = self.text.len() - next.len();
        self.line = self.line.saturating_add(1);
        Some((word, span))
    }

    /// Moves past the next character, and returns it.
    pub(super) fn take_one(&mut self) -> &'a str {
        let start = self.position;
        self.skip();
        self.since(start)
    }

    /// Moves past the line break, if there is one, and returns what it stands for: a line feed for all but U+2028 and
    /// U+2029, which stay themselves.
    pub(super) fn take_break(&mut self) -> &'a str {
        let start = self.position;
        let length = self.break_len(0);
        if length == 0 {
            return "";
        }
        self.position += length;
        self.line_start = self.position;
        self.line = self.line.saturating_add(1);
        if length == 3 { self.since(start) } else { "\n" }
    }

    /// Moves past spaces, tabs and a comment.
    pub(super) fn skip_blanks_and_comment(&mut self) {
        self.take_while(is_blank);
        self.skip_comment();
    }

    /// Moves past a comment, if one starts here.
    pub(super) fn skip_comment(&mut self) {
        if self.byte() == b'#' {
            self.take_until(Self::is_break);
        }
    }

    /// What is wrong at this place.
    pub(super) fn fault(&self, what: impl Into<String>) -> Error {
        Error::yaml(self.point(), what)
    }

    /// What is wrong from `start` to this place.
    pub(super) fn fault_since(&self, start: Mark, what: impl Into<String>) -> Error {
        Error::yaml(self.span_from(start), what)
    }
}

/// The bytes of the line break that a text begins with, or 0.
fn break_len(text: &[u8]) -> usize {
    match text {
        // The last one is U+0085, next line.
        [b'\r', b'\n', ..] | [0xc2, 0x85, ..] => 2,
        [b'\r' | b'\n', ..] => 1,
        // U+2028 and U+2029, line and paragraph separator.
        [0xe2, 0x80, 0xa8 | 0xa9, ..] => 3,
        _ => 0,
    }
}

/// The line breaks in a text.
pub(crate) fn line_breaks(text: &str) -> u32 {
    let mut rest = text.as_bytes();
    let mut breaks: u32 = 0;
    while let Some(place) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r' | 0xc2 | 0xe2)) {
        let (_, at) = rest.split_at(place);
        let length = break_len(at);
        breaks = breaks.saturating_add(u32::from(length > 0));
        rest = at.get(length.max(1)..).unwrap_or_default();
    }
    breaks
}

/// Whether this is a space or a tab.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Whether this is a letter, a digit, or what stands between those in addresses. Nothing in YAML ends before these.
fn is_ordinary(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' | b'/')
}
