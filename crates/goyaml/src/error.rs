//! Why a text is refused.

use std::fmt;

use crate::{MAX_BYTES, MAX_DEPTH, Span};

/// Why a text is refused, and where. The messages end on what to write instead, where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Where the mistake is. It may be empty: then it is at this place.
    pub span: Span,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Neither UTF-8 nor UTF-16 with a byte order mark, or with characters that YAML does not allow.
    Encoding(&'static str),
    /// The text is no YAML, or such that Go's readers refuse it.
    Yaml(String),
    /// The text starts with a brace and is no JSON.
    Json(String),
    /// Lists and maps nested deeper than [`MAX_DEPTH`].
    Depth,
    /// Aliases that stand for far more than is written.
    Aliasing,
    /// An alias inside what it stands for.
    Recursion,
    /// The text is longer than [`MAX_BYTES`].
    Size,
}

impl Error {
    pub(crate) const fn new(span: Span, problem: Problem) -> Self {
        Self { span, problem }
    }

    pub(crate) fn yaml(span: Span, what: impl Into<String>) -> Self {
        Self::new(span, Problem::Yaml(what.into()))
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.span.line, self.problem)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encoding(what) => write!(f, "not a text: {what}"),
            Self::Yaml(what) => write!(f, "not valid YAML: {what}"),
            Self::Json(what) => {
                write!(f, "not valid JSON (the file starts with a brace, so it is read as JSON): {what}")
            }
            Self::Depth => write!(f, "nested deeper than {MAX_DEPTH} levels"),
            Self::Aliasing => {
                f.write_str("aliases (*name) that stand for far more than the file holds; write the values out")
            }
            Self::Recursion => {
                f.write_str("an alias (*name) inside of the value that it stands for; write the value out")
            }
            Self::Size => write!(f, "larger than the {MAX_BYTES} bytes that are read at most"),
        }
    }
}

/// Text from the input as a message shows it: no longer than this many characters.
const MAX_SHOWN: usize = 80;

/// The start of a text and, if that is not all, what stands for the rest.
pub(crate) fn cut(text: &str) -> (&str, &'static str) {
    match text.char_indices().nth(MAX_SHOWN) {
        None => (text, ""),
        Some((end, _)) => (text.get(..end).unwrap_or_default(), "…"),
    }
}
