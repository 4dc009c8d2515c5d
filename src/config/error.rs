//! What can be wrong with a configuration, and how to mend it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use goyaml::Value;
use thiserror::Error;

use super::{ConfigErrors, DurationError, Key, Location, SourceId, SourcePaths};
use crate::net::{Cidr, CidrError};
use crate::text::{Bare, Message, Quoted, Shown};

/// What is wrong with a configuration, and where.
#[derive(Clone, Debug, PartialEq, Error)]
pub struct ConfigError {
    /// The part of the file that is wrong, if it is one.
    pub location: Option<Location>,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum Problem {
    /// The file is not text, not YAML and not JSON, or upstream's readers refuse it.
    Syntax(goyaml::Problem),
    /// The file is a list or a single value.
    TopLevel(&'static str),
    /// A value of the wrong type.
    Type {
        /// The key, or the entry of its list.
        place: Place,
        /// The value as it was understood.
        found: String,
        /// Whether it is null, or not written at all.
        is_null: bool,
        /// The type.
        expected: &'static str,
        /// What the author may have meant.
        instead: Option<String>,
    },
    /// `resyncInterval` is a text, but no duration.
    Duration {
        /// The value.
        text: String,
        /// Why it is none.
        reason: DurationError,
    },
    /// More ranges than `cidrLimit`.
    TooMany {
        /// The ranges, without link-local.
        count: usize,
        /// The limit in force.
        limit: i64,
    },
    /// An entry is no range.
    Cidr {
        /// The place in the list, counted from 0.
        index: usize,
        /// The entry.
        text: String,
        /// Why it is none.
        reason: CidrError,
    },
    /// An IPv6 range while IPv6 is off.
    Ipv6Off {
        /// The place in the list, counted from 0.
        index: usize,
        /// The range.
        cidr: Cidr,
    },
}

impl Problem {
    /// What is wrong, with the key and the value, and how to mend it.
    #[must_use]
    pub fn message(&self) -> Message {
        match self {
            Self::Syntax(problem) => Message::new(Shown(&*problem.to_string()).to_string()),
            Self::TopLevel(what) => Message::new(format!("the file holds {what}"))
                .with_help(format!("expected keys and values, such as `{}: false`", Key::MasqLinkLocal)),
            Self::Type { place, found, expected, instead, .. } => {
                Message::new(format!("{place}: found {found}, expected {expected}"))
                    .with_help_if_any(instead.as_ref().map(|text| format!("write {text}")))
            }
            Self::Duration { text, reason } => {
                reason.message().about(format_args!("{}: {}", Key::ResyncInterval, Quoted(text)))
            }
            Self::TooMany { count, limit } => {
                let (list, key) = (Key::NonMasqueradeCidrs, Key::CidrLimit);
                Message::new(format!("{list}: more ranges ({count}) than {key} allows ({limit})"))
                    .with_help(format!("remove some, or write `{key}: {count}`"))
            }
            Self::Cidr { index, text, reason } => {
                reason.message().about(format_args!("{}: {}", Place::entry(*index), Quoted(text)))
            }
            Self::Ipv6Off { index, cidr } => {
                Message::new(format!("{}: {cidr} is an IPv6 range, but IPv6 is off", Place::entry(*index)))
                    .with_help("remove it, or start the agent with --enable-ipv6")
            }
        }
    }
}

impl std::error::Error for Problem {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message().fmt(f)
    }
}

/// A key, or an entry of its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The key.
    pub key: Key,
    /// The place in the list, counted from 0.
    pub index: Option<usize>,
}

impl Place {
    fn entry(index: usize) -> Self {
        Self { key: Key::NonMasqueradeCidrs, index: Some(index) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            None => self.key.fmt(f),
            Some(index) => write!(f, "{}[{index}]", self.key),
        }
    }
}

impl ConfigError {
    pub(super) const fn new(location: Option<Location>, problem: Problem) -> Self {
        Self { location, problem }
    }

    pub(super) const fn at(location: Location, problem: Problem) -> Self {
        Self::new(Some(location), problem)
    }

    /// A file that cannot be understood at all.
    pub(super) fn syntax(file: SourceId, goyaml::Error { span, problem }: goyaml::Error) -> Self {
        Self::at(Location { file, span }, Problem::Syntax(problem))
    }
}

/// A value in words, for messages.
pub(super) fn describe(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => format!("the truth value {value}"),
        Value::Number(number) => format!("the number {}", Bare(number.text)),
        Value::Text(text) => format!("the text {}", Quoted(text)),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.location {
            None => self.problem.fmt(f),
            Some(location) => write!(f, "line {}: {}", location.line(), self.problem),
        }
    }
}

/// Why a file gives no configuration.
#[derive(Debug, Error)]
pub enum ReadError {
    /// There is no such file: what Go's `os.IsNotExist` says of `stat`. A symbolic link to nothing and a missing
    /// directory count, a file in the place of a directory does not.
    #[error("{}: no such file", Shown(&**.0))]
    Missing(PathBuf),
    /// The file cannot be read.
    #[error("{}: {source}", Shown(&**.path))]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A directory, a pipe, a device or a socket.
    #[error("{}: is {kind}; expected a regular file, or a symbolic link to one", Shown(&**.path))]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is, with its article.
        kind: &'static str,
    },
    /// The file is larger than any configuration that is read.
    #[error("{}: larger than the {limit} bytes that are read at most; remove comments and ranges that others cover", Shown(&**.path))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bytes that it may have.
        limit: u64,
    },
    /// The files are larger than any configuration that is read.
    #[error("{}: together with the files before it, larger than the {limit} bytes that are read at most; remove comments and ranges that others cover", Shown(&**.path))]
    TooLargeTogether {
        /// The file that is too much.
        path: PathBuf,
        /// The bytes that all files may have.
        limit: u64,
    },
    /// What is read again and again cannot be stdin.
    #[error(
        "-: stdin is read once, so the agent could not see it change; give it a file (--config PATH), or use `apply`"
    )]
    Stdin,
    /// Its file system has not answered so far.
    #[error(
        "{sources}: its file system has not answered for {after:?}; see whether it hangs (a network file system whose server is away?)"
    )]
    Unanswered {
        /// The files.
        sources: SourcePaths,
        /// For so long.
        after: Duration,
    },
    /// The files are no configuration. A line for each error.
    #[error("{}", .errors.in_files(sources))]
    Invalid {
        /// The files.
        sources: SourcePaths,
        /// What is wrong with them.
        errors: ConfigErrors,
    },
}

impl ReadError {
    /// Everything that is wrong, a line each, with its location if it has one.
    #[must_use]
    pub fn problems(&self) -> Vec<(Option<Location>, String)> {
        let locations: Vec<Option<Location>> = match self {
            Self::Invalid { errors, .. } => errors.iter().map(|error| error.location).collect(),
            _ => Vec::new(),
        };
        let locations = locations.into_iter().chain(std::iter::repeat(None));
        locations.zip(self.to_string().lines()).map(|(location, line)| (location, line.to_owned())).collect()
    }
}
