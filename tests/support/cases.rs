//! The cases of `rules/`: configurations, and the texts of the rules that follow from them.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::netns::{AGENT, Netns};
use super::ran::Ran;

/// One folder of `rules/`.
#[derive(Debug)]
pub(crate) struct Case {
    folder: PathBuf,
}

impl Case {
    /// All of them, in the order of their names. An empty list is an error, not a success.
    pub(crate) fn all() -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
        let entries = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path());
        let mut cases: Vec<Self> = entries.filter(|path| path.is_dir()).map(|folder| Self { folder }).collect();
        cases.sort_by(|one, other| one.folder.cmp(&other.folder));
        assert!(cases.len() >= 8, "only {} cases in {}", cases.len(), root.display());
        cases
    }

    /// The text that a renderer has to print, and its file.
    pub(crate) fn golden(&self, format: &str) -> (PathBuf, String) {
        let path = self.folder.join(format);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| format!("({error})"));
        (path, text)
    }

    /// A verb, its flags, and those of the case.
    pub(crate) fn arguments(&self, verb: &[&str]) -> Vec<String> {
        let flags = fs::read_to_string(self.folder.join("flags")).unwrap_or_default();
        let config = self.folder.join("config.yaml");
        let verb = verb.iter().map(|word| (*word).to_owned());
        let flags = flags.lines().filter(|line| !line.is_empty()).map(str::to_owned);
        verb.chain(["--config".to_owned(), config.to_str().unwrap().to_owned()]).chain(flags).collect()
    }

    /// Runs a verb of the agent on the case.
    #[track_caller]
    pub(crate) fn run(&self, netns: &Netns, verb: &[&str]) -> Ran {
        let arguments = self.arguments(verb);
        netns.try_run(AGENT, &arguments.iter().map(String::as_str).collect::<Vec<_>>(), "").ended_with(0)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.folder.display().fmt(f)
    }
}
