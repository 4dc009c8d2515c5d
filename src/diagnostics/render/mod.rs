//! One report in several forms.

mod concise;
mod full;
mod github;
mod json;
mod sarif;

pub use full::wrapped;

use super::{Diagnostic, Place, Report, SourceText};
use crate::text::{Shown, counted};

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// With the lines that it is about, for people
    #[default]
    Full,
    /// A line for each diagnostic, as compilers and editors have it
    Concise,
    /// One object, for programs
    Json,
    /// Workflow commands, by which GitHub marks the lines of a pull request
    Github,
    /// SARIF 2.1.0, for what shows the findings of many tools
    Sarif,
}

/// What the reader's terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Whether colours may be used.
    pub colour: bool,
    /// The width of a line, in characters.
    pub width: usize,
}

/// The report in this form. Whatever the files hold, no character of theirs moves a cursor or begins a line of its own.
#[must_use]
pub fn render(report: &Report, form: Form, look: Look) -> String {
    match form {
        Form::Full => full::render(report, look),
        Form::Concise => concise::render(report),
        Form::Json => json::render(report),
        Form::Github => github::render(report),
        Form::Sarif => sarif::render(report),
    }
}

impl Report {
    /// The text that a place is in. Each place of a report has one.
    fn source(&self, place: &Place) -> Option<&SourceText> {
        self.sources.get(place.source)
    }

    /// The name of the file, safe to be shown.
    fn name(&self, place: &Place) -> String {
        self.source(place).map_or_else(String::new, |source| Shown(source.name.as_str()).to_string())
    }

    /// What was found in all, in one line: `2 errors, 1 warning in 1 file`.
    fn summary(&self) -> String {
        let (errors, warnings) = self.counts();
        let files = counted(self.sources.len(), "file");
        let more: usize = self.more.iter().map(|(count, _)| count).sum();
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        let mut parts = Vec::new();
        if errors > 0 {
            parts.push(counted(errors, "error").to_string());
        }
        if warnings > 0 {
            parts.push(counted(warnings, "warning").to_string());
        }
        if parts.is_empty() { format!("{files}: valid") } else { format!("{files}: {}{more}", parts.join(", ")) }
    }
}

/// `error[E003] cidr-host-bits`, as it stands in front of a message.
fn label(found: &Diagnostic) -> String {
    format!("{}[{}] {}", found.code.severity().word(), found.code.id(), found.code.name())
}
