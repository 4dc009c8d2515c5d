//! The configuration file from one look to the next: what is new about it.

use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};

use crate::config::{self, Context, ReadError, Reading};

/// The configuration file, and what it held when it was last looked at; so that each thing is told once.
#[derive(Debug)]
pub struct ConfigFile {
    path: PathBuf,
    context: Context,
    found: Option<Found>,
    hasher: RandomState,
}

/// What a look found, in short: a file may be large, and is only compared.
#[derive(Debug, PartialEq)]
enum Found {
    Content { len: usize, hash: u64 },
    Unreadable(String),
}

/// What a look at the configuration file came to.
#[derive(Debug)]
pub enum Look {
    /// It says what it said.
    Same,
    /// It is missing or empty, which it was not before. While somebody writes it, it is so for a moment.
    Away,
    /// There is something new.
    News(FileNews),
}

/// What is new about the file: what it says, or why it cannot be used.
pub type FileNews = Result<Content, ReadError>;

/// What a valid file holds.
#[derive(Debug)]
pub struct Content {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What they say.
    pub reading: Reading,
}

impl ConfigFile {
    /// The file at `path`, not looked at yet, to be read with these flags.
    #[must_use]
    pub fn new(path: &Path, context: Context) -> Self {
        Self { path: path.to_owned(), context, found: None, hasher: RandomState::new() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is new about the file. That it is missing or empty counts if it `has_been_away` for a while, and at the first
    /// look.
    pub fn look(&mut self, has_been_away: bool) -> Look {
        let may_come_back = self.found.is_some() && !has_been_away;
        let read = config::load(&self.path);
        let found = match &read {
            Ok(bytes) => Found::Content { len: bytes.len(), hash: self.hasher.hash_one(bytes) },
            Err(error) => Found::Unreadable(error.to_string()),
        };
        if self.found.as_ref() == Some(&found) {
            return Look::Same;
        }
        let is_away = match &read {
            Ok(bytes) => bytes.is_empty(),
            Err(error) => matches!(error, ReadError::Missing(_)),
        };
        if is_away && may_come_back {
            return Look::Away;
        }
        self.found = Some(found);
        Look::News(read.and_then(|bytes| {
            let reading = config::understand(&self.path, &bytes, &self.context)?;
            Ok(Content { bytes, reading })
        }))
    }
}
