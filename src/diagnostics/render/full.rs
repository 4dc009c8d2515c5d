//! For people: what is wrong, the line with the part underlined, and how to mend it.

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::super::{Diagnostic, Fix, Place, Report, Severity};
use super::Look;

/// In a narrower terminal lines are longer than it.
const LEAST_WIDTH: usize = 40;

pub(super) fn render(report: &Report, look: Look) -> String {
    let renderer = if look.colour { Renderer::styled() } else { Renderer::plain() }.term_width(look.width);
    let mut text = String::new();
    for found in &report.diagnostics {
        text.push_str(&renderer.render(&[group(report, found, look.width.max(LEAST_WIDTH))]));
        text.push_str("\n\n");
    }
    for (count, about) in &report.more {
        let _ = writeln!(text, "and {count} more {about}\n");
    }
    text.push_str(&report.summary());
    if let Some((code, fixes)) = hints(report) {
        let _ = write!(text, "\n`explain {code}` says more{fixes}");
    }
    text.push('\n');
    text
}

/// What may be done next: a code to be explained, and whether fixes can be applied.
fn hints(report: &Report) -> Option<(&'static str, &'static str)> {
    let code = report.diagnostics.first()?.code.id();
    let fixes: Vec<&Fix> = report.diagnostics.iter().filter_map(|found| found.fix.as_ref()).collect();
    Some((
        code,
        match (fixes.iter().any(|fix| fix.is_safe), fixes.iter().any(|fix| !fix.is_safe)) {
            (true, true) => "; `--fix` mends some, `--fix --unsafe-fixes` more",
            (true, false) => "; `--fix` mends some",
            (false, true) => "; `--fix --unsafe-fixes` mends some",
            (false, false) => "",
        },
    ))
}

fn group<'r>(report: &'r Report, found: &'r Diagnostic, width: usize) -> Group<'r> {
    let level = match found.code.severity() {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let before_title = found.code.severity().word().len() + "[E000]: ".len();
    let title = level.primary_title(wrapped(&found.message.what, width - before_title)).id(found.code.id());
    let source = report.source(&found.place).map_or("", |source| &source.text);
    let name = report.name(&found.place);
    let mut group = Group::with_title(title);
    group = match &found.place.range {
        Some(range) => {
            let end = range.start + source.get(range.clone()).unwrap_or_default().trim_end().len();
            let primary = AnnotationKind::Primary.span(range.start..end).label(found.code.name());
            let other = found.other.as_ref().and_then(|(place, what)| context(place, &found.place, what));
            group.element(Snippet::source(source).path(name).annotation(primary).annotations(other))
        }
        None => group.element(Origin::path(name)),
    };
    // Behind the number of a line, and `= help: `.
    let wrapped = |text: &String| wrapped(text, width - "99999 = help: ".len());
    group = group.elements(found.message.note.iter().map(|note| Level::NOTE.message(wrapped(note))));
    group.elements(found.message.help.iter().map(|help| Level::HELP.message(wrapped(help))))
}

/// The text with line breaks in place of spaces, so that no line is longer than `width` characters unless a word is.
#[must_use]
pub fn wrapped(text: &str, width: usize) -> String {
    let (mut wrapped, mut length) = (String::with_capacity(text.len()), 0);
    for word in text.split(' ') {
        let more = word.chars().count();
        if length > 0 {
            let is_too_long = length + 1 + more > width;
            wrapped.push(if is_too_long { '\n' } else { ' ' });
            length = if is_too_long { 0 } else { length + 1 };
        }
        wrapped.push_str(word);
        length += more;
    }
    wrapped
}

/// The second place, if it is in the same text.
fn context<'r>(other: &Place, first: &Place, what: &'static str) -> Option<annotate_snippets::Annotation<'r>> {
    let range = other.range.clone().filter(|_| other.source == first.source)?;
    Some(AnnotationKind::Context.span(range).label(what))
}
