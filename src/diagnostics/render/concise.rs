//! `FILE:LINE:COLUMN: error[E003] cidr-host-bits: …`, a line for each diagnostic.

use std::fmt::Write as _;

use super::super::Report;
use super::label;

pub(super) fn render(report: &Report) -> String {
    let mut text = String::new();
    for found in &report.diagnostics {
        let source = report.source(&found.place);
        let position = source.zip(found.place.range.as_ref()).map(|(source, range)| source.position(range.start));
        let place = position.map_or_else(String::new, |position| format!(":{}:{}", position.line, position.column));
        // Writing to a string never fails, here and in the other forms.
        let _ = writeln!(text, "{}{place}: {}: {}", report.name(&found.place), label(found), found.message);
    }
    for (count, about) in &report.more {
        let _ = writeln!(text, "and {count} more {about}");
    }
    text
}
