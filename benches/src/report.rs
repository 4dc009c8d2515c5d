//! The document: all rows, in sections of tables and pictures, and a first page to them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::chart::Chart;
use crate::effort::Effort;
use crate::figures::{Samples, three_digits};
use crate::first_page::first_page;
use crate::machine::Machine;

/// Where the rows are, beside the first page.
const ROWS: &str = "benchmarks/rows.md";

/// One question, its answers and its pictures.
#[derive(Debug, Default)]
pub struct Section {
    /// Its heading.
    pub title: &'static str,
    /// What is measured, and how.
    pub about: String,
    /// The answers.
    pub rows: Vec<Row>,
    /// The pictures, each with its file's name.
    pub charts: Vec<(&'static str, Chart)>,
}

/// One comparison.
#[derive(Clone, Debug)]
pub struct Row {
    /// What is measured of ours.
    pub ours: String,
    /// The number of ranges.
    pub ranges: usize,
    /// Ours.
    pub samples: Samples,
    /// What it is compared with, if anything.
    pub peer: Option<(String, Samples)>,
    /// What should be reached.
    pub goal: Option<Goal>,
}

/// What the medians should reach.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// The peer takes at least so many times ours.
    TimesLess(f64),
    /// Ours is at most so many times the peer's.
    AtMostTimes(f64),
    /// Ours is at most so much.
    AtMost(f64),
}

impl Row {
    /// Whether it reaches its goal, if it has one.
    #[must_use]
    pub fn reached(&self) -> Option<bool> {
        let ours = self.samples.median();
        let theirs = || self.peer.as_ref().map(|(_, samples)| samples.median());
        match self.goal? {
            Goal::TimesLess(times) => theirs().map(|theirs| theirs >= times * ours),
            Goal::AtMostTimes(times) => theirs().map(|theirs| ours <= times * theirs),
            Goal::AtMost(value) => Some(ours <= value),
        }
    }

    /// The row as a line of a Markdown table.
    #[must_use]
    pub fn line(&self) -> String {
        let (peer, theirs, ratio) = match &self.peer {
            None => ("–".to_owned(), "–".to_owned(), "–".to_owned()),
            Some((name, samples)) => (name.clone(), samples.to_string(), self.ratio(samples)),
        };
        let goal = match self.goal {
            None => "–".to_owned(),
            Some(Goal::TimesLess(times)) => format!("at least {times} times less"),
            Some(Goal::AtMostTimes(times)) => format!("at most {times} times the peer's"),
            Some(Goal::AtMost(value)) => format!("at most {}", self.samples.written(value)),
        };
        let reached = match self.reached() {
            None => "–",
            Some(true) => "yes",
            Some(false) => "**no**",
        };
        let Self { ours, ranges, samples, .. } = self;
        format!(
            "| {ours} | {} | {samples} | {peer} | {theirs} | {ratio} | {goal} | {reached} |",
            with_thousands(*ranges)
        )
    }

    fn ratio(&self, theirs: &Samples) -> String {
        let (ours, theirs) = (self.samples.median(), theirs.median());
        // What is subtracted can leave nothing, and nothing is no divisor.
        if ours <= 0.0 || theirs <= 0.0 {
            return "–".to_owned();
        }
        if ours <= theirs {
            format!("{} times less", three_digits(theirs / ours))
        } else {
            format!("{} times more", three_digits(ours / theirs))
        }
    }
}

/// Writes the rows and the pictures into `benchmarks/`, and their first page, `benchmarks.md`, beside it. Sections of rows
/// that are there already and were not measured anew stay as they are, if not `all` were asked for.
pub fn write(directory: &Path, effort: Effort, machine: &Machine, sections: &[Section], all: bool) -> Result<()> {
    let beside = directory.join("benchmarks");
    fs::create_dir_all(&beside).with_context(|| beside.display().to_string())?;
    let path = directory.join(ROWS);
    let mut text = format!("# All rows of the benchmarks\n\n{}\n{machine}\n", preface(effort));
    let mut written = Vec::new();
    for section in sections {
        let mut text = format!("{}\n\n{}\n\n", section.title, section.about);
        text.push_str("| ours | ranges | measured | peer | measured | ratio | goal | reached |\n");
        text.push_str("|---|--:|---|---|---|---|---|---|\n");
        for row in &section.rows {
            let _ = writeln!(text, "{}", row.line());
        }
        text.push('\n');
        for (file, chart) in &section.charts {
            chart.draw(&beside.join(file))?;
            let _ = writeln!(text, "![{}]({file})\n", chart.title);
        }
        written.push(text);
    }
    let before = if all { String::new() } else { fs::read_to_string(&path).unwrap_or_default() };
    for section in in_their_places(&before, written) {
        let _ = write!(text, "## {}\n\n", section.trim_end());
    }
    fs::write(&path, text.trim_end().to_owned() + "\n").with_context(|| path.display().to_string())?;
    write_first_page(directory)
}

/// Writes `benchmarks.md` from the rows beside it.
pub fn write_first_page(directory: &Path) -> Result<()> {
    let rows = directory.join(ROWS);
    let rows = fs::read_to_string(&rows).with_context(|| rows.display().to_string())?;
    let path = directory.join("benchmarks.md");
    fs::write(&path, first_page(&rows)).with_context(|| path.display().to_string())
}

/// The sections of a document, those that were written anew in place of the old ones, and new ones behind them. Each begins
/// with its title.
fn in_their_places(before: &str, written: Vec<String>) -> Vec<String> {
    let title = |section: &str| section.lines().next().unwrap_or_default().to_owned();
    let mut sections: Vec<String> = before.split("\n## ").skip(1).map(str::to_owned).collect();
    for new in written {
        match sections.iter_mut().find(|old| title(old) == title(&new)) {
            Some(old) => *old = new,
            None => sections.push(new),
        }
    }
    sections
}

fn preface(effort: Effort) -> String {
    let quick = match effort {
        Effort::Quick => {
            "**A quick run that only shows that everything can be measured; its numbers mean little.**\n\n"
        }
        Effort::Full => "",
    };
    format!(
        "{quick}Written by `make bench`; the [first page](../benchmarks.md) has the figures that are asked for most. Every \
         comparison was measured in turn (ours, the peer, ours, the peer, …), each section in one run, in network \
         namespaces made for it. A cell reads: median (minimum; first quartile–third quartile; number of samples). Ratios \
         and goals are about medians. The agent is the static build of `make static`.\n"
    )
}

/// A number with its thousands parted.
#[must_use]
pub fn with_thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}
