//! An event of the log as a value, from which every format is made.

use std::fmt::{self, Debug, Write as _};
use std::time::SystemTime;

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::text::Visible;

/// The field that names an event. The sentence of such an event is made from its other fields, so that words show it alone.
const NAME: &str = "event";

/// An event of the log.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) time: SystemTime,
    pub(super) level: Level,
    /// Where it comes from.
    pub(super) module: &'static str,
    pub(super) event: Option<String>,
    /// Its sentence, in one line and without hidden characters, whatever is in it.
    pub(super) message: String,
    /// What it says, in the order of the source. Texts are as they are: each format has its own way to keep them in their field.
    pub(super) fields: Vec<(&'static str, Value)>,
}

/// The value of a field.
#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Value {
    Text(String),
    /// Made by `Display` or `Debug`.
    Formatted(String),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Bool(bool),
}

impl Record {
    /// What happens now.
    pub(super) fn of(event: &Event<'_>) -> Self {
        let metadata = event.metadata();
        let mut record = Self::new(*metadata.level(), metadata.target());
        event.record(&mut record);
        record
    }

    /// Nothing is said so far.
    pub(super) fn new(level: Level, module: &'static str) -> Self {
        Self { time: SystemTime::now(), level, module, event: None, message: String::new(), fields: Vec::new() }
    }

    fn put(&mut self, field: &Field, value: Value) {
        self.fields.push((field.name(), value));
    }
}

impl Visit for Record {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            // Writing to a text never fails.
            let _ = write!(Visible(&mut self.message), "{value:?}");
        } else {
            self.put(field, Value::Formatted(format!("{value:?}")));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            NAME => self.event = Some(value.to_owned()),
            "message" => self.record_debug(field, &format_args!("{value}")),
            _ => self.put(field, Value::Text(value.to_owned())),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::Signed(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::Unsigned(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, Value::Float(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::Bool(value));
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Formatted(text) => f.write_str(text),
            Self::Signed(number) => write!(f, "{number}"),
            Self::Unsigned(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number}"),
            Self::Bool(value) => write!(f, "{value}"),
        }
    }
}
