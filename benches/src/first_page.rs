//! The first page: the figures that an operator asks for, and the pictures.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::figures::Figure;
use crate::pages::{NO_RUN, charts, ratio, warnings, with_thousands};
use crate::runs::Run;
use crate::section::Row;

/// What the first page has a line for: in words, the question, the number of ranges, and for each layout the row of ours and
/// of its peer.
struct Line {
    what: &'static str,
    question: &'static str,
    ranges: usize,
    nft: Cell,
    compat: Cell,
}

/// What a row says of ours, and of the peer; no peer has no name.
struct Cell {
    ours: &'static str,
    peer: &'static str,
}

/// The name of no row: such a cell is empty.
const NONE: Cell = cell("", "");

const fn cell(ours: &'static str, peer: &'static str) -> Cell {
    Cell { ours, peer }
}

const APPLY: &str = "apply";
const APPLY_NFT: Cell = cell("apply, nft", "nft -f");
const APPLY_COMPAT: Cell = cell("apply, nft-compat", "upstream's programs, iptables-nft");
const CHANGE: &str = "change";
const CHANGE_NFT: Cell = cell("one added as the running agent, nft", "nft add element, same sets");
const READ_BACK: &str = "read-back";
const RESYNC: &str = "resync";
const RESYNC_NFT: Cell = cell("resync, nft", "upstream's programs, iptables-nft");
const RESYNC_COMPAT: Cell = cell("resync, nft-compat", "upstream's programs, iptables-nft");
const FLOWS: &str = "flows";
const FLOWS_NFT: Cell = cell("ip-masq-agent, nft, two lengths (/16, /28)", "nft interval set");
const FLOWS_COMPAT: Cell = cell("ip-masq-agent, nft-compat, two lengths (/16, /24)", "upstream's chain, iptables-nft");
const MEMORY: &str = "memory";
const REPAIR: &str = "repair";

/// At most fifteen lines.
const LINES: [Line; 15] = [
    Line {
        what: "start of a process that finds its rules in force",
        question: READ_BACK,
        ranges: 1_000,
        nft: cell("as a process, nft", ""),
        compat: cell("as a process, nft-compat", ""),
    },
    Line { what: "apply to an empty kernel", question: APPLY, ranges: 4, nft: APPLY_NFT, compat: APPLY_COMPAT },
    Line { what: "apply to an empty kernel", question: APPLY, ranges: 1_000, nft: APPLY_NFT, compat: APPLY_COMPAT },
    Line { what: "apply to an empty kernel", question: APPLY, ranges: 10_000, nft: APPLY_NFT, compat: APPLY_COMPAT },
    Line { what: "apply to an empty kernel", question: APPLY, ranges: 100_000, nft: APPLY_NFT, compat: NONE },
    Line { what: "resync, processor time", question: RESYNC, ranges: 3, nft: RESYNC_NFT, compat: RESYNC_COMPAT },
    Line { what: "resync, processor time", question: RESYNC, ranges: 10_000, nft: RESYNC_NFT, compat: RESYNC_COMPAT },
    Line {
        what: "one range added, running agent",
        question: CHANGE,
        ranges: 1_000,
        nft: CHANGE_NFT,
        compat: cell("one added as the running agent, nft-compat", "iptables-nft -I"),
    },
    Line { what: "one range added, running agent", question: CHANGE, ranges: 100_000, nft: CHANGE_NFT, compat: NONE },
    Line { what: "added to a new flow", question: FLOWS, ranges: 64, nft: FLOWS_NFT, compat: FLOWS_COMPAT },
    Line { what: "added to a new flow", question: FLOWS, ranges: 1_000, nft: FLOWS_NFT, compat: FLOWS_COMPAT },
    Line {
        what: "memory of the idle agent",
        question: MEMORY,
        ranges: 4,
        nft: cell("Rss, nft", ""),
        compat: cell("Rss, nft-compat", ""),
    },
    Line {
        what: "memory of the idle agent",
        question: MEMORY,
        ranges: 100_000,
        nft: cell("Rss, nft", ""),
        compat: NONE,
    },
    Line {
        what: "repair of deleted rules, half of the cases",
        question: REPAIR,
        ranges: 1_000,
        nft: cell("p50, nft, by a process that stays", "upstream's resync"),
        compat: cell("p50, nft-compat, by a process that stays", "upstream's resync"),
    },
    Line {
        what: "repair of deleted rules, 99 of 100",
        question: REPAIR,
        ranges: 1_000,
        nft: cell("p99, nft, by a process that stays", "upstream's resync"),
        compat: cell("p99, nft-compat, by a process that stays", "upstream's resync"),
    },
];

