//! Where a configuration comes from: one file, or several that are merged in their order.

use std::fmt;
use std::path::{self, Path, PathBuf};

use super::{Location, SourceId};
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
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Source> {
        self.sources.iter()
    }

    /// What they hold, each with its id.
    pub(super) fn contents(&self) -> Vec<(SourceId, Option<&[u8]>)> {
        let ids = (0..=u16::MAX).map(SourceId::new);
        ids.zip(self.iter().map(|source| source.content.as_deref())).collect()
    }

    /// The paths alone.
    #[must_use]
    pub fn paths(&self) -> SourcePaths {
        SourcePaths { paths: self.iter().map(|source| source.path.clone()).collect() }
    }

    /// Whether there is no file at any of the paths.
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
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.paths.iter().map(PathBuf::as_path)
    }

    /// The path of this source, if it is one of this set.
    #[must_use]
    pub fn path(&self, id: SourceId) -> Option<&Path> {
        self.paths.get(id.index()).map(PathBuf::as_path)
    }

    /// The file and the line of a location; without one all files.
    #[must_use]
    pub fn file_and_line(&self, location: Option<Location>) -> (String, Option<u32>) {
        let file = location.and_then(|location| self.path(location.file));
        let file = file.map_or_else(|| self.to_string(), |file| Shown(file).to_string());
        (file, location.map(|location| location.line()))
    }

    /// A place in these files, as compilers print it: `PATH:LINE`. Without a location it is all of them.
    pub(super) fn place(&self, location: Option<Location>) -> String {
        let place = |location: Location| Some(format!("{}:{}", Shown(self.path(location.file)?), location.line()));
        location.and_then(place).unwrap_or_else(|| self.to_string())
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

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;
    use crate::config::ReadError;

    fn paths(root: &Path, names: &[&str]) -> SourcePaths {
        SourcePaths { paths: names.iter().map(|name| root.join(name)).collect() }
    }

    #[test]
    fn files_are_read_in_their_order_and_one_that_is_missing_is_no_error() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        fs::write(root.join("z"), "first").unwrap();
        fs::write(root.join("a"), "").unwrap();
        let paths = paths(root, &["z", "missing", "a"]);
        for load in [SourceSet::load, SourceSet::load_once] {
            let sources = load(&paths).unwrap();
            let found: Vec<_> = sources.iter().map(|source| source.content.as_deref()).collect();
            assert_eq!(found, [Some(&b"first"[..]), None, Some(b"")]);
            assert_eq!((sources.paths(), sources.is_absent()), (paths.clone(), false));
        }
        let [z, missing, a] = ["z", "missing", "a"].map(|name| root.join(name).display().to_string());
        assert_eq!(paths.to_string(), format!("{z}, {missing}, {a}"));
        assert!(SourceSet::load(&SourcePaths::one(root.join("missing"))).unwrap().is_absent());
    }

    #[test]
    fn one_file_that_cannot_be_read_is_named_and_nothing_is_read() {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("good"), "").unwrap();
        fs::create_dir(scratch.path().join("bad")).unwrap();
        let error = SourceSet::load(&paths(scratch.path(), &["good", "bad"])).unwrap_err();
        assert!(matches!(&error, ReadError::NotAFile { path, .. } if path.ends_with("bad")), "{error}");
    }

    #[test]
    fn all_files_together_may_have_64_mebibytes() {
        let scratch = tempfile::tempdir().unwrap();
        // Without a block on the disk.
        let file = |name: &str, len: u64| File::create(scratch.path().join(name)).unwrap().set_len(len).unwrap();
        file("most", 64 << 20);
        file("nothing", 0);
        file("one", 1);
        let load = |names: &[&str]| SourceSet::load(&paths(scratch.path(), names));
        assert!(load(&["nothing", "most", "nothing"]).is_ok());
        let error = load(&["most", "one"]).unwrap_err().to_string();
        let one = scratch.path().join("one");
        let said = format!("{}: together with the files before it, larger than the 67108864 bytes", one.display());
        assert!(error.starts_with(&said), "{error}");
        file("more", (64 << 20) + 1);
        let error = load(&["more", "one"]).unwrap_err();
        assert!(matches!(error, ReadError::TooLarge { .. }), "{error}");
    }

    #[test]
    fn a_set_has_at_least_one_file_and_no_more_than_there_are_places_for() {
        let source = Source { path: "/a".into(), content: None };
        for (count, allowed) in [(0, false), (1, true), (SourceSet::MOST, true), (SourceSet::MOST + 1, false)] {
            assert_eq!(SourceSet::new(vec![source.clone(); count]).is_some(), allowed, "{count}");
        }
    }
}
