//! What both formats are read to: pairs of a key and a value, in the order in which upstream applies them.

use std::borrow::Cow;

use super::shown::{Bare, Quoted};
use super::{Key, Line, Warning};

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
    List(List<'a>),
    Mapping,
}

/// The entries of a list, as far as they are texts. What stands in a list in the list is left out: nothing of ours has
/// that form.
#[derive(Debug, Default, PartialEq)]
pub(super) struct List<'a> {
    pub(super) texts: Vec<Text<'a>>,
    /// The first entry that is no text.
    pub(super) other: Option<(Line, Box<Value<'a>>)>,
}

/// A text in a list.
#[derive(Debug, PartialEq)]
pub(super) struct Text<'a> {
    pub(super) line: Line,
    pub(super) text: Cow<'a, str>,
}

impl<'a> FromIterator<(Line, Value<'a>)> for List<'a> {
    fn from_iter<I: IntoIterator<Item = (Line, Value<'a>)>>(entries: I) -> Self {
        let mut list = Self::default();
        for (line, value) in entries {
            match value {
                Value::Text(text) => list.texts.push(Text { line, text }),
                other => {
                    list.other = Some((line, Box::new(other)));
                    break;
                }
            }
        }
        list
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
