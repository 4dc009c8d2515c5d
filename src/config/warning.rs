//! What is odd about a configuration that is valid.

use std::fmt;
use std::path::Path;

use super::error::place;
use super::{Duration, Key, Line};
use crate::net::Cidr;
use crate::text::Quoted;

/// Something odd about a valid configuration, as a value for whoever wants to print it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A key that means nothing.
    UnknownKey {
        /// Its line.
        line: Line,
        /// The key as it is written.
        name: String,
    },
    /// A key in upper and lower case other than upstream's.
    OtherCase {
        /// Its line.
        line: Line,
        /// The key as it is written.
        name: String,
        /// The key that it is taken for.
        key: Key,
    },
    /// A key that stands more than once.
    DoubledKey {
        /// The line of the one that counts.
        line: Line,
        /// The key.
        key: Key,
        /// The line of the one that does not.
        ignored: Line,
    },
    /// A range that stands more than once.
    DuplicateCidr {
        /// The line of the second one.
        line: Line,
        /// The range.
        cidr: Cidr,
        /// The line of the first one.
        first: Line,
    },
    /// A range inside of one that stands before it.
    ShadowedCidr {
        /// Its line.
        line: Line,
        /// The range.
        cidr: Cidr,
        /// The range that covers it.
        by: Cidr,
        /// The line of that.
        by_line: Line,
    },
    /// A range inside of one that stands behind it.
    CoveredCidr {
        /// Its line.
        line: Line,
        /// The range.
        cidr: Cidr,
        /// The range that covers it.
        by: Cidr,
        /// The line of that.
        by_line: Line,
    },
    /// Something behind the first YAML document.
    SecondDocument {
        /// Where it starts.
        line: Line,
    },
    /// `resyncInterval` is shorter than is of any use, or than the agent goes.
    ShortInterval {
        /// Its line.
        line: Line,
        /// The interval as it is written.
        interval: Duration,
        /// The interval in force.
        used: Duration,
    },
    /// There are more warnings like those before.
    More {
        /// What those were about.
        about: &'static str,
        /// How many more.
        count: usize,
    },
}

/// The most warnings of a kind.
const MAX_PER_KIND: usize = 10;

impl Warning {
    /// The line that is odd.
    #[must_use]
    pub fn line(&self) -> Option<Line> {
        match self {
            Self::UnknownKey { line, .. }
            | Self::OtherCase { line, .. }
            | Self::DoubledKey { line, .. }
            | Self::DuplicateCidr { line, .. }
            | Self::ShadowedCidr { line, .. }
            | Self::CoveredCidr { line, .. }
            | Self::SecondDocument { line }
            | Self::ShortInterval { line, .. } => Some(*line),
            Self::More { .. } => None,
        }
    }

    /// The warning with the place that it is about, as compilers print it: `PATH:LINE: …`.
    #[must_use]
    pub fn in_file(&self, path: &Path) -> String {
        format!("{}: {}", place(path, self.line()), self.words())
    }

    const fn words(&self) -> Words<'_> {
        Words(self)
    }

    fn about(&self) -> &'static str {
        match self {
            Self::UnknownKey { .. } => "unknown keys",
            Self::OtherCase { .. } => "keys in another case",
            Self::DoubledKey { .. } => "doubled keys",
            Self::DuplicateCidr { .. } => "duplicate ranges",
            Self::ShadowedCidr { .. } => "ranges inside of an earlier one",
            Self::CoveredCidr { .. } => "ranges inside of a later one",
            Self::SecondDocument { .. } => "further documents",
            Self::ShortInterval { .. } => "intervals that are too short",
            Self::More { .. } => "other warnings",
        }
    }
}

/// The warnings of one file. Of each kind the ten on the lowest lines are kept, and the others counted, so that their number
/// costs no memory.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Warnings {
    kinds: Vec<Kind>,
    pushed: usize,
}

