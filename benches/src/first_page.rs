//! The first page of the document: the figures that an operator asks for, taken from the rows, and the pictures.

use std::fmt::Write as _;

/// What the first page has a line for: in words, the section of the rows, the number of ranges, and for each layout the row
/// of ours and of its peer.
struct Line {
    what: &'static str,
    section: &'static str,
    ranges: &'static str,
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

const APPLY: &str = "Full apply into an empty namespace";
const APPLY_NFT: Cell = cell("apply, nft", "nft -f");
const APPLY_COMPAT: Cell = cell("apply, nft-compat", "upstream's programs, iptables-nft");
const CHANGE: &str = "One range added, one range removed";
const CHANGE_NFT: Cell = cell("one added as the running agent, nft", "nft add element");
const READ_BACK: &str = "Read back and compare";
const RESYNC: &str = "A resync that finds nothing to do";
const RESYNC_NFT: Cell = cell("resync, nft", "upstream's programs, iptables-nft");
const RESYNC_COMPAT: Cell = cell("resync, nft-compat", "upstream's programs, iptables-nft");
const FLOWS: &str = "New flows through the rules";
const FLOWS_NFT: Cell = cell("ip-masq-agent, nft, two lengths (/16, /28)", "nft interval set");
const FLOWS_COMPAT: Cell = cell("ip-masq-agent, nft-compat, two lengths (/16, /24)", "upstream's chain, iptables-nft");
const MEMORY: &str = "Resident memory of the idle agent";
const REPAIR: &str = "Repair of what somebody else took out";

/// At most fifteen lines.
const LINES: [Line; 15] = [
    Line {
        what: "start of a process that finds its rules in force",
        section: READ_BACK,
        ranges: "1,000",
        nft: cell("as a process, nft", ""),
        compat: cell("as a process, nft-compat", ""),
    },
    Line { what: "apply to an empty kernel", section: APPLY, ranges: "4", nft: APPLY_NFT, compat: APPLY_COMPAT },
    Line { what: "apply to an empty kernel", section: APPLY, ranges: "1,000", nft: APPLY_NFT, compat: APPLY_COMPAT },
    Line { what: "apply to an empty kernel", section: APPLY, ranges: "10,000", nft: APPLY_NFT, compat: APPLY_COMPAT },
    Line { what: "apply to an empty kernel", section: APPLY, ranges: "100,000", nft: APPLY_NFT, compat: NONE },
    Line { what: "resync, processor time", section: RESYNC, ranges: "3", nft: RESYNC_NFT, compat: RESYNC_COMPAT },
    Line { what: "resync, processor time", section: RESYNC, ranges: "10,000", nft: RESYNC_NFT, compat: RESYNC_COMPAT },
    Line {
        what: "one range added, running agent",
        section: CHANGE,
        ranges: "1,000",
        nft: CHANGE_NFT,
        compat: cell("one added as the running agent, nft-compat", "nft add element"),
    },
    Line { what: "one range added, running agent", section: CHANGE, ranges: "100,000", nft: CHANGE_NFT, compat: NONE },
    Line { what: "added to a new flow", section: FLOWS, ranges: "64", nft: FLOWS_NFT, compat: FLOWS_COMPAT },
    Line { what: "added to a new flow", section: FLOWS, ranges: "1,000", nft: FLOWS_NFT, compat: FLOWS_COMPAT },
    Line {
        what: "memory of the idle agent",
        section: MEMORY,
        ranges: "4",
        nft: cell("Rss, nft", ""),
        compat: cell("Rss, nft-compat", ""),
    },
    Line {
        what: "memory of the idle agent",
        section: MEMORY,
        ranges: "100,000",
        nft: cell("Rss, nft", ""),
        compat: NONE,
    },
    Line {
        what: "repair of deleted rules, half of the cases",
        section: REPAIR,
        ranges: "1,000",
        nft: cell("p50, nft, by a process that stays", "upstream's resync"),
        compat: cell("p50, nft-compat, by a process that stays", "upstream's resync"),
    },
    Line {
        what: "repair of deleted rules, 99 of 100",
        section: REPAIR,
        ranges: "1,000",
        nft: cell("p99, nft, by a process that stays", "upstream's resync"),
        compat: cell("p99, nft-compat, by a process that stays", "upstream's resync"),
    },
];

/// The first page to these rows, a document of which the sections are at the second level.
#[must_use]
pub fn first_page(rows: &str) -> String {
    let mut sections = rows.split("\n## ");
    let preface = sections.next().unwrap_or_default();
    let sections: Vec<&str> = sections.collect();
    let mut text = "# Benchmarks\n\nWritten by `make bench`, like [all rows](benchmarks/rows.md) behind it, which say how each \
                    figure was measured, on which machine, and how far it spreads. Given are medians; in parentheses is \
                    the peer that does the same. *nft* is `--backend nft`, *nft-compat* is `--backend nft-compat`.\n\n"
        .to_owned();
    // Such as that it was a quick run.
    for note in preface.split("\n\n").filter(|paragraph| paragraph.starts_with("**")) {
        let _ = writeln!(text, "{}\n", note.trim_end());
    }
    text.push_str("| what | ranges | nft | nft-compat |\n|---|--:|---|---|\n");
    for Line { what, section, ranges, nft, compat } in &LINES {
        let section = sections.iter().find(|text| text.lines().next() == Some(section)).copied().unwrap_or_default();
        let _ = writeln!(text, "| {what} | {ranges} | {} | {} |", nft.of(section, ranges), compat.of(section, ranges));
    }
    text.push('\n');
    for picture in rows.lines().filter(|line| line.starts_with("![")) {
        let _ = writeln!(text, "{}\n", picture.replace("](", "](benchmarks/"));
    }
    text.trim_end().to_owned() + "\n"
}

impl Cell {
    /// The medians of ours and of the peer's; a dash where the section does not have them.
    fn of(&self, section: &str, ranges: &str) -> String {
        let rows = section.lines().filter_map(|line| line.strip_prefix("| ")).map(|line| line.split(" | ").collect());
        for row in rows.collect::<Vec<Vec<&str>>>() {
            let [ours, of_ranges, measured, peer, of_peer, ..] = row.as_slice() else { continue };
            if *ours != self.ours || *of_ranges != ranges {
                continue;
            }
            if self.peer.is_empty() {
                return median(measured).to_owned();
            }
            if *peer == self.peer {
                return format!("{} ({peer}: {})", median(measured), median(of_peer));
            }
        }
        "–".to_owned()
    }
}

/// What stands before the spread.
fn median(measured: &str) -> &str {
    measured.split_once(" (").map_or(measured, |(median, _)| median)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_page_is_the_one_to_the_rows_and_has_a_figure_for_every_line() -> std::io::Result<()> {
        let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let rows = std::fs::read_to_string(docs.join("benchmarks/rows.md"))?;
        let page = first_page(&rows);
        assert_eq!(page, std::fs::read_to_string(docs.join("benchmarks.md"))?);
        let lines: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
        assert_eq!(lines.len(), LINES.len());
        assert!(
            lines.len() <= 15 && lines.iter().all(|line| !line.contains("| – |") || line.ends_with("| – |")),
            "{page}"
        );
        Ok(())
    }
}
