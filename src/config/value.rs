//! What both formats are read to: pairs of a key and a value, in the order in which upstream applies them.

use super::shown::{Bare, Quoted};
use super::{Key, Line, Warning};

/// A document.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Document {
    /// The pairs with a known key. Of two with the same key, the later one counts.
    pub(super) pairs: Vec<Pair>,
    /// What is odd about the document, without being wrong.
    pub(super) warnings: Vec<Warning>,
}

/// A known key and its value.
#[derive(Debug, PartialEq)]
pub(super) struct Pair {
    pub(super) key: Key,
    /// The key as it is written.
    pub(super) name: String,
    pub(super) line: Line,
    pub(super) value: Value,
}

/// A value, as far as a key of ours can need it.
#[derive(Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number {
        /// The number, if it is a whole one in the range of 64 bits.
        whole: Option<i64>,
        /// The number as it is written.
        text: String,
    },
    Text(String),
    List(Vec<Entry>),
    Mapping,
}

/// A value in a list. What stands in a list in the list is left out: nothing of ours has that form.
#[derive(Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) line: Line,
    pub(super) value: Value,
}

impl Value {
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
