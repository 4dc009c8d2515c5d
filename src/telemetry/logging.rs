//! Logs: words for people, on stderr, so that stdout carries data alone.

use std::io::{self, IsTerminal};
use std::num::ParseIntError;
use std::str::FromStr;

use thiserror::Error;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::one_line;
use super::style::{Lines, Style};

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
/// set.
///
/// # Errors
///
/// If the process has a logger already.
pub fn init(verbosity: Verbosity, style: Style) -> Result<(), LoggingError> {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = io::stderr().is_terminal() && !plain;
    Ok(tracing::subscriber::set_global_default(subscriber(verbosity, style, colour, io::stderr))?)
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

/// One line per event. The module is named only where somebody is debugging.
fn subscriber<W>(verbosity: Verbosity, style: Style, colour: bool, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let level = verbosity.level();
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(colour && style == Style::Log)
        .event_format(Lines::new(style, level > LevelFilter::INFO))
        .fmt_fields(one_line::fields())
        .with_writer(writer)
        .finish()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

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
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
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
