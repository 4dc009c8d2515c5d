//! Places in texts, as editors and compilers count them.

use std::ops::Range;

/// A text that diagnostics are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceText {
    /// Its name, as it was given: a path, or `-`.
    pub name: String,
    /// What it holds, as far as it is text.
    pub text: String,
}

/// A place in one of the texts of a [`Report`](super::Report).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which text, counted from 0.
    pub source: usize,
    /// Which bytes of it; `None` for all of it.
    pub range: Option<Range<usize>>,
}

/// A line and a column, both counted from 1; the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl SourceText {
    /// The line and column of the byte at `offset`. Lines end at line feeds.
    pub(super) fn position(&self, offset: usize) -> Position {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |line_feed| line_feed + 1);
        Position {
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        }
    }

    /// The first and the last position of a range, without the line feeds at its end. The last is behind it.
    pub(super) fn positions(&self, range: &Range<usize>) -> (Position, Position) {
        let part = self.text.get(range.clone()).unwrap_or_default().trim_end();
        (self.position(range.start), self.position(range.start + part.len()))
    }
}