/// The first page to these runs.
#[must_use]
pub fn first_page(runs: &[Run]) -> String {
    let mut text =
        "# Benchmarks\n\nWritten by `make bench`, like [all rows](benchmarks/rows.md) behind it, which say how each \
                    figure was measured, on which machine, under which conditions, and how far it spreads. *nft* is \
                    `--backend nft`, *nft-compat* is `--backend nft-compat`.\n\n"
            .to_owned();
    let Some(newest) = runs.last() else { return text + NO_RUN };
    let machines: BTreeSet<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    let _ = writeln!(
        text,
        "Runs: {}, each with two rounds at different times; machines: {}. The figures are medians of the newest run that has \
         them (the last: {}, {}), in parentheses the peer that does the same. A ratio is the least favourable of all rounds of \
         all runs, and is given only if all of them agree within a quarter with the other round of their run.\n",
        runs.len(),
        machines.len(),
        newest.name,
        newest.at
    );
    text.push_str(&warnings(runs));
    text.push_str("| what | ranges | nft | nft-compat |\n|---|--:|---|---|\n");
    for Line { what, question, ranges, nft, compat } in &LINES {
        let [nft, compat] = [nft, compat].map(|cell| cell.of(runs, question, *ranges));
        let _ = writeln!(text, "| {what} | {} | {nft} | {compat} |", with_thousands(*ranges));
    }
    text.push('\n');
    for (file, chart) in charts(runs) {
        let _ = writeln!(text, "![{}](benchmarks/{file})\n", chart.title);
    }
    text.trim_end().to_owned() + "\n"
}

impl Cell {
    /// The row of each run that has it, the oldest first.
    fn rows<'a>(&self, runs: &'a [Run], question: &str, ranges: usize) -> Vec<&'a Row<Figure>> {
        let is_it = |row: &&Row<Figure>| {
            let is_peer = self.peer.is_empty() || row.peer.as_ref().is_some_and(|peer| peer.name == self.peer);
            row.ours == self.ours && row.ranges == ranges && is_peer
        };
        runs.iter().filter_map(|run| run.sections.get(question)?.rows.iter().find(is_it)).collect()
    }

    /// The medians of ours and of the peer's; a dash where no run has them.
    fn of(&self, runs: &[Run], question: &str, ranges: usize) -> String {
        let rows = self.rows(runs, question, ranges);
        let Some(row) = rows.last() else { return "–".to_owned() };
        let ours = row.now.short();
        if self.peer.is_empty() {
            return ours;
        }
        let Some(peer) = &row.peer else { return ours };
        let ratios: Option<Vec<Vec<f64>>> = rows.iter().map(|row| row.ratios()).collect();
        let ratio = ratios.and_then(|ratios| ratio(&ratios.concat())).unwrap_or_else(|| "not repeatable".to_owned());
        format!("{ours} ({}: {}; {ratio})", peer.name, peer.measured.short())
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Result;

    use super::*;
    use crate::effort::Effort;
    use crate::figures::{Samples, Unit};
    use crate::pages;
    use crate::runs::Answer;
    use crate::section::Section;

    /// A run that has a row of this question, with medians of ours and of the peer in each round.
    fn run(at: &str, ours: [f64; 2], theirs: [f64; 2]) -> Run {
        let mut found = Section::default();
        for (ours, theirs) in ours.into_iter().zip(theirs) {
            let samples = |value| Samples::new(Unit::Time, vec![value]);
            let mut round = Section::default();
            round.group("apply", || {
                Ok(vec![Row::new("apply, nft", 4, samples(ours)).against("nft -f", &samples(theirs))])
            });
            found.again(round);
        }
        let mut run = Run::new("a".to_owned(), at.to_owned(), Effort::Full, Vec::new());
        run.sections.insert("apply".to_owned(), Answer::new("v1", Some("v0"), Vec::new(), &found));
        run
    }

    #[test]
    fn a_ratio_on_the_first_page_is_the_worst_of_all_rounds_of_all_runs() {
        let good = || run("1", [1.0, 1.0], [2.0, 2.2]);
        for (runs, cell) in [
            (vec![good()], "1.00 s (nft -f: 2.20 s; 2.00 times less)"),
            (vec![run("0", [1.0, 1.1], [1.5, 1.54]), good()], "1.00 s (nft -f: 2.20 s; 1.40 times less)"),
            (vec![run("0", [1.0, 1.0], [0.5, 0.6]), good()], "1.00 s (nft -f: 2.20 s; 2.00 times more)"),
            (vec![run("0", [1.0, 1.0], [1.5, 2.5]), good()], "1.00 s (nft -f: 2.20 s; not repeatable)"),
        ] {
            let page = first_page(&runs);
            assert!(page.contains(&format!("| apply to an empty kernel | 4 | {cell} | – |")), "{page}");
        }
    }

    #[test]
    fn the_pages_are_those_of_the_runs_that_are_kept_and_have_a_figure_for_every_line() -> Result<()> {
        let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let runs = Run::all(&docs)?;
        assert_eq!(first_page(&runs), std::fs::read_to_string(docs.join("benchmarks.md"))?);
        assert_eq!(pages::rows(&runs), std::fs::read_to_string(docs.join("benchmarks/rows.md"))?);
        assert!(runs.iter().all(|run| run.effort == Effort::Full), "a quick run is none to be kept");
        for line in LINES.iter().filter(|_| !runs.is_empty()) {
            for cell in [&line.nft, &line.compat].into_iter().filter(|cell| !cell.ours.is_empty()) {
                let rows = cell.rows(&runs, line.question, line.ranges);
                assert!(!rows.is_empty(), "{}: {} and {} are in no run", line.what, cell.ours, cell.peer);
            }
        }
        Ok(())
    }

    #[test]
    fn the_first_page_has_no_more_lines_than_are_taken_in_at_a_glance() {
        assert!(LINES.len() <= 15);
    }
}
