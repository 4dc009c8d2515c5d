//! A place in the text, moved on character by character.

use crate::config::ConfigError;

/// A place in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The line, counted from 1.
    pub(super) line: u32,
    /// The characters of the line before this place.
    pub(super) column: u32,
    /// The characters of the text before this place.
    pub(super) index: usize,
}

/// The text and how far it is read. At the end of the text every byte reads as 0, which no YAML text contains.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    position: usize,
    mark: Mark,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, position: 0, mark: Mark { line: 1, column: 0, index: 0 } }
    }

    pub(super) fn mark(&self) -> Mark {
        self.mark
    }

    pub(super) fn column(&self) -> u32 {
        self.mark.column
    }

    /// The next byte.
    pub(super) fn byte(&self) -> u8 {
        self.byte_at(0)
    }

    /// The byte `ahead` bytes behind the next one.
    pub(super) fn byte_at(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.position + ahead).copied().unwrap_or(0)
    }

    pub(super) fn is_end(&self) -> bool {
        self.position >= self.text.len()
    }

    /// A space or a tab?
    pub(super) fn is_blank(&self) -> bool {
        matches!(self.byte(), b' ' | b'\t')
    }

    pub(super) fn is_break(&self) -> bool {
        self.break_len(0) > 0
    }

    pub(super) fn is_break_or_end(&self) -> bool {
        self.is_end() || self.is_break()
    }

    /// Does a space, a tab, a line break or the end stand `ahead` bytes behind the next byte?
    pub(super) fn is_space_at(&self, ahead: usize) -> bool {
        match self.byte_at(ahead) {
            b' ' | b'\t' | b'\n' | b'\r' => true,
            0 => self.position + ahead >= self.text.len(),
            // Only these two start a line break of more than one byte.
            0xc2 | 0xe2 => self.break_len(ahead) > 0,
            _ => false,
        }
    }

    /// `---` or `...` at the start of a line?
    pub(super) fn is_document_indicator(&self) -> bool {
        self.mark.column == 0
            && matches!([self.byte(), self.byte_at(1), self.byte_at(2)], [b'-', b'-', b'-'] | [b'.', b'.', b'.'])
            && self.is_space_at(3)
    }

    /// The bytes of the line break that stands `ahead` bytes behind the next byte, or 0. YAML 1.1 has five of them.
    fn break_len(&self, ahead: usize) -> usize {
        match self.byte_at(ahead) {
            b'\r' if self.byte_at(ahead + 1) == b'\n' => 2,
            b'\r' | b'\n' => 1,
            // U+0085, next line.
            0xc2 if self.byte_at(ahead + 1) == 0x85 => 2,
            // U+2028 and U+2029, line and paragraph separator.
            0xe2 if self.byte_at(ahead + 1) == 0x80 && matches!(self.byte_at(ahead + 2), 0xa8 | 0xa9) => 3,
            _ => 0,
        }
    }

    /// Moves on behind the next character.
    pub(super) fn skip(&mut self) {
        self.position += match self.byte() {
            0..0x80 => 1,
            0x80..0xe0 => 2,
            0xe0..0xf0 => 3,
            0xf0.. => 4,
        };
        self.mark.column += 1;
        self.mark.index += 1;
    }

    /// Moves on behind all characters for which `wanted` holds, and returns them.
    pub(super) fn take_while(&mut self, wanted: impl Fn(&Self) -> bool) -> &'a str {
        let start = self.position;
        while !self.is_end() && wanted(self) {
            self.skip();
        }
        self.text.get(start..self.position).unwrap_or_default()
    }

    /// Moves on behind the next character, and returns it.
    pub(super) fn take_one(&mut self) -> &'a str {
        let start = self.position;
        self.skip();
        self.text.get(start..self.position).unwrap_or_default()
    }

    /// Moves on behind the line break, if there is one, and adds it to `value`: a line feed for all but U+2028 and
    /// U+2029, which stay themselves.
    pub(super) fn take_break_into(&mut self, value: &mut String) {
        let length = self.break_len(0);
        match length {
            0 => return,
            3 => value.push_str(self.text.get(self.position..self.position + 3).unwrap_or_default()),
            _ => value.push('\n'),
        }
        self.mark.index += if self.byte() == b'\r' { length } else { 1 };
        self.position += length;
        self.mark.column = 0;
        self.mark.line = self.mark.line.saturating_add(1);
    }

    /// Moves on behind the line break, if there is one.
    pub(super) fn skip_break(&mut self) {
        self.take_break_into(&mut String::new());
    }

    /// Moves on behind spaces, tabs and a comment.
    pub(super) fn skip_blanks_and_comment(&mut self) {
        self.take_while(Self::is_blank);
        self.skip_comment();
    }

    /// Moves on behind a comment, if one starts here.
    pub(super) fn skip_comment(&mut self) {
        if self.byte() == b'#' {
            self.take_while(|cursor| !cursor.is_break());
        }
    }

    /// What is wrong at this place.
    pub(super) fn fault(&self, what: impl Into<String>) -> ConfigError {
        ConfigError::yaml(self.mark.line, what)
    }
}
