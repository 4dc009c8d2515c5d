//! Where a configuration comes from: one file, or several that are merged in their order.

use std::fmt;
use std::path::{self, Path, PathBuf};

use super::SourceId;
use crate::text::Shown;

/// A file as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// The path at which it was looked for.
    pub path: PathBuf,
    /// What it held; `None` if there was no file.
    pub content: Option<Vec<u8>>,
}

/// What one configuration is made of: at least one source, in the order in which they are merged. This is what is read,
/// compared with what was read before, understood and saved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourceSet {
    pub(super) sources: Vec<Source>,
}

/// The paths of a [`SourceSet`] without what the files hold: what is watched, and what messages name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePaths {
    paths: Vec<PathBuf>,
}

impl SourceSet {
    /// The most sources of a set.
    pub const MOST: usize = 256;

    /// One file.
    #[must_use]
    pub fn one(path: impl Into<PathBuf>, content: Option<Vec<u8>>) -> Self {
        Self { sources: vec![Source { path: path.into(), content }] }
    }

    /// Files in their order; `None` if there is none, or more than [`SourceSet::MOST`].
    #[must_use]
    pub fn new(sources: Vec<Source>) -> Option<Self> {
        (1..=Self::MOST).contains(&sources.len()).then_some(Self { sources })
    }

    /// The sources in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Source> {
        self.sources.iter()
    }

    /// The paths alone.
    #[must_use]
    pub fn paths(&self) -> SourcePaths {
        SourcePaths { paths: self.iter().map(|source| source.path.clone()).collect() }
    }

    /// Is there no file at any of the paths?
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.iter().all(|source| source.content.is_none())
    }

    /// The same with paths from the root. Without a current directory they stay as they are.
    #[must_use]
    pub(crate) fn with_absolute_paths(mut self) -> Self {
        for source in &mut self.sources {
            if let Ok(path) = path::absolute(&source.path) {
                source.path = path;
            }
        }
        self
    }
}

impl SourcePaths {
    /// The path of one file.
    #[must_use]
    pub fn one(path: impl Into<PathBuf>) -> Self {
        Self { paths: vec![path.into()] }
    }

    /// The paths in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.paths.iter().map(PathBuf::as_path)
    }

    /// The path of this source. There is none of an id from another set.
    pub(super) fn path(&self, id: SourceId) -> &Path {
        self.paths.get(id.index()).map_or(Path::new(""), PathBuf::as_path)
    }
}

impl fmt::Display for SourcePaths {
    /// All of them, as messages name them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, path) in self.iter().enumerate() {
            write!(f, "{}{}", if number == 0 { "" } else { ", " }, Shown(path))?;
        }
        Ok(())
    }
}
