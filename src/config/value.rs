//! What both formats are read to: pairs of a key and a value, in the order in which upstream applies them.

use std::borrow::Cow;

use super::{Entry, Key, Line, Warning};
use crate::net::CidrError;
use crate::shown::{Bare, Quoted};

/// A document.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Document<'a> {
    /// The pairs with a known key. Of two with the same key, the later one counts.
    pub(super) pairs: Vec<Pair<'a>>,
    /// What is odd about the document, without being wrong.
    pub(super) warnings: Vec<Warning>,
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
    List(Box<List<'a>>),
    Mapping,
}

/// A list of ranges: nothing of ours has another form. The texts are understood at once, so that a long list is held
/// once; what is wrong is kept, for what is wrong elsewhere may come first.
#[derive(Debug, Default, PartialEq)]
pub(super) struct List<'a> {
    /// The ranges before the first text that is none.
    pub(super) ranges: Vec<Entry>,
    /// The first text that is no range.
    pub(super) no_range: Option<NoRange<'a>>,
    /// The number of texts before the first entry that is none.
    pub(super) texts: usize,
    /// The first entry that is no text.
    pub(super) no_text: Option<(Line, Value<'a>)>,
}

/// A text in the place of a range.
#[derive(Debug, PartialEq)]
pub(super) struct NoRange<'a> {
    pub(super) line: Line,
    pub(super) text: Cow<'a, str>,
    pub(super) reason: CidrError,
}

impl<'a> List<'a> {
    /// Adds an entry. Behind the first one that is no text, nothing matters any more.
    pub(super) fn push(&mut self, line: Line, value: Value<'a>) {
        if self.no_text.is_some() {
            return;
        }
        let Value::Text(text) = value else {
            self.no_text = Some((line, value));
            return;
        };
        self.texts += 1;
        if self.no_range.is_none() {
            match text.parse() {
                Ok(cidr) => self.ranges.push(Entry { cidr, line: Some(line) }),
                Err(reason) => self.no_range = Some(NoRange { line, text, reason }),
            }
        }
    }
}

impl Value<'_> {
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
