//! Each folder of `rules/` holds a configuration and the rules that follow from it; the renderers must print just these.
//!
//! `BLESS=1 cargo test --test golden` writes the rules anew: read the diff, then commit it.

#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

#[cfg(test)]
mod support;

use std::fs;

use support::cases::Case;
use support::netns::AGENT;
use support::ran::{Ran, command};

const FORMATS: [&str; 4] = ["iptables", "ip6tables", "json", "nft"];

#[test]
fn every_case_renders_as_its_golden_files_say() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    for case in Case::all() {
        for format in FORMATS {
            let mut agent = command(AGENT);
            agent.args(case.arguments(&["render", "--format", format]));
            let rendered = Ran::of(agent).stdout();
            if bless {
                fs::write(case.golden(format).0, &rendered).unwrap();
            }
            let (path, expected) = case.golden(format);
            if expected != rendered {
                wrong.push(format!("{}:\n--- expected\n{expected}+++ rendered\n{rendered}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\nIf the change is meant: BLESS=1 cargo test --test golden", wrong.join("\n"));
}
