//! What a record looks like in the log.

use std::fmt::Write as _;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use tracing::Level;

use super::journal;
use super::log_queue::Entry;
use super::record::{Record, Value};
use super::style::{LogFormat, Style};
use super::time::rfc3339;
use crate::text::{Visible, is_hidden};

/// Makes what is written for a record. Each is one line, whatever the record holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Formatter {
    lines: Lines,
    /// At the debug level the module is named.
    names_the_module: bool,
    /// Whether records go to the journal, and lines only if it does not take them.
    to_journal: bool,
}

/// The lines on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lines {
    /// As compilers write.
    Words,
    /// Time, level, message.
    Timed {
        colour: bool,
    },
    /// For a service manager, which adds the time and takes the level from the front (`sd-daemon(3)`).
    Prefixed,
    Json,
}

/// What stderr is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stderr {
    /// Whether it is a stream of systemd's journal.
    pub(super) is_journal: bool,
    /// Whether colours are shown there, and wanted.
    pub(super) has_colour: bool,
}

impl Formatter {
    pub(super) fn new(format: LogFormat, style: Style, stderr: Stderr, names_the_module: bool) -> Self {
        let lines = match (format, style) {
            (LogFormat::Json, _) => Lines::Json,
            _ if stderr.is_journal => Lines::Prefixed,
            (_, Style::Log) => Lines::Timed { colour: stderr.has_colour },
            (_, Style::Words) => Lines::Words,
        };
        let to_journal = match format {
            LogFormat::Auto => stderr.is_journal,
            LogFormat::Journal => true,
            LogFormat::Text | LogFormat::Json => false,
        };
        Self { lines, names_the_module, to_journal }
    }

    /// Where most of it goes.
    pub(super) const fn destination(self) -> &'static str {
        if self.to_journal { "the journal" } else { "stderr" }
    }

    /// What is written for a record.
    pub(super) fn entry(self, record: &Record) -> Entry {
        let journal = if self.to_journal { journal::encode(record) } else { Vec::new() };
        Entry { text: self.line(record).into_bytes(), journal }
    }

    /// What is written for a warning of the log's own. It is not made by `tracing`, which is in the middle of another event then.
    pub(super) fn notice(self, message: &str, lost: u64) -> Entry {
        let mut record = Record::new(Level::WARN, module_path!());
        record.event = Some("log_lines_lost".to_owned());
        message.clone_into(&mut record.message);
        record.fields.push(("lost", Value::Unsigned(lost)));
        self.entry(&record)
    }

    fn line(self, record: &Record) -> String {
        let mut line = match self.lines {
            Lines::Json => return json(record),
            Lines::Words => words_of(record.level).to_owned(),
            Lines::Timed { colour } => start(record, colour),
            Lines::Prefixed => format!("<{}>", journal::priority(record.level)),
        };
        if self.names_the_module && self.lines != Lines::Words {
            line = line + record.module + ": ";
        }
        line += &record.message;
        // The sentence of an event with a name is made from its fields.
        if record.event.is_none() {
            let mut separator = if record.message.is_empty() { "" } else { " " };
            for (name, value) in &record.fields {
                // Writing to a text never fails.
                let _ = match value {
                    Value::Text(text) => write!(Visible(&mut line), "{separator}{name}={text:?}"),
                    value => write!(Visible(&mut line), "{separator}{name}={value}"),
                };
                separator = " ";
            }
        }
        line + "\n"
    }
}

const fn words_of(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error: ",
        Level::WARN => "warning: ",
        Level::INFO => "",
        Level::DEBUG => "debug: ",
        Level::TRACE => "trace: ",
    }
}

/// Time and level.
fn start(record: &Record, colour: bool) -> String {
    let (time, level) = (rfc3339(record.time), record.level);
    if !colour {
        return format!("{time} {level:>5} ");
    }
    // ECMA-48: red, yellow, green, blue, magenta.
    let number = match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        Level::TRACE => 35,
    };
    format!("\u{1b}[2m{time}\u{1b}[0m \u{1b}[{number}m{level:>5}\u{1b}[0m ")
}

/// An object on one line, as docs/json.md describes it.
fn json(record: &Record) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        time: String,
        level: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        event: Option<&'a str>,
        message: &'a str,
        #[serde(serialize_with = "in_order")]
        fields: &'a [(&'static str, Value)],
    }
    let Record { time, level, event, message, fields, .. } = record;
    let level = level.to_string().to_lowercase();
    let line = Line { time: rfc3339(*time), level, event: event.as_deref(), message, fields };
    // None of this can fail: keys are texts, and a number that JSON does not have becomes null.
    escaped(&serde_json::to_string(&line).unwrap_or_default()) + "\n"
}

fn in_order<S: Serializer>(fields: &[(&'static str, Value)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(fields.len()))?;
    for (name, value) in fields {
        map.serialize_entry(name, value)?;
    }
    map.end()
}

/// The same JSON with hidden characters escaped, which stand nowhere but in texts: whoever reads it gets the same texts, and no
/// terminal obeys it.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if is_hidden(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(character);
        }
    }
    text
}

#[cfg(test)]
#[path = "formatter_tests.rs"]
mod tests;
