//! The examples that need no privilege.

use std::env;
use std::ffi::OsString;
use std::path::Path;

use crate::markdown::{Document, root};
use crate::support::netns::AGENT;
use crate::support::ran::{Ran, command};

/// What those examples begin with.
const PURE: [&str; 2] = ["$ ip-masq-agent render ", "$ ip-masq-agent explain "];
/// Where a line of an example leaves out its end.
const ELLIPSIS: &str = "…";

#[test]
fn every_example_of_render_and_explain_prints_what_its_document_says() {
    let mut wrong = Vec::new();
    let mut with_jq = 0;
    for document in Document::all() {
        for block in document.blocks().iter().filter(|block| block.language == "console") {
            for example in examples(&block.lines) {
                with_jq += usize::from(example.command.contains("| jq "));
                let printed = printed(example.command);
                if !is_as_told(&example.output, &printed) {
                    let place = format!("{}, block of line {}", document.path.display(), block.line);
                    wrong.push(format!("{place}: {}\n--- printed\n{printed}", example.command));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(with_jq >= 4, "the examples of docs/json.md are gone: {with_jq}");
}

struct Example<'a> {
    command: &'a str,
    output: Vec<&'a str>,
}

fn examples<'a>(lines: &[&'a str]) -> Vec<Example<'a>> {
    let mut examples: Vec<Example<'_>> = Vec::new();
    let mut is_checked = false;
    for &line in lines {
        if let Some(command) = line.strip_prefix("$ ") {
            is_checked = PURE.iter().any(|prefix| line.starts_with(prefix));
            if is_checked {
                examples.push(Example { command, output: Vec::new() });
            }
        } else if is_checked {
            examples.last_mut().unwrap().output.push(line);
        }
    }
    examples
}

fn printed(line: &str) -> String {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = Path::new(AGENT).parent().into_iter().map(Path::to_owned).chain(env::split_paths(&path));
    let path: OsString = env::join_paths(directories).unwrap();
    let mut shell = command("bash");
    shell.args(["-o", "pipefail", "-c", line]).current_dir(root()).env("PATH", path);
    Ran::of(shell).stdout()
}

fn is_as_told(told: &[&str], printed: &str) -> bool {
    let printed: Vec<&str> = printed.lines().collect();
    told.len() == printed.len()
        && told.iter().zip(printed).all(|(told, printed)| match told.strip_suffix(ELLIPSIS) {
            Some(beginning) => printed.starts_with(beginning),
            None => *told == printed,
        })
}
