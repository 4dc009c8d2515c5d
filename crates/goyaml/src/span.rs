//! Where something stands in a text.

/// A part of the decoded text ([`Document::text`](crate::Document::text)), in bytes, and the line on which it starts. Both ends are
/// on character boundaries.
///
/// A span covers what is written for a value: a scalar with its quotes, a block scalar from its `|` or `>` to the end
/// of its last line, a list or map from its first bracket, dash or key to the end of its last entry. Anchors and tags
/// before a value are no part of it, except where nothing else is written. A value that is not written at all (`key:`)
/// is empty, right after what is before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The place of the first byte.
    pub start: u32,
    /// The place after the last byte.
    pub end: u32,
    /// The line of the first byte, counted from 1. In YAML a line ends at each of YAML 1.1's line breaks (LF, CR, CRLF, U+0085,
    /// U+2028, U+2029), in JSON at LF.
    pub line: u32,
}

impl Span {
    /// The empty span at a place.
    pub(crate) const fn point(place: u32, line: u32) -> Self {
        Self { start: place, end: place, line }
    }

    /// The part of `text` that this is, if it is one.
    #[must_use]
    pub fn of<'t>(&self, text: &'t str) -> Option<&'t str> {
        text.get(self.start as usize..self.end as usize)
    }

    /// From the start of this to the end of `last`, which is not before it.
    #[must_use]
    pub fn to(self, last: Self) -> Self {
        Self { end: self.end.max(last.end), ..self }
    }
}

/// A length or a place as a span holds it. Texts have at most [`MAX_BYTES`](crate::MAX_BYTES).
pub(crate) fn narrow(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
