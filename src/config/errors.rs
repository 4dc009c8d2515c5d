//! All that is wrong with a configuration.

use std::fmt;

use super::{ConfigError, SourcePaths};

/// Everything that is wrong with a configuration, in the order of its files and their lines. Never empty. A file that cannot be
/// understood at all has one error.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigErrors {
    errors: Vec<ConfigError>,
    more: usize,
}

/// What is wrong so far: however much that is, no more than can be told is stored.
#[derive(Debug)]
pub(super) struct Findings {
    errors: Vec<ConfigError>,
    more: usize,
    /// So many are told one by one.
    most: usize,
}

impl ConfigErrors {
    /// The first errors of the file.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.errors.iter()
    }

    /// How many more there are.
    #[must_use]
    pub const fn more(&self) -> usize {
        self.more
    }

    /// A line for each error, with the place that it is about, as compilers print it: `PATH:LINE: …`.
    pub(super) fn in_files(&self, sources: &SourcePaths) -> String {
        self.each_in(sources).collect::<Vec<_>>().join("\n")
    }

    /// In one line; with the names of the files if there are several.
    pub(crate) fn in_one_line(&self, sources: &SourcePaths) -> String {
        if sources.iter().len() == 1 { self.to_string() } else { self.each_in(sources).collect::<Vec<_>>().join("; ") }
    }

    fn each_in(&self, sources: &SourcePaths) -> impl Iterator<Item = String> {
        let error = |error: &ConfigError| format!("{}: {}", sources.place(error.location), error.problem);
        let more = (self.more > 0).then(|| format!("{sources}: and {} more errors", self.more));
        self.errors.iter().map(error).chain(more)
    }
}

impl Findings {
    pub(super) const fn new(most: usize) -> Self {
        Self { errors: Vec::new(), more: 0, most }
    }

    pub(super) fn push(&mut self, error: ConfigError) {
        self.errors.push(error);
        if self.errors.len() >= 2 * self.most {
            self.cut();
        }
    }

    /// There are so many more errors, all of them after the ones that were pushed.
    pub(super) const fn add(&mut self, more: usize) {
        self.more += more;
    }

    /// The value, if nothing is wrong.
    pub(super) fn or<T>(mut self, value: T) -> Result<T, ConfigErrors> {
        self.cut();
        let Self { errors, more, .. } = self;
        if errors.is_empty() { Ok(value) } else { Err(ConfigErrors { errors, more }) }
    }

    /// Of one line, the error that was found first stays first.
    fn cut(&mut self) {
        self.errors.sort_by_key(|error| error.location.map(|location| location.order()));
        self.more += self.errors.len().saturating_sub(self.most);
        self.errors.truncate(self.most);
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self { errors: vec![error], more: 0 }
    }
}

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    /// In one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, error) in self.errors.iter().enumerate() {
            write!(f, "{}{error}", if number == 0 { "" } else { "; " })?;
        }
        if self.more > 0 {
            write!(f, "; and {} more errors", self.more)?;
        }
        Ok(())
    }
}
