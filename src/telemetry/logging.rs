//! Logs: words for people, on stderr, so that stdout carries data alone.

use std::io::{self, IsTerminal};
use std::num::ParseIntError;
use std::str::FromStr;
use std::sync::OnceLock;

use thiserror::Error;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use super::log::Log;
use super::log_output::{Notice, Output, Sink};
use super::one_line::OneLine;
use super::style::{Lines, Style};

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

/// Sends the process's log to stderr, in colour where that is a terminal and `NO_COLOR` (<https://no-color.org>) is not
/// set. Logging never fails, and never waits for ever: lines that cannot be written are counted and reported later.
///
/// # Errors
///
/// If the process has a logger already.
pub fn init(verbosity: Verbosity, style: Style) -> Result<(), LoggingError> {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = io::stderr().is_terminal() && !plain;
    let notice: Notice = match style {
        Style::Log => notice_with_time,
        Style::Words => notice_in_words,
    };
    let log = LOG.get_or_init(|| Log::new(Output::new(Sink::stderr(), notice)));
    Ok(tracing::subscriber::set_global_default(subscriber(verbosity, style, colour, move || Finished(log)))?)
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
        log.put(text.as_bytes());
    }
}

/// Waits until the log is written, for a moment at most, and takes no more: the last thing that a process does.
pub fn finish() {
    if let Some(log) = LOG.get() {
        log.finish();
    }
}

/// Hands finished lines to the log.
struct Finished(&'static Log);

impl io::Write for Finished {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A warning of the log's own, as a line. It is not made by `tracing`, which is in the middle of another event then.
fn notice_with_time(message: &str) -> String {
    let mut line = String::new();
    let _ = SystemTime.format_time(&mut Writer::new(&mut line));
    line + "  WARN " + message + "\n"
}

/// The same of a verb that ends.
fn notice_in_words(message: &str) -> String {
    format!("warning: {message}\n")
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

/// One line per event. The module is named only at the debug level.
fn subscriber<W>(verbosity: Verbosity, style: Style, colour: bool, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let level = verbosity.level();
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(colour && style == Style::Log)
        .event_format(Lines::new(style, level > LevelFilter::INFO))
        .fmt_fields(OneLine)
        .with_writer(writer)
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::page::Page;

    /// What is on the page after one event of each level.
    fn logged(verbosity: &str, colour: bool) -> String {
        written(verbosity, Style::Log, colour)
    }

    fn written(verbosity: &str, style: Style, colour: bool) -> String {
        let page = Page::default();
        let writer = page.clone();
        let subscriber = subscriber(verbosity.parse().unwrap(), style, colour, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!("one");
            tracing::warn!("two");
            tracing::info!(chain = "IP-MASQ-AGENT", "three");
            tracing::debug!("four");
            tracing::trace!("five");
        });
        page.text()
    }

    #[test]
    fn verbosity_follows_the_convention_of_kubernetes() {
        for (verbosity, lines) in
            [("-2147483648", 3), ("0", 3), ("3", 3), ("4", 4), ("5", 4), ("6", 5), ("10", 5), ("2147483647", 5)]
        {
            assert_eq!(logged(verbosity, false).lines().count(), lines, "-v {verbosity}");
        }
    }

    #[test]
    fn a_line_carries_its_fields_and_no_escapes_without_a_terminal() {
        let text = logged("0", false);
        assert!(text.contains("INFO three chain=\"IP-MASQ-AGENT\"\n"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn a_verb_says_what_is_wrong_without_time_and_colour() {
        for colour in [false, true] {
            let words = "error: one\nwarning: two\nthree chain=\"IP-MASQ-AGENT\"\n";
            assert_eq!(written("0", Style::Words, colour), words);
        }
        assert!(written("6", Style::Words, false).ends_with("\ndebug: four\ntrace: five\n"));
    }

    #[test]
    fn a_terminal_gets_colour() {
        assert!(logged("0", true).contains("\u{1b}["));
    }

    #[test]
    fn the_module_is_named_only_while_debugging() {
        assert!(!logged("0", false).contains(module_path!()));
        assert!(logged("4", false).contains(module_path!()));
    }
}
