//! The runs that were kept, a JSON file each. The pages are made from all of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::conditions::Conditions;
use crate::effort::Effort;
use crate::figures::Figure;
use crate::section::{Row, Section};

/// Where they are, beside the first page.
pub const DIRECTORY: &str = "benchmarks/runs";

/// The form of the file. Another one is not read.
const FORM: u32 = 1;

/// One run: on one machine, of one version of the agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    form: u32,
    /// The machine's name, as whoever measured calls it.
    pub name: String,
    /// When it began, in UTC.
    pub at: String,
    /// How thorough it was.
    pub effort: Effort,
    /// Facts about the machine and the programs on it.
    pub machine: Vec<(String, String)>,
    /// What each question found, by its name.
    pub sections: BTreeMap<String, Answer>,
}

/// What one question found, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The version of the agent that was measured.
    pub version: String,
    /// The version that it was compared with.
    pub before: Option<String>,
    /// Under which conditions each round was taken.
    pub rounds: Vec<Conditions>,
    /// The comparisons.
    pub rows: Vec<Row<Figure>>,
    /// What could not be measured, and why.
    pub failures: Vec<String>,
    /// What else is to be known of them.
    pub notes: Vec<String>,
}

impl Run {
    /// A run in which nothing was measured yet.
    #[must_use]
    pub const fn new(name: String, at: String, effort: Effort, machine: Vec<(String, String)>) -> Self {
        Self { form: FORM, name, at, effort, machine, sections: BTreeMap::new() }
    }

    /// All that are kept beside this first page, the oldest first.
    pub fn all(beside: &Path) -> Result<Vec<Self>> {
        let directory = beside.join(DIRECTORY);
        let mut runs = Vec::new();
        for entry in fs::read_dir(&directory).into_iter().flatten() {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                runs.push(Self::read(&path).with_context(|| path.display().to_string())?);
            }
        }
        runs.sort_by(|a: &Self, b| (&a.at, &a.name).cmp(&(&b.at, &b.name)));
        Ok(runs)
    }

    fn read(path: &Path) -> Result<Self> {
        let run: Self = serde_json::from_str(&fs::read_to_string(path)?)?;
        ensure!(run.form == FORM, "a run in form {}, and not {FORM}", run.form);
        Ok(run)
    }

    /// Keeps it beside this first page, in place of what was kept of the same run.
    pub fn keep(&self, beside: &Path) -> Result<PathBuf> {
        let path = beside.join(DIRECTORY).join(self.file());
        // A line for each row, so that what a later run changes can be seen.
        let text = serde_json::to_string(self)?.replace("{\"ours\":", "\n{\"ours\":") + "\n";
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(beside.join(DIRECTORY))?;
            // Never half of it, wherever it is interrupted.
            let new = path.with_extension("new");
            fs::write(&new, text)?;
            fs::rename(new, &path)
        };
        write().with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// `MACHINE-20261121-2347.json`.
    fn file(&self) -> String {
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
        let (date, time) = self.at.split_once('T').unwrap_or((&self.at, ""));
        format!("{}-{}-{}.json", self.name, digits(date), digits(time).get(..4).unwrap_or_default())
    }
}

impl Answer {
    /// What was measured, under these conditions.
    #[must_use]
    pub fn new(version: &str, before: Option<&str>, rounds: Vec<Conditions>, found: &Section) -> Self {
        Self {
            version: version.to_owned(),
            before: before.map(str::to_owned),
            rounds,
            rows: found.rows.iter().map(Row::figures).collect(),
            failures: found.failures.clone(),
            notes: found.notes.clone(),
        }
    }
}

/// A name that a file may have.
#[must_use]
pub fn file_name(text: &str) -> String {
    let letters =
        text.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' });
    let words: String = letters.collect();
    words.split('-').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again_and_the_newest_is_the_last() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let run = |at: &str| Run::new("a".to_owned(), at.to_owned(), Effort::Full, Vec::new());
        let (mut newer, older) = (run("2026-11-22T01:02:03Z"), run("2026-11-21T23:59:59Z"));
        let path = newer.keep(directory.path())?;
        assert_eq!(path.file_name().and_then(|name| name.to_str()), Some("a-20261122-0102.json"));
        older.keep(directory.path())?;
        let mut found = Section::default();
        found.group("nothing", || anyhow::bail!("no such program"));
        newer.sections.insert("apply".to_owned(), Answer::new("v1", None, vec![Conditions::now()?], &found));
        newer.keep(directory.path())?;
        assert_eq!(Run::all(directory.path())?, [older, newer]);
        Ok(())
    }

    #[test]
    fn a_machine_without_a_name_gets_one_that_a_file_may_have() {
        assert_eq!(file_name("AMD EPYC (TM) 7R13/2"), "amd-epyc-tm-7r13-2");
    }
}
