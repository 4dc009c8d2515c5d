//! Each folder of `rules/` holds a configuration and the rules that follow from it; the renderers must print just these.
//!
//! `BLESS=1 cargo test --test golden` writes the rules anew: read the diff, then commit it.

#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

#[cfg(test)]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::netns::AGENT;
use support::ran::{Ran, command};

const FORMATS: [&str; 3] = ["iptables", "ip6tables", "json"];

#[test]
fn every_case_renders_as_its_golden_files_say() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    for case in cases() {
        for format in FORMATS {
            let rendered = render(&case, format);
            let golden = case.join(format);
            if bless {
                fs::write(&golden, &rendered).unwrap();
            }
            let expected = fs::read_to_string(&golden).unwrap_or_else(|error| format!("({error})"));
            if expected != rendered {
                wrong.push(format!("{}:\n--- expected\n{expected}+++ rendered\n{rendered}", golden.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\nIf the change is meant: BLESS=1 cargo test --test golden", wrong.join("\n"));
}

/// The folders of `rules/`, sorted. None is a mistake, not a success.
fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let mut cases: Vec<PathBuf> =
        fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    cases.sort();
    assert!(cases.len() >= 8, "only {} cases in {}", cases.len(), root.display());
    cases
}

fn render(case: &Path, format: &str) -> String {
    let flags = fs::read_to_string(case.join("flags")).unwrap_or_default();
    let mut agent = command(AGENT);
    agent.args(["render", "--format", format, "--config"]).arg(case.join("config.yaml")).args(flags.lines());
    Ran::of(agent).stdout()
}
