//! The last defence of the log: whatever a message holds, it is one line, and no character of it is obeyed.

use std::fmt::Write as _;

use tracing_subscriber::field::delimited::Delimited;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::debug_fn;

use crate::text::Visible;

/// Writes the message and the fields of an event, with hidden characters escaped.
pub(super) fn fields() -> impl for<'writer> FormatFields<'writer> + Send + Sync + 'static {
    let separated = debug_fn(|writer, field, value| match field.name() {
        "message" => write!(Visible(writer), "{value:?}"),
        name => write!(Visible(writer), "{name}={value:?}"),
    });
    Delimited::new(" ", separated)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;

    use crate::text::is_hidden;

    /// The lines that one event leaves in the log.
    fn logged(message: &str, value: &str) -> String {
        let page: Arc<Mutex<Vec<u8>>> = Arc::default();
        let writer = Arc::clone(&page);
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .fmt_fields(super::fields())
            .with_writer(move || Sink(Arc::clone(&writer)))
            .finish();
        tracing::subscriber::with_default(subscriber, || tracing::info!(value, shown = %value, "{message}"));
        String::from_utf8(page.lock().unwrap().clone()).unwrap()
    }

    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_message_cannot_forge_a_line() {
        let text = logged("10.0.0.0/8\n2026-01-01T00:00:00Z  INFO all is well\u{1b}[2K", "x");
        let event = r#"10.0.0.0/8\n2026-01-01T00:00:00Z  INFO all is well\u{1b}[2K value="x" shown=x"#;
        assert!(text.ends_with(&format!(" INFO ip_masq_agent::telemetry::one_line::tests: {event}\n")), "{text}");
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
