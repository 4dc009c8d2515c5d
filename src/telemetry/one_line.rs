//! The last defence of the log: whatever a message holds, it is one line, and no control character of it reaches a
//! terminal.

use std::fmt::{self, Debug, Write as _};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

use crate::text::Visible;

/// The field that names an event. The sentence of such an event is made from its other fields, so that words show it alone.
const NAME: &str = "event";

/// Writes the message of an event, with hidden characters escaped; and its fields, unless it has a name.
pub(super) struct OneLine;

/// What an event holds, as far as it was visited.
#[derive(Default)]
struct Words {
    message: String,
    fields: String,
    is_named: bool,
}

impl<'writer> FormatFields<'writer> for OneLine {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut words = Words::default();
        fields.record(&mut words);
        writer.write_str(&words.message)?;
        if words.is_named {
            return Ok(());
        }
        let separator = if words.message.is_empty() { words.fields.strip_prefix(' ') } else { None };
        writer.write_str(separator.unwrap_or(&words.fields))
    }
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a text never fails.
        let _ = match field.name() {
            "message" => write!(Visible(&mut self.message), "{value:?}"),
            NAME => {
                self.is_named = true;
                Ok(())
            }
            name => write!(Visible(&mut self.fields), " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::telemetry::page::Page;
    use crate::text::is_hidden;

    /// The lines that one event leaves in the log.
    fn logged(message: &str, value: &str) -> String {
        lines_of(|| tracing::info!(value, shown = %value, "{message}"))
    }

    /// The lines that these events leave in the log.
    fn lines_of(events: impl FnOnce()) -> String {
        let page = Page::default();
        let writer = page.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .fmt_fields(super::OneLine)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, events);
        page.text()
    }

    #[test]
    fn a_message_cannot_forge_a_line() {
        let text = logged("10.0.0.0/8\n2026-01-01T00:00:00Z  INFO all is well\u{1b}[2K", "x");
        let event = r#"10.0.0.0/8\n2026-01-01T00:00:00Z  INFO all is well\u{1b}[2K value="x" shown=x"#;
        assert!(text.ends_with(&format!(" INFO ip_masq_agent::telemetry::one_line::tests: {event}\n")), "{text}");
    }

    #[test]
    fn an_event_with_a_name_shows_its_sentence_alone_as_that_is_made_from_its_fields() {
        let text = lines_of(|| {
            tracing::info!(event = "rules_changed", changes = 3, "3 changes were made");
            tracing::info!(changes = 3, "3 changes were made");
            tracing::info!(changes = 3, more = 4);
        });
        let lines: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once("tests: ")?.1)).collect();
        assert_eq!(lines, ["3 changes were made", "3 changes were made changes=3", "changes=3 more=4"]);
    }

    proptest! {
        #[test]
        fn whatever_an_event_holds_is_one_line_without_hidden_characters(message: String, value: String) {
            let text = logged(&message, &value);
            let line = text.strip_suffix('\n').unwrap();
            prop_assert!(!line.contains(is_hidden), "{line:?}");
        }
    }
}
