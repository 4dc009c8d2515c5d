//! The documents of the repository, and as much of Markdown as they use.

use std::fs;
use std::path::{Path, PathBuf};

/// Directories that hold no document of ours.
const PASSED_OVER: [&str; 2] = ["target", ".git"];

/// A document.
#[derive(Debug)]
pub(crate) struct Document {
    /// Its path from the repository's root.
    pub(crate) path: PathBuf,
    /// Its text.
    pub(crate) text: String,
}

/// A fenced block of code.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    /// The line of the opening fence, from 1.
    pub(crate) line: usize,
    /// What the opening fence says of it, such as `console`.
    pub(crate) language: &'a str,
    /// Its lines.
    pub(crate) lines: Vec<&'a str>,
}

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Document {
    /// All documents of the repository, in the order of their paths.
    pub(crate) fn all() -> Vec<Self> {
        let mut paths = Vec::new();
        collect(root(), &mut paths);
        paths.sort();
        paths
            .into_iter()
            .map(|path| Self {
                text: fs::read_to_string(&path).unwrap(),
                path: path.strip_prefix(root()).unwrap().to_owned(),
            })
            .collect()
    }

    /// The fenced blocks.
    pub(crate) fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks: Vec<Block<'_>> = Vec::new();
        let mut is_open = false;
        for (index, line) in self.text.lines().enumerate() {
            match line.strip_prefix("```") {
                Some(_) if is_open => is_open = false,
                Some(language) => {
                    is_open = true;
                    blocks.push(Block { line: index + 1, language, lines: Vec::new() });
                }
                None if is_open => blocks.last_mut().unwrap().lines.push(line),
                None => {}
            }
        }
        assert!(!is_open, "{}: a block of code does not end", self.path.display());
        blocks
    }
}

fn collect(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !PASSED_OVER.iter().any(|name| path.ends_with(name)) {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            paths.push(path);
        }
    }
}
