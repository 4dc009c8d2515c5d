//! A message in its parts, so that one line and several show the same words.

use std::fmt;

/// What is to be said of a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What is wrong or odd.
    pub what: String,
    /// What follows from it, or what holds now.
    pub note: Option<String>,
    /// How to mend it, or what may have been meant.
    pub help: Option<String>,
}

impl Message {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), note: None, help: None }
    }

    pub(crate) fn with_note(self, note: impl Into<String>) -> Self {
        Self { note: Some(note.into()), ..self }
    }

    pub(crate) fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    pub(crate) fn with_help_if_any(self, help: Option<String>) -> Self {
        Self { help, ..self }
    }

    /// The message with words in front of it.
    pub(crate) fn about(self, subject: impl fmt::Display) -> Self {
        Self { what: format!("{subject} {}", self.what), ..self }
    }
}

impl fmt::Display for Message {
    /// In one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.note.iter().chain(&self.help).try_for_each(|part| write!(f, "; {part}"))
    }
}
