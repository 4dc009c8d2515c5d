//! One object; docs/diagnostics.md describes it.

use serde::Serialize;

use super::super::{Diagnostic, Place, Report};

/// The form's version. It changes when something goes or changes its meaning.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'r> {
    version: u32,
    errors: usize,
    warnings: usize,
    /// Those that are only counted.
    more: usize,
    diagnostics: Vec<Found<'r>>,
}

#[derive(Serialize)]
struct Found<'r> {
    severity: &'static str,
    code: &'static str,
    name: &'static str,
    message: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'r str>,
    #[serde(flatten)]
    place: Where,
    #[serde(skip_serializing_if = "Option::is_none")]
    other: Option<Other>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<FixOf<'r>>,
}

#[derive(Serialize)]
struct Where {
    file: String,
    #[serde(flatten)]
    range: Option<Lines>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Lines {
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    start: usize,
    end: usize,
}

#[derive(Serialize)]
struct Other {
    #[serde(flatten)]
    place: Where,
    what: &'static str,
}

#[derive(Serialize)]
struct FixOf<'r> {
    title: &'r str,
    safe: bool,
    start: usize,
    end: usize,
    replacement: &'r str,
}

pub(super) fn render(report: &Report) -> String {
    let (errors, warnings) = report.counts();
    let document = Document {
        version: VERSION,
        errors,
        warnings,
        more: report.more.iter().map(|(count, _)| count).sum(),
        diagnostics: report.diagnostics.iter().map(|found| found_of(report, found)).collect(),
    };
    // Texts and numbers can always be written.
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

fn found_of<'r>(report: &'r Report, found: &'r Diagnostic) -> Found<'r> {
    Found {
        severity: found.code.severity().word(),
        code: found.code.id(),
        name: found.code.name(),
        message: &found.message.what,
        note: found.message.note.as_deref(),
        help: found.message.help.as_deref(),
        place: place(report, &found.place),
        other: found.other.as_ref().map(|(other, what)| Other { place: place(report, other), what }),
        fix: found.fix.as_ref().map(|fix| FixOf {
            title: &fix.title,
            safe: fix.is_safe,
            start: fix.range.start,
            end: fix.range.end,
            replacement: &fix.replacement,
        }),
    }
}

fn place(report: &Report, place: &Place) -> Where {
    let lines = report.source(place).zip(place.range.as_ref()).map(|(source, range)| {
        let (first, last) = source.positions(range);
        Lines {
            line: first.line,
            column: first.column,
            end_line: last.line,
            end_column: last.column,
            start: range.start,
            end: range.end,
        }
    });
    Where { file: report.name(place), range: lines }
}
