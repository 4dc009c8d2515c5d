//! Logs: words for people, on stderr, so that stdout carries data alone.

use std::io::{self, IsTerminal};
use std::num::ParseIntError;
use std::str::FromStr;
use std::sync::OnceLock;

use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record as SpanRecord};
use tracing::{Event, Metadata, Subscriber};

use super::colour::Colour;
use super::formatter::{Formatter, Stderr};
use super::journal;
use super::log::Log;
use super::log_output::{Output, Sink};
use super::log_queue::Entry;
use super::record::Record;
use super::style::{LogFormat, Style};

/// The process's log.
static LOG: OnceLock<Log> = OnceLock::new();

/// How much is logged: the number behind `-v`, as Kubernetes' logging convention counts it.
///
/// Every number is valid, because klog takes every 32-bit number: below 0 is as quiet as 0, above 6 as loud as 6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verbosity(i32);

/// The process already has a logger.
#[derive(Debug, Error)]
#[error("logging is already set up in this process")]
pub struct LoggingError(#[from] tracing::subscriber::SetGlobalDefaultError);

/// Sends the process's log to the journal or to stderr. Logging never fails, and never waits for ever: lines that cannot be
/// written are counted and reported later.
///
/// # Errors
///
/// If the process has a logger already.
pub fn init(verbosity: Verbosity, style: Style, format: LogFormat, colour: Colour) -> Result<(), LoggingError> {
    let stderr = Stderr { is_journal: journal::is_stderr(), has_colour: colour.is_on(io::stderr().is_terminal()) };
    let level = verbosity.level();
    let formatter = Formatter::new(format, style, stderr, level > LevelFilter::INFO);
    let log = LOG.get_or_init(|| Log::new(Output::new(Sink::stderr(), formatter)));
    Ok(tracing::subscriber::set_global_default(Logger { level, formatter, put: |entry| log.put(entry) })?)
}

/// From now on a thread writes the log, and logging never waits.
///
/// # Errors
///
/// If the thread cannot be started. Logging does not wait then either, but more lines may be lost.
pub fn write_in_background() -> io::Result<()> {
    LOG.get().map_or(Ok(()), Log::write_in_background)
}

/// Writes a text to the log as it is.
pub fn write(text: &str) {
    if let Some(log) = LOG.get() {
        log.put(Entry::text(text.as_bytes()));
    }
}

/// Waits until the log is written, for a moment at most, and takes no more: the last thing that a process does.
pub fn finish() {
    if let Some(log) = LOG.get() {
        log.finish();
    }
}

/// Makes an entry of each event, and hands it on. There are no spans.
struct Logger<P> {
    level: LevelFilter,
    formatter: Formatter,
    put: P,
}

impl<P: Fn(Entry) + 'static> Subscriber for Logger<P> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Also for `enabled!`, whose question is about no event.
        !metadata.is_span() && *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn event(&self, event: &Event<'_>) {
        (self.put)(self.formatter.entry(&Record::of(event)));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &SpanRecord<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl Verbosity {
    /// The least urgent level that is logged. Warnings and errors always are.
    ///
    /// The convention (kubernetes/community, `logging.md`): 0 to 3 for operators, 4 and 5 for debugging, 6 and above for
    /// what goes over the wire.
    #[must_use]
    pub const fn level(self) -> LevelFilter {
        match self.0 {
            ..=3 => LevelFilter::INFO,
            4..=5 => LevelFilter::DEBUG,
            6.. => LevelFilter::TRACE,
        }
    }
}

impl FromStr for Verbosity {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::telemetry::page::Page;

    /// What these events leave on stderr.
    pub(in super::super) fn written(
        verbosity: &str,
        format: LogFormat,
        style: Style,
        stderr: Stderr,
        events: impl FnOnce(),
    ) -> String {
        let page = Page::default();
        let writer = page.clone();
        let level = verbosity.parse::<Verbosity>().unwrap().level();
        let formatter = Formatter::new(format, style, stderr, level > LevelFilter::INFO);
        let put = move |entry: Entry| writer.clone().write_all(&entry.text).unwrap();
        tracing::subscriber::with_default(Logger { level, formatter, put }, events);
        page.text()
    }

    /// What is on the page after one event of each level.
    fn logged(verbosity: &str, style: Style, has_colour: bool) -> String {
        written(verbosity, LogFormat::Auto, style, Stderr { is_journal: false, has_colour }, || {
            tracing::error!("one");
            tracing::warn!("two");
            tracing::info!(chain = "IP-MASQ-AGENT", "three");
            tracing::debug!("four");
            tracing::trace!("five");
        })
    }

    #[test]
    fn verbosity_follows_the_convention_of_kubernetes() {
        for (verbosity, lines) in
            [("-2147483648", 3), ("0", 3), ("3", 3), ("4", 4), ("5", 4), ("6", 5), ("10", 5), ("2147483647", 5)]
        {
            assert_eq!(logged(verbosity, Style::Log, false).lines().count(), lines, "-v {verbosity}");
        }
    }

    #[test]
    fn what_is_made_for_the_log_alone_is_made_where_it_is_logged() {
        for (verbosity, is_made) in [("0", false), ("4", true)] {
            written(verbosity, LogFormat::Auto, Style::Log, Stderr::default(), || {
                assert_eq!(tracing::enabled!(tracing::Level::DEBUG), is_made);
            });
        }
    }

    #[test]
    fn a_line_carries_its_fields_and_no_escapes_without_a_terminal() {
        let text = logged("0", Style::Log, false);
        assert!(text.contains("INFO three chain=\"IP-MASQ-AGENT\"\n"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn a_verb_says_what_is_wrong_without_time_and_colour() {
        for colour in [false, true] {
            let words = "error: one\nwarning: two\nthree chain=\"IP-MASQ-AGENT\"\n";
            assert_eq!(logged("0", Style::Words, colour), words);
        }
        assert!(logged("6", Style::Words, false).ends_with("\ndebug: four\ntrace: five\n"));
    }

    #[test]
    fn a_terminal_gets_colour() {
        assert!(logged("0", Style::Log, true).contains("\u{1b}["));
    }

    #[test]
    fn the_module_is_named_only_while_debugging() {
        assert!(!logged("0", Style::Log, false).contains(module_path!()));
        assert!(logged("4", Style::Log, false).contains(module_path!()));
    }
}
