//! What the documents name is there: the targets of links, files and directories, tests, and names of the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::markdown::{Document, files, root};

/// Where a path that a document names may begin, beside the document's own directory.
const ROOTS: [&str; 2] = ["", "tests"];
/// A name of so many words is that of a test.
const WORDS_OF_A_TEST: usize = 6;
/// How a name of a test is cut short.
const CUT: &str = "…";

/// What `fault` finds in what stands in code spans of the documents, but for those that describe data.
fn faults(fault: impl Fn(&Document, &str) -> Option<String>) -> Vec<String> {
    let documents: Vec<Document> =
        Document::all().into_iter().filter(|document| !document.path.starts_with("testdata")).collect();
    let of_one = |document: &Document| {
        let spans = document.code_spans();
        let found = spans.iter().filter_map(|span| fault(document, span));
        found.map(|fault| format!("{}: {fault}", document.path.display())).collect::<Vec<_>>()
    };
    documents.iter().flat_map(of_one).collect()
}

#[test]
fn every_relative_link_leads_to_a_file_and_to_a_heading_in_it() {
    let mut wrong = Vec::new();
    let mut number = 0;
    for document in Document::all() {
        let directory = document.path.parent().unwrap();
        for target in document.links().iter().filter(|target| !target.contains("://")) {
            number += 1;
            let (file, anchor) = target.split_once('#').map_or((target.as_str(), None), |(file, at)| (file, Some(at)));
            let path = if file.is_empty() { document.path.clone() } else { directory.join(file) };
            if !root().join(&path).exists() {
                wrong.push(format!("{}: {target}: there is no {}", document.path.display(), path.display()));
            } else if let Some(anchor) = anchor
                && !Document::read(&path).anchors().contains(anchor)
            {
                wrong.push(format!("{}: {target}: there is no such heading", document.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(number > 30, "links are not found any more: {number}");
}

#[test]
fn every_path_that_a_document_names_exists() {
    let top: BTreeSet<String> =
        fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let wrong = faults(|document, span| {
        let is_plain = span.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
        let first = span.split('/').next().unwrap_or_default();
        let is_source = Path::new(span).extension().is_some_and(|extension| extension == "rs");
        let is_of_ours = is_source || span.ends_with('/') || span.contains('/') && top.contains(first);
        if !is_plain || !is_of_ours || span.starts_with('/') || span.starts_with('.') && !top.contains(first) {
            return None;
        }
        let beside = document.path.parent().unwrap();
        let exists = |directory: &Path| root().join(directory).join(span).exists();
        (!exists(beside) && !ROOTS.iter().any(|directory| exists(Path::new(directory))))
            .then(|| format!("there is no {span}"))
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_test_that_a_document_names_exists() {
    let sources = sources();
    let wrong = faults(|_, span| {
        let name = span.strip_suffix(CUT).unwrap_or(span);
        let is_name = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        let is_test = name.ends_with('_') || name.split('_').count() >= WORDS_OF_A_TEST;
        let end = if name == span { "(" } else { "" };
        (is_name && is_test && !sources.contains(&format!("fn {name}{end}")))
            .then(|| format!("there is no test {span}"))
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_name_of_the_code_that_a_document_names_exists() {
    let sources = sources();
    let words: BTreeSet<&str> = sources.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let wrong = faults(|_, span| {
        let is_path = span.contains("::") && span.chars().all(|c| c.is_alphanumeric() || "_:".contains(c));
        let missing = span.split("::").find(|word| !words.contains(word))?;
        (is_path && !missing.is_empty()).then(|| format!("there is no {missing} for {span}"))
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// All Rust sources, but for these tests.
fn sources() -> String {
    let own = root().join("tests/documents");
    let paths = files("rs").into_iter().filter(|path| !path.starts_with(&own));
    paths.map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// Words that the project once had for what the field has a name for.
const FORMER_WORDS: [(&str, &str); 12] = [
    ("shape", "layout"),
    ("shapes", "layouts"),
    ("dialect", "encoding"),
    ("chance", "probability"),
    ("dice", "random"),
    ("opaque", "unrecognised"),
    ("rival", "overlapping NAT chain"),
    ("rivals", "overlapping NAT chains"),
    ("quarrel", "conflict"),
    ("patience", "back-off"),
    ("narrator", "reporter"),
    ("keeper", "last-known-good store"),
];

#[test]
fn the_documents_use_the_words_of_the_field() {
    let mut wrong = Vec::new();
    for document in Document::all() {
        for (number, line) in document.text.lines().enumerate() {
            for word in line.split(|c: char| !c.is_alphanumeric()) {
                if let Some((_, now)) = FORMER_WORDS.iter().find(|(former, _)| word.eq_ignore_ascii_case(former)) {
                    wrong.push(format!("{}:{}: {word}; say {now}", document.path.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
