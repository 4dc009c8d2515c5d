//! Where something stands in the files of a configuration.

use std::num::NonZeroU16;

pub use goyaml::Span;

/// The place of a file in the list of those that a configuration is made of.
///
/// It counts from 1 inside, so that an optional location takes no more memory than one that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(NonZeroU16);

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The file.
    pub file: SourceId,
    /// The part of its text, as [`Span`] counts it.
    pub span: Span,
}

impl SourceId {
    /// The only file, or the first of several.
    pub const ONLY: Self = Self(NonZeroU16::MIN);

    /// The file at that place of the list, counted from 0.
    #[must_use]
    pub const fn new(index: u16) -> Self {
        Self(NonZeroU16::MIN.saturating_add(index))
    }

    /// Its place in the list, counted from 0.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

impl Location {
    /// The line on which the part starts, counted from 1.
    #[must_use]
    pub const fn line(&self) -> u32 {
        self.span.line
    }

    /// What sorts by file and line: on the same line, nothing comes before anything else.
    pub(super) const fn order(&self) -> (SourceId, u32) {
        (self.file, self.span.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Entry;

    #[test]
    fn a_range_with_its_location_takes_36_bytes() {
        assert_eq!(size_of::<Option<Location>>(), 16);
        assert_eq!(size_of::<Entry>(), 36);
    }

    #[test]
    fn a_source_is_found_by_the_index_that_it_was_made_of() {
        assert_eq!(SourceId::new(0), SourceId::ONLY);
        for index in [0, 1, 255] {
            assert_eq!(SourceId::new(index).index(), usize::from(index));
        }
    }
}
