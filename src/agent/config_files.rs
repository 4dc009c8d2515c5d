//! Compares the configuration files from one reading to the next.

use std::hash::{BuildHasher as _, RandomState};

use crate::config::{self, Context, ReadError, Reading, Source, SourcePaths, SourceSet};

/// The configuration files, and what they held when news of them were last returned, so that each change is reported
/// once.
#[derive(Debug)]
pub struct ConfigFiles {
    paths: SourcePaths,
    context: Context,
    told: Option<Found>,
    hasher: RandomState,
}

/// What a reading found, as summaries: files may be large, and are only compared.
#[derive(Debug, PartialEq)]
enum Found {
    /// What is at each path.
    Files(Vec<Summary>),
    /// They cannot be read.
    Unreadable(String),
}

/// What is at a path.
#[derive(Debug, PartialEq)]
enum Summary {
    Missing,
    Content { len: usize, hash: u64 },
}

/// The result of a look at the configuration files.
#[derive(Debug)]
pub enum Look {
    /// They are unchanged.
    Same,
    /// One of them is missing or empty, which it was not before. A file that is being replaced is so for a moment.
    Away,
    /// There is something new.
    News(FileNews),
}

/// What is new about the files: what they say, or why they cannot be used.
pub type FileNews = Result<Content, ReadError>;

/// Files that are valid, or of which none is there.
#[derive(Debug)]
pub struct Content {
    /// What they hold.
    pub sources: SourceSet,
    /// What they say.
    pub reading: Reading,
}

impl ConfigFiles {
    /// The files at these paths, not looked at yet, to be read with these flags.
    #[must_use]
    pub fn new(paths: SourcePaths, context: Context) -> Self {
        Self { paths, context, told: None, hasher: RandomState::new() }
    }

    /// Where they are.
    #[must_use]
    pub const fn paths(&self) -> &SourcePaths {
        &self.paths
    }

    /// Reads the files and compares them.
    pub fn look(&mut self, has_been_away: bool) -> Look {
        let read = self.read();
        self.compare(read, has_been_away)
    }

    /// Reads the files.
    ///
    /// # Errors
    ///
    /// [`ReadError`], for the first that cannot be read.
    pub(super) fn read(&self) -> Result<SourceSet, ReadError> {
        SourceSet::load(&self.paths)
    }

    /// What is new about what was read. That a file is missing or empty is news at the first look, and later only if it
    /// `has_been_away` for a while.
    pub(super) fn compare(&mut self, read: Result<SourceSet, ReadError>, has_been_away: bool) -> Look {
        let found = match &read {
            Ok(sources) => Found::Files(sources.iter().map(|source| self.summary(source)).collect()),
            Err(error) => Found::Unreadable(error.to_string()),
        };
        match &self.told {
            Some(told) if *told == found => return Look::Same,
            Some(told) if !has_been_away && found.lacks_what_may_come_back(told) => return Look::Away,
            _ => {}
        }
        self.told = Some(found);
        Look::News(read.and_then(|sources| {
            let reading = config::understand(&sources, &self.context)?;
            Ok(Content { sources, reading })
        }))
    }

    fn summary(&self, source: &Source) -> Summary {
        match &source.content {
            None => Summary::Missing,
            Some(bytes) => Summary::Content { len: bytes.len(), hash: self.hasher.hash_one(bytes) },
        }
    }
}

impl Found {
    /// Whether a file is missing or empty that was something else before.
    fn lacks_what_may_come_back(&self, before: &Self) -> bool {
        let Self::Files(now) = self else { return false };
        let was = |index: usize| match before {
            Self::Files(before) => before.get(index),
            Self::Unreadable(_) => None,
        };
        now.iter().enumerate().any(|(index, now)| now.is_away() && was(index) != Some(now))
    }
}

impl Summary {
    const fn is_away(&self) -> bool {
        matches!(self, Self::Missing | Self::Content { len: 0, .. })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn each_file_of_two_is_compared_by_itself_and_only_one_that_has_just_gone_may_come_back() {
        let scratch = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| scratch.path().join(name));
        let source = |path: &std::path::Path| Source { path: path.to_owned(), content: None };
        let paths = SourceSet::new(vec![source(&one), source(&two)]).unwrap().paths();
        let mut files = ConfigFiles::new(paths, Context::default());
        let held = |look: Look| match look {
            Look::News(Ok(Content { sources, .. })) => {
                sources.iter().map(|source| source.content.as_ref().map(Vec::len)).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        };
        fs::write(&two, "# two").unwrap();
        assert_eq!(held(files.look(false)), [None, Some(5)], "the first look waits for nothing");
        assert!(matches!(files.look(false), Look::Same));
        fs::write(&two, "# 2").unwrap();
        assert_eq!(
            held(files.look(false)),
            [None, Some(3)],
            "one that has been missing all the while is not waited for"
        );
        fs::write(&one, "# 2").unwrap();
        assert_eq!(held(files.look(false)), [Some(3), Some(3)]);
        fs::rename(&one, scratch.path().join("old")).unwrap();
        assert!(matches!(files.look(false), Look::Away));
        fs::write(&two, "# changed meanwhile").unwrap();
        assert!(matches!(files.look(false), Look::Away), "what is changed in the meantime is news together with it");
        fs::write(&one, "").unwrap();
        assert!(matches!(files.look(false), Look::Away), "an empty one may be about to be written");
        assert_eq!(held(files.look(true)), [Some(0), Some(19)]);
        fs::remove_file(&two).unwrap();
        fs::create_dir(&two).unwrap();
        let Look::News(Err(error)) = files.look(false) else { panic!("a directory is told of at once") };
        assert!(error.to_string().starts_with(&format!("{}: is a directory", two.display())), "{error}");
        assert!(matches!(files.look(true), Look::Same));
    }
}
