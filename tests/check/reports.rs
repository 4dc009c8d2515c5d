//! Wrong and odd files with the whole report of each: those of the reader's tests, and manifests in `testdata/diagnostics/`.

use std::fs;
use std::path::{Path, PathBuf};

use ip_masq_agent::config::Context;
use ip_masq_agent::diagnostics::{Code, Form, Input, Look, Report, examine, render};

/// The flags of a file: `.ipv6.` in its name stands for `--enable-ipv6`.
fn context(path: &Path) -> Context {
    Context { all_reserved_ranges: false, ipv6: path.to_string_lossy().contains(".ipv6.") }
}

pub(crate) fn examined(path: &Path) -> Report {
    let input = Input { name: path.display().to_string(), content: Ok(fs::read(path).unwrap()) };
    examine(vec![input], &context(path), None)
}

const REPORTS: &str = "testdata/diagnostics/reports";

pub(crate) const PLAIN: Look = Look { colour: false, width: 80 };

/// All files, wrong ones and odd ones.
pub(crate) fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in ["testdata/config/bad", "testdata/config/odd", "testdata/diagnostics"] {
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.extend(paths.filter(|path| path.is_file() && path.extension().is_some_and(|it| it != "expected")));
    }
    files.sort();
    files
}

#[test]
fn each_of_sixty_files_and_more_has_the_whole_report_that_is_kept_of_it() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    for path in files() {
        let report = render(&examined(&path), Form::Full, PLAIN);
        let golden = Path::new(REPORTS).join(format!("{}.report", path.file_name().unwrap().to_str().unwrap()));
        if bless {
            fs::write(&golden, &report).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != report {
            wrong.push(format!("{}:\n{report}", path.display()));
        }
    }
    assert!(files().len() > 60);
    assert!(wrong.is_empty(), "BLESS=1 writes these anew:\n{}", wrong.join("\n"));
}

#[test]
fn every_code_that_a_file_can_have_is_found_in_one_of_them() {
    let found: Vec<Code> =
        files().iter().flat_map(|path| examined(path).diagnostics.into_iter().map(|found| found.code)).collect();
    // These two are about files that are not there.
    let expected = Code::ALL.iter().filter(|code| code.example().is_some());
    let missing: Vec<_> = expected.filter(|code| !found.contains(code)).collect();
    assert!(missing.is_empty(), "no file in testdata/diagnostics has {missing:?}");
}

#[test]
fn no_line_of_a_report_is_longer_than_80_columns_but_one_that_shows_the_file() {
    for path in files() {
        let report = render(&examined(&path), Form::Full, PLAIN);
        for line in report.lines() {
            let is_of_the_file = line.trim_start().starts_with(|first: char| first.is_ascii_digit() || first == '|');
            let is_one_word = line.split_whitespace().any(|word| word.len() > 60);
            assert!(is_of_the_file || is_one_word || line.chars().count() <= 80, "{}: {line}", path.display());
        }
    }
}

#[test]
fn the_report_of_a_hostile_file_has_no_character_that_a_terminal_would_interpret() {
    let hostile =
        "nonMasqueradeCIDRs:\n- \"10.0.0.0/8\\e[2J\"\n- '\u{202e}evil'\n\u{200b}key: 1\n- \u{1b}[31m\n".as_bytes();
    let odd = b"nonMasqueradeCIDR\xe2\x80\xae: 1\nmasqLinkLocal: \"\\x1b]0;title\\x07\"\n";
    for content in [hostile, odd] {
        for name in ["/etc/\u{1b}[2Jx", "a\nb"] {
            let input = Input { name: name.to_owned(), content: Ok(content.to_vec()) };
            let report = examine(vec![input], &Context::default(), None);
            for form in [Form::Full, Form::Concise, Form::Github, Form::Json, Form::Sarif] {
                let text = render(&report, form, PLAIN);
                let bad: Vec<char> = text
                    .chars()
                    .filter(|character| *character != '\n' && ip_masq_agent::text::is_hidden(*character))
                    .collect();
                assert!(bad.is_empty(), "{form:?}: {bad:?} in {text:?}");
                assert!(!text.contains("\nb:") && !text.contains("\nb,"), "{form:?}: {text:?}");
            }
        }
    }
}

#[test]
fn the_table_of_codes_in_the_documents_is_that_of_the_program() {
    let page = fs::read_to_string("docs/diagnostics.md").unwrap();
    let is_row = |line: &&str| line.starts_with("| E0") || line.starts_with("| W0");
    let rows: Vec<&str> = page.lines().filter(is_row).collect();
    let expected: Vec<String> =
        Code::ALL.iter().map(|code| format!("| {} | `{}` | ", code.id(), code.name())).collect();
    assert_eq!(rows.len(), expected.len());
    for (row, expected) in rows.iter().zip(&expected) {
        assert!(row.starts_with(expected), "{row}: expected {expected}");
    }
}
