//! A list of ranges.

use goyaml::Value;

use super::error::describe;
use super::{Entry, Location, SourceId};
use crate::net::CidrError;

/// A list of ranges: nothing of ours has another form. The texts are understood at once, so that a long list is held
/// once; what is wrong is stored only as far as it is told.
#[derive(Debug, Default)]
pub(super) struct List {
    /// The ranges.
    pub(super) ranges: Vec<Entry>,
    /// The texts that are no ranges, as many as are told.
    pub(super) no_range: Vec<NoRange>,
    /// The entries that are no texts, as many as are told.
    pub(super) no_text: Vec<NoText>,
    /// The number of entries.
    pub(super) len: usize,
}

/// A text in the place of a range.
#[derive(Debug)]
pub(super) struct NoRange {
    /// Its place in the list, counted from 0.
    pub(super) index: usize,
    pub(super) location: Location,
    pub(super) text: String,
    pub(super) reason: CidrError,
}

/// Something else in the place of a range.
#[derive(Debug)]
pub(super) struct NoText {
    /// Its place in the list, counted from 0.
    pub(super) index: usize,
    pub(super) location: Location,
    /// What it is, in words.
    pub(super) found: String,
    pub(super) is_null: bool,
}

impl List {
    /// The list, with no more than `most` of the entries that are no texts, and of the texts that are no ranges.
    pub(super) fn read(entries: goyaml::List<'_>, file: SourceId, most: usize) -> Self {
        let mut list = Self::default();
        for (span, value) in entries.located() {
            list.push(Location { file, span }, &value, most);
        }
        list
    }

    fn push(&mut self, location: Location, value: &Value<'_>, most: usize) {
        let index = self.len;
        self.len += 1;
        let Value::Text(text) = value else {
            if self.no_text.len() < most {
                let is_null = matches!(value, Value::Null);
                self.no_text.push(NoText { index, location, found: describe(value), is_null });
            }
            return;
        };
        match text.parse() {
            Ok(cidr) => self.ranges.push(Entry { cidr, location: Some(location) }),
            Err(reason) if self.no_range.len() < most => {
                self.no_range.push(NoRange { index, location, text: text.clone().into_owned(), reason });
            }
            Err(_) => {}
        }
    }
}
