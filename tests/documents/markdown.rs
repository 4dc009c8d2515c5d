//! The documents of the repository, and as much of Markdown as they use.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Directories that hold nothing of ours.
const PASSED_OVER: [&str; 2] = ["target", ".git"];

/// What begins and ends a block of code.
const FENCE: &str = "```";

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

/// All files of the repository with this extension, in the order of their paths.
pub(crate) fn files(extension: &str) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    collect(root(), extension, &mut paths);
    paths.sort();
    paths
}

impl Document {
    /// All documents of the repository, in the order of their paths.
    pub(crate) fn all() -> Vec<Self> {
        files("md").iter().map(|path| Self::read(path.strip_prefix(root()).unwrap())).collect()
    }

    /// The document at a path from the repository's root.
    pub(crate) fn read(path: &Path) -> Self {
        Self { path: path.to_owned(), text: fs::read_to_string(root().join(path)).unwrap() }
    }

    /// The fenced blocks.
    pub(crate) fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks: Vec<Block<'_>> = Vec::new();
        let mut is_open = false;
        for (index, line) in self.text.lines().enumerate() {
            match line.strip_prefix(FENCE) {
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

    /// The lines outside of blocks.
    fn prose(&self) -> Vec<&str> {
        let mut is_open = false;
        let is_prose = |line: &&str| {
            let is_fence = line.starts_with(FENCE);
            is_open ^= is_fence;
            !is_open && !is_fence
        };
        self.text.lines().filter(is_prose).collect()
    }

    /// What stands between backticks, each in one piece although its line may be broken.
    pub(crate) fn code_spans(&self) -> Vec<String> {
        let prose = self.prose().join("\n");
        let of_paragraph = |paragraph: &str| {
            let pieces = paragraph.split('`').skip(1).step_by(2);
            pieces.map(|span| span.replace('\n', " ")).collect::<Vec<_>>()
        };
        prose.split("\n\n").flat_map(of_paragraph).collect()
    }

    /// The targets of the links and pictures.
    pub(crate) fn links(&self) -> Vec<String> {
        let prose = self.prose().join("\n");
        // What stands in code is no link.
        let text: String = prose.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        targets.map(|(target, _)| target.to_owned()).collect()
    }

    /// The names by which links reach its headings, as GitHub makes them.
    pub(crate) fn anchors(&self) -> BTreeSet<String> {
        let mut anchors = BTreeSet::new();
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for heading in self.prose().into_iter().filter(|line| line.starts_with('#')) {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            let written = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            let anchor = written.collect::<String>().replace(' ', "-");
            let times = times.entry(anchor.clone()).or_default();
            anchors.insert(if *times == 0 { anchor } else { format!("{anchor}-{times}") });
            *times += 1;
        }
        anchors
    }
}

fn collect(directory: &Path, extension: &str, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !PASSED_OVER.iter().any(|name| path.ends_with(name)) {
            collect(&path, extension, paths);
        } else if path.extension().is_some_and(|found| found == extension) {
            paths.push(path);
        }
    }
}
