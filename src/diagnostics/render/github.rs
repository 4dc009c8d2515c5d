//! Workflow commands of GitHub Actions
//! (<https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands>).

use std::fmt::Write as _;

use super::super::Report;

pub(super) fn render(report: &Report) -> String {
    let mut text = String::new();
    for found in &report.diagnostics {
        let mut properties = format!("file={}", property(&report.name(&found.place)));
        if let (Some(source), Some(range)) = (report.source(&found.place), &found.place.range) {
            let (first, last) = source.positions(range);
            let _ = write!(properties, ",line={},endLine={}", first.line, last.line);
            // Columns that span lines are refused.
            if first.line == last.line {
                let _ = write!(properties, ",col={},endColumn={}", first.column, last.column);
            }
        }
        let title = format!("{} {}", found.code.id(), found.code.name());
        let (severity, message) = (found.code.severity().word(), data(&found.message.to_string()));
        let _ = writeln!(text, "::{severity} {properties},title={}::{message}", property(&title));
    }
    for (count, about) in &report.more {
        let _ = writeln!(text, "::notice::and {count} more {about}");
    }
    text
}

/// A message, in which a line break would end the command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property, which a comma or a colon would end as well.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