/// The warnings of one kind.
#[derive(Debug, PartialEq)]
struct Kind {
    about: &'static str,
    /// The first ones, each behind the place at which it sorts: by line, and on one line in the order in which they came.
    kept: Vec<((Option<Line>, usize), Warning)>,
    /// How many were not kept.
    more: usize,
}

impl Warnings {
    /// Adds a warning, unless it is one of those that are kept.
    pub(super) fn push(&mut self, warning: Warning) {
        let about = warning.about();
        let place = (warning.line(), self.pushed);
        self.pushed += 1;
        if self.kinds.iter().all(|kind| kind.about != about) {
            self.kinds.push(Kind { about, kept: Vec::new(), more: 0 });
        }
        if let Some(kind) = self.kinds.iter_mut().find(|kind| kind.about == about) {
            kind.push(place, warning);
        }
    }

    /// The warnings in the order of their lines, and behind them how many more there are of each kind.
    pub(super) fn in_order(mut self) -> Vec<Warning> {
        self.kinds.sort_by_key(|kind| kind.kept.first().map(|(place, _)| *place));
        let more = |kind: &Kind| (kind.more > 0).then_some(Warning::More { about: kind.about, count: kind.more });
        let more: Vec<Warning> = self.kinds.iter().filter_map(more).collect();
        let mut kept: Vec<_> = self.kinds.into_iter().flat_map(|kind| kind.kept).collect();
        kept.sort_by_key(|(place, _)| *place);
        kept.into_iter().map(|(_, warning)| warning).chain(more).collect()
    }
}

impl Kind {
    fn push(&mut self, place: (Option<Line>, usize), warning: Warning) {
        let index = self.kept.partition_point(|(other, _)| *other < place);
        if index == MAX_PER_KIND {
            self.more += 1;
        } else if self.kept.iter().all(|(_, other)| *other != warning) {
            self.kept.insert(index, (place, warning));
            self.more += usize::from(self.kept.len() > MAX_PER_KIND);
            self.kept.truncate(MAX_PER_KIND);
        }
    }
}

impl Extend<Warning> for Warnings {
    fn extend<I: IntoIterator<Item = Warning>>(&mut self, warnings: I) {
        warnings.into_iter().for_each(|warning| self.push(warning));
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line() {
            write!(f, "line {line}: ")?;
        }
        self.words().fmt(f)
    }
}

/// A warning without its line.
struct Words<'a>(&'a Warning);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Warning as W;
        let list = Key::NonMasqueradeCidrs;
        match self.0 {
            W::UnknownKey { name, .. } => {
                write!(f, "the key {} is unknown and ignored", Quoted(name))?;
                Key::close_to(name).map_or(Ok(()), |key| write!(f, "; did you mean {key}?"))
            }
            W::OtherCase { name, key, .. } => {
                write!(f, "the key {} is read as {key}; spell it like that", Quoted(name))
            }
            W::DoubledKey { key, ignored, .. } => {
                write!(f, "{key} stands on line {ignored} too; this one counts; remove the other")
            }
            W::DuplicateCidr { cidr, first, .. } => {
                write!(f, "{list}: {cidr} stands on line {first} already; remove it")
            }
            W::ShadowedCidr { cidr, by, by_line, .. } => {
                write!(f, "{list}: {cidr} changes nothing, because {by} on line {by_line} covers it; remove it")
            }
            W::CoveredCidr { cidr, by, by_line, .. } => {
                write!(f, "{list}: {cidr} changes nothing, because {by} on line {by_line} covers it too; remove it")
            }
            W::SecondDocument { .. } => f.write_str("this is behind the first YAML document and ignored"),
            W::ShortInterval { interval, used, .. } => {
                let key = Key::ResyncInterval;
                if interval == used {
                    write!(f, "{key}: {interval} is short, and costs more than it gives, as ")?;
                } else {
                    write!(f, "{key}: {interval} is too short; {used} is used; ")?;
                }
                f.write_str("what others change is repaired at once anyway; write 60s")
            }
            W::More { about, count } => write!(f, "and {count} more {about}"),
        }
    }
}
