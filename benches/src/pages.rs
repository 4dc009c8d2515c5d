//! The pages: all rows, in sections of tables and pictures, and a first page to them. All are made from the runs that were kept.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::chart::Chart;
use crate::conditions::Conditions;
use crate::effort::Effort;
use crate::figures::{Figure, three_digits};
use crate::first_page::first_page;
use crate::rows::{QUESTIONS, Question};
use crate::runs::{Answer, Run};
use crate::section::{Goal, Row};

/// Where the rows are, beside the first page.
const ROWS: &str = "benchmarks/rows.md";

/// What stands on a page that has no run.
pub const NO_RUN: &str = "No run is kept. `make bench` adds one.\n";

/// Writes them all.
pub fn write(directory: &Path) -> Result<()> {
    let runs = Run::all(directory)?;
    let beside = directory.join("benchmarks");
    fs::create_dir_all(&beside).with_context(|| beside.display().to_string())?;
    let put = |name: &str, text: String| {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())
    };
    for (file, chart) in charts(&runs) {
        chart.draw(&beside.join(file))?;
    }
    put(ROWS, rows(&runs))?;
    put("benchmarks.md", first_page(&runs))
}

/// The pictures that can be drawn, of the newest run that has the figures.
#[must_use]
pub fn charts(runs: &[Run]) -> Vec<(&'static str, Chart)> {
    let mut charts = Vec::new();
    for question in &QUESTIONS {
        let Some(answer) = runs.iter().rev().find_map(|run| run.sections.get(question.name)) else { continue };
        for picture in question.pictures {
            let mut chart = Chart::new(picture.title, picture.axis);
            for row in answer.rows.iter().filter(|row| (picture.shows)(&row.ours)) {
                chart.point(&row.ours, row.ranges, row.now.median);
                if let Some(peer) = &row.peer {
                    chart.point(&peer.name, row.ranges, peer.measured.median);
                }
            }
            if !chart.is_empty() {
                charts.push((picture.file, chart));
            }
        }
    }
    charts
}

/// The page of all rows.
#[must_use]
pub fn rows(runs: &[Run]) -> String {
    let mut text = "# All rows of the benchmarks\n\n\
         Written by `make bench` from the files in [runs](runs/README.md); the [first page](../benchmarks.md) has the figures that are \
         asked for most. Every comparison was measured in turn (ours, the peer, ours, the peer, …), in network namespaces made \
         for it, and all of it twice, the second round when the first was over. A cell reads: median of both rounds \
         (minimum; first quartile–third quartile; number of samples; median of each round). A figure of which the rounds \
         differ by more than a quarter is *not repeatable*, and no ratio is given for it. A ratio is the less favourable one \
         of the two rounds'; goals are about the medians. *Before* is the same of an older binary, measured in turn with the \
         newer one, where it is measured as a program; the column behind it is how many times that is of ours. The agent \
         is the static build of `make static`.\n\n"
        .to_owned();
    if runs.is_empty() {
        let _ = writeln!(text, "{NO_RUN}");
    }
    text.push_str(&warnings(runs));
    for run in runs {
        let _ = writeln!(text, "| {} | {} |\n|---|---|", run.name, run.at);
        for (name, value) in &run.machine {
            let _ = writeln!(text, "| {name} | {value} |");
        }
        text.push('\n');
    }
    let charts = charts(runs);
    for question in &QUESTIONS {
        let answers: Vec<(&Run, &Answer)> =
            runs.iter().filter_map(|run| Some((run, run.sections.get(question.name)?))).collect();
        let _ = write!(text, "## {}\n\n{}\n\n", question.title, question.about);
        if answers.is_empty() {
            text.push_str("Not measured yet.\n\n");
        }
        for (run, answer) in answers {
            text.push_str(&section(run, answer));
        }
        for (file, chart) in
            charts.iter().filter(|(file, _)| question.pictures.iter().any(|picture| picture.file == *file))
        {
            let _ = writeln!(text, "![{}]({file})\n", chart.title);
        }
    }
    text.trim_end().to_owned() + "\n"
}

