//! What is wrong and odd about configurations, for people and for programs that show it: [`Diagnostic`]s with codes, places and
//! fixes, in several forms.

mod code;
mod examine;
mod fix;
mod fix_of;
mod place;
mod render;
#[cfg(test)]
mod tests;

pub use code::{Code, Severity};
pub use examine::{Input, examine};
pub use fix::{Fixed, Fixes, fix};
pub use place::{Place, SourceText};
pub use render::{Form, Look, render, wrapped};

use crate::text::Message;

/// One thing that is wrong or odd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What kind of thing it is.
    pub code: Code,
    /// The words.
    pub message: Message,
    /// Where it is. Without a range it is about the file as a whole.
    pub place: Place,
    /// A second place, and what is there.
    pub other: Option<(Place, &'static str)>,
    /// How the text is to be changed so that it is mended.
    pub fix: Option<Fix>,
}

/// A change of a file's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// What it does, such as "remove the range".
    pub title: String,
    /// The bytes that go, by their places in the text.
    pub range: std::ops::Range<usize>,
    /// What comes in their place.
    pub replacement: String,
    /// Whether it is sure to change no verdict about a packet.
    pub is_safe: bool,
}

/// All that was found, with the texts that it was found in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The texts, in the order in which they were given.
    pub sources: Vec<SourceText>,
    /// What was found in them, in the order of the files and their lines.
    pub diagnostics: Vec<Diagnostic>,
    /// What is only counted, because there is so much of it: how many, and of what.
    pub more: Vec<(usize, String)>,
}

impl Report {
    /// How many errors and how many warnings there are.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let errors = self.diagnostics.iter().filter(|found| found.code.severity() == Severity::Error).count();
        (errors, self.diagnostics.len() - errors)
    }
}
