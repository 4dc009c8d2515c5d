//! What both formats are read to: pairs of a key and a value, in the order in which upstream applies them.

use std::borrow::Cow;

use super::warning::Warnings;
use super::{ConfigErrors, Entry, Key, Line};
use crate::net::CidrError;
use crate::text::{Bare, Quoted};

/// A document.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Document<'a> {
    /// The pairs with a known key. Of two with the same key, the later one counts.
    pub(super) pairs: Vec<Pair<'a>>,
    /// What is odd about the document, without being wrong.
    pub(super) warnings: Warnings,
}

/// A known key and its value.
#[derive(Debug, PartialEq)]
pub(super) struct Pair<'a> {
    pub(super) key: Key,
    /// The key as it is written.
    pub(super) name: String,
    pub(super) line: Line,
    pub(super) value: Value<'a>,
}

/// A value, as far as a key of ours can need it.
#[derive(Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Number {
        /// The number, if it is a whole one in the range of 64 bits.
        whole: Option<i64>,
        /// The number as it is written.
        text: Cow<'a, str>,
    },
    Text(Cow<'a, str>),
    List(Box<List>),
    Mapping,
}

/// A list of ranges: nothing of ours has another form. The texts are understood at once, so that a long list is held
/// once; what is wrong is kept, as far as it is told.
#[derive(Debug, Default, PartialEq)]
pub(super) struct List {
    /// The ranges.
    pub(super) ranges: Vec<Entry>,
    /// The texts that are no ranges, as many as are told.
    pub(super) no_range: Vec<NoRange>,
    /// The entries that are no texts, as many as are told, with their places in the list.
    pub(super) no_text: Vec<(usize, Line, Value<'static>)>,
    /// The number of entries.
    pub(super) len: usize,
}

/// A text in the place of a range.
#[derive(Debug, PartialEq)]
pub(super) struct NoRange {
    /// Its place in the list, counted from 0.
    pub(super) index: usize,
    pub(super) line: Line,
    pub(super) text: String,
    pub(super) reason: CidrError,
}

impl List {
    /// Adds an entry.
    pub(super) fn push(&mut self, line: Line, value: Value<'_>) {
        let index = self.len;
        self.len += 1;
        let Value::Text(text) = value else {
            if self.no_text.len() < ConfigErrors::MOST_TOLD {
                self.no_text.push((index, line, value.into_owned()));
            }
            return;
        };
        match text.parse() {
            Ok(cidr) => self.ranges.push(Entry { cidr, line: Some(line) }),
            Err(reason) if self.no_range.len() < ConfigErrors::MOST_TOLD => {
                self.no_range.push(NoRange { index, line, text: text.into_owned(), reason });
            }
            Err(_) => {}
        }
    }
}

impl Value<'_> {
    /// The same without anything borrowed.
    pub(super) fn into_owned(self) -> Value<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Number { whole, text } => Value::Number { whole, text: owned(text) },
            Self::Text(text) => Value::Text(owned(text)),
            Self::List(list) => Value::List(list),
            Self::Mapping => Value::Mapping,
        }
    }

    /// The value in words, for messages.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => format!("the truth value {value}"),
            Self::Number { text, .. } => format!("the number {}", Bare(text)),
            Self::Text(text) => format!("the text {}", Quoted(text)),
            Self::List(_) => "a list".to_owned(),
            Self::Mapping => "a mapping".to_owned(),
        }
    }
}
