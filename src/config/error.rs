//! What can be wrong with a configuration, and how to mend it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::{ConfigErrors, DurationError, Key, Line};
use crate::net::{Cidr, CidrError};
use crate::text::{Quoted, Shown};

/// What is wrong with a configuration, and on which line.
#[derive(Clone, Debug, PartialEq, Error)]
pub struct ConfigError {
    /// The line, where one is to blame.
    pub line: Option<Line>,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with a configuration. The messages name the key and the value, and end on what to write instead.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum Problem {
    /// Neither UTF-8 nor UTF-16 with a byte order mark, or with characters that YAML does not allow.
    #[error("not a text: {0}")]
    Encoding(&'static str),
    /// The text is no YAML.
    #[error("not valid YAML: {}", Shown(&**.0))]
    Yaml(String),
    /// The text starts with a brace and is no JSON.
    #[error("not valid JSON (the file starts with a brace, so it is read as JSON): {}", Shown(&**.0))]
    Json(String),
    /// Lists and mappings inside of each other, without end.
    #[error("nested deeper than {MAX_DEPTH} levels")]
    Depth,
    /// Aliases that stand for far more than is written.
    #[error("aliases (*name) that stand for far more than the file holds; write the values out")]
    Aliasing,
    /// An alias inside of what it stands for.
    #[error("an alias (*name) inside of the value that it stands for; write the value out")]
    Recursion,
    /// The file is a list or a single value.
    #[error("the file holds {0}; expected keys and values, such as `masqLinkLocal: false`")]
    TopLevel(&'static str),
    /// A value of the wrong type.
    #[error("{place}: found {found}, expected {expected}{}", .instead.as_ref().map(|text| format!("; write {text}")).unwrap_or_default())]
    Type {
        /// The key, or the entry of its list.
        place: Place,
        /// The value as it was understood.
        found: String,
        /// The type.
        expected: &'static str,
        /// What the author may have meant.
        instead: Option<String>,
    },
    /// `resyncInterval` is a text, but no duration.
    #[error("{place}: {} {reason}", Quoted(text), place = Key::ResyncInterval)]
    Duration {
        /// The value.
        text: String,
        /// Why it is none.
        reason: DurationError,
    },
    /// More ranges than `cidrLimit`.
    #[error(
        "{}: more ranges ({count}) than {} allows ({limit}); remove some, or write `{}: {count}`",
        Key::NonMasqueradeCidrs,
        Key::CidrLimit,
        Key::CidrLimit
    )]
    TooMany {
        /// The ranges, without link-local.
        count: usize,
        /// The limit in force.
        limit: i64,
    },
    /// An entry is no range.
    #[error("{place}: {} {reason}", Quoted(text), place = Place::entry(*.index))]
    Cidr {
        /// The place in the list, counted from 0.
        index: usize,
        /// The entry.
        text: String,
        /// Why it is none.
        reason: CidrError,
    },
    /// An IPv6 range while IPv6 is off.
    #[error("{place}: {cidr} is an IPv6 range, but IPv6 is off; remove it, or start the agent with --enable-ipv6", place = Place::entry(*.index))]
    Ipv6Off {
        /// The place in the list, counted from 0.
        index: usize,
        /// The range.
        cidr: Cidr,
    },
}

/// Lists and mappings that may stand inside of each other; upstream's number.
pub(super) const MAX_DEPTH: usize = 10_000;

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
    pub(super) fn new(line: Option<Line>, problem: Problem) -> Self {
        Self { line, problem }
    }

    pub(super) fn at(line: Line, problem: Problem) -> Self {
        Self::new(Some(line), problem)
    }

    pub(super) fn yaml(line: u32, what: impl Into<String>) -> Self {
        Self::at(Line(line), Problem::Yaml(what.into()))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            None => self.problem.fmt(f),
            Some(line) => write!(f, "line {line}: {}", self.problem),
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
    /// What is read again and again cannot be stdin.
    #[error(
        "-: stdin is read once, so the agent could not see it change; give it a file (--config PATH), or use `apply`"
    )]
    Stdin,
    /// Its file system has not answered so far.
    #[error("{}: its file system has not answered for {after:?}; see whether it hangs (a network file system whose server is away?)", Shown(&**.path))]
    Unanswered {
        /// The file.
        path: PathBuf,
        /// For so long.
        after: Duration,
    },
    /// The file is no configuration. A line for each error.
    #[error("{}", .errors.in_file(path))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        errors: ConfigErrors,
    },
}

/// A place in a file, as compilers print it.
pub(super) fn place(path: &Path, line: Option<Line>) -> String {
    line.map_or_else(|| Shown(path).to_string(), |line| format!("{}:{line}", Shown(path)))
}