/// What has to be known before any figure is believed.
#[must_use]
pub fn warnings(runs: &[Run]) -> String {
    let mut text = String::new();
    if runs.iter().any(|run| run.effort == Effort::Quick) {
        text.push_str("**A quick run only shows that everything can be measured; its numbers mean little.**\n\n");
    }
    for run in runs {
        let titles = |of: fn(&&Answer) -> bool| {
            let title = |question: &&Question| run.sections.get(question.name).as_ref().is_some_and(of);
            QUESTIONS.iter().filter(title).map(|question| question.title).collect::<Vec<_>>().join("; ")
        };
        let disturbed = titles(|answer| answer.rounds.iter().any(Conditions::are_disturbed));
        if !disturbed.is_empty() {
            let _ = writeln!(
                text,
                "**{}, {}: the machine was busy with other work during:** {disturbed}.\n",
                run.name, run.at
            );
        }
        let failed = titles(|answer| !answer.failures.is_empty());
        if !failed.is_empty() {
            let _ = writeln!(text, "**{}, {}: not all could be measured of:** {failed}.\n", run.name, run.at);
        }
    }
    text
}

/// What one run found to one question.
fn section(run: &Run, answer: &Answer) -> String {
    let mut text = format!("{}, {}", run.name, answer.version);
    if let Some(before) = &answer.before {
        let _ = write!(text, " after {before}");
    }
    text.push_str(":\n\n");
    for (number, conditions) in answer.rounds.iter().enumerate() {
        let _ = writeln!(text, "- round {}: {}", number + 1, conditions.line());
    }
    for failure in &answer.failures {
        let _ = writeln!(text, "- **failed:** {}", failure.replace('\n', " "));
    }
    for note in &answer.notes {
        let _ = writeln!(text, "- {note}");
    }
    let before = answer.before.is_some();
    let (columns, rule) = if before { (" before | before ÷ ours |", "---|---|") } else { ("", "") };
    let _ = writeln!(text, "\n| ours | ranges |{columns} measured | peer | measured | ratio | goal | reached |");
    let _ = writeln!(text, "|---|--:|{rule}---|---|---|---|---|---|");
    for row in &answer.rows {
        let _ = writeln!(text, "{}", row.line(before));
    }
    text + "\n"
}

impl Row<Figure> {
    /// The row as a line of a Markdown table.
    #[must_use]
    pub fn line(&self, with_before: bool) -> String {
        let dash = || "–".to_owned();
        let (peer, theirs) =
            self.peer.as_ref().map_or_else(|| (dash(), dash()), |peer| (peer.name.clone(), peer.measured.to_string()));
        let ratio = self.ratios().and_then(|ratios| ratio(&ratios)).unwrap_or_else(dash);
        let goal = match self.goal {
            None => dash(),
            Some(Goal::TimesLess(times)) => format!("at least {times} times less"),
            Some(Goal::AtMostTimes(times)) => format!("at most {times} times the peer's"),
            Some(Goal::AtMost(value)) => format!("at most {}", self.now.written(value)),
        };
        let reached = match self.reached() {
            None => "–",
            Some(true) => "yes",
            Some(false) => "**no**",
        };
        let before = match (with_before, &self.before) {
            (false, _) => String::new(),
            (true, None) => "– | – | ".to_owned(),
            (true, Some(before)) => format!("{before} | {} | ", three_digits(before.median / self.now.median)),
        };
        let Self { ours, ranges, now, .. } = self;
        format!(
            "| {ours} | {} | {before}{now} | {peer} | {theirs} | {ratio} | {goal} | {reached} |",
            with_thousands(*ranges)
        )
    }
}

/// The least favourable of several ratios of a peer's figure to ours.
#[must_use]
pub fn ratio(ratios: &[f64]) -> Option<String> {
    let worst = ratios.iter().copied().reduce(f64::min)?;
    Some(if worst >= 1.0 {
        format!("{} times less", three_digits(worst))
    } else {
        format!("{} times more", three_digits(1.0 / worst))
    })
}

/// A number with its thousands parted.
#[must_use]
pub fn with_thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}
