//! What is odd about a configuration that is valid.

use std::fmt;

use super::{Duration, Key, Location, SourceId, SourcePaths};
use crate::net::Cidr;
use crate::text::{Message, Quoted, Shown};

/// Something odd about a valid configuration, as a value that callers can print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// One of several files is not there.
    MissingFile {
        /// The file.
        file: SourceId,
    },
    /// An unknown key.
    UnknownKey {
        /// Where it is.
        location: Location,
        /// The key as it is written.
        name: String,
    },
    /// A key in upper and lower case other than upstream's.
    OtherCase {
        /// Where it is.
        location: Location,
        /// The key as it is written.
        name: String,
        /// The key that it is taken for.
        key: Key,
    },
    /// A key that stands more than once.
    DoubledKey {
        /// Where the one is that counts, with its value.
        location: Location,
        /// The key.
        key: Key,
        /// Where the one is that does not.
        ignored: Location,
    },
    /// A range that stands more than once.
    DuplicateCidr {
        /// Where the second one is.
        location: Location,
        /// The range.
        cidr: Cidr,
        /// Where the first one is.
        first: Location,
    },
    /// A range inside one that stands before it.
    ShadowedCidr {
        /// Where it is.
        location: Location,
        /// The range.
        cidr: Cidr,
        /// The range that covers it.
        by: Cidr,
        /// Where that is.
        by_location: Location,
    },
    /// A range inside one that stands after it.
    CoveredCidr {
        /// Where it is.
        location: Location,
        /// The range.
        cidr: Cidr,
        /// The range that covers it.
        by: Cidr,
        /// Where that is.
        by_location: Location,
    },
    /// Something after the first YAML document.
    SecondDocument {
        /// The first word of it.
        location: Location,
    },
    /// `resyncInterval` is shorter than is useful, or than the agent supports.
    ShortInterval {
        /// Where it is.
        location: Location,
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

impl Warning {
    /// What is odd.
    #[must_use]
    pub fn location(&self) -> Option<Location> {
        match self {
            Self::UnknownKey { location, .. }
            | Self::OtherCase { location, .. }
            | Self::DoubledKey { location, .. }
            | Self::DuplicateCidr { location, .. }
            | Self::ShadowedCidr { location, .. }
            | Self::CoveredCidr { location, .. }
            | Self::SecondDocument { location }
            | Self::ShortInterval { location, .. } => Some(*location),
            Self::MissingFile { .. } | Self::More { .. } => None,
        }
    }

    /// A second place that the warning is about, and what is there.
    #[must_use]
    pub fn other_location(&self) -> Option<(Location, &'static str)> {
        match self {
            Self::DoubledKey { ignored, .. } => Some((*ignored, "this one does not count")),
            Self::DuplicateCidr { first, .. } => Some((*first, "the first one")),
            Self::ShadowedCidr { by_location, .. } | Self::CoveredCidr { by_location, .. } => {
                Some((*by_location, "it lies within this one"))
            }
            _ => None,
        }
    }

    /// Puts another line in the place of that of the second place, where the files are parts of one other file.
    pub(crate) fn set_other_line(&mut self, line: impl FnOnce(Location) -> Option<u32>) {
        let file = self.file();
        if let Self::DoubledKey { ignored: other, .. }
        | Self::DuplicateCidr { first: other, .. }
        | Self::ShadowedCidr { by_location: other, .. }
        | Self::CoveredCidr { by_location: other, .. } = self
            && let Some((line, file)) = line(*other).zip(file)
        {
            other.span.line = line;
            other.file = file;
        }
    }

    /// The warning with the place that it is about, as compilers print it: `PATH:LINE: …`.
    #[must_use]
    pub fn in_files(&self, sources: &SourcePaths) -> String {
        let words = Words { warning: self, sources: Some(sources) };
        match (self.location(), self.file().and_then(|file| sources.path(file))) {
            (None, Some(path)) => format!("{}: {words}", Shown(path)),
            (location, _) => format!("{}: {words}", sources.place(location)),
        }
    }

    /// What is odd, with what follows from it and how to mend it. `sources` names the files of a second place that it mentions.
    #[must_use]
    pub fn message(&self, sources: &SourcePaths) -> Message {
        Words { warning: self, sources: Some(sources) }.message()
    }

    /// Whether both have the same text, as two warnings about one line can have.
    fn says_the_same(&self, other: &Self) -> bool {
        self.file() == other.file() && self.to_string() == other.to_string()
    }

    /// The file that it is about, if it is about one.
    #[must_use]
    pub fn file(&self) -> Option<SourceId> {
        match self {
            Self::MissingFile { file } => Some(*file),
            other => other.location().map(|location| location.file),
        }
    }

    fn about(&self) -> &'static str {
        match self {
            Self::MissingFile { .. } => "files that are not there",
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

/// The warnings of a configuration. Of each kind so many on the lowest lines are stored, and the others counted, so that their
/// number costs no memory.
#[derive(Debug, PartialEq)]
pub(super) struct Warnings {
    kinds: Vec<Kind>,
    pushed: usize,
    most_of_a_kind: usize,
}

/// The warnings of one kind.
#[derive(Debug, PartialEq)]
struct Kind {
    about: &'static str,
    /// The first ones, each with its place.
    first: Vec<(Place, Warning)>,
    /// How many are not stored.
    more: usize,
}

/// Warnings sort by file and line, and on one line in the order in which they were found.
type Place = (Option<(SourceId, u32)>, usize);

impl Warnings {
    pub(super) const fn new(most_of_a_kind: usize) -> Self {
        Self { kinds: Vec::new(), pushed: 0, most_of_a_kind }
    }

    /// Adds a warning, unless the same is said already.
    pub(super) fn push(&mut self, warning: Warning) {
        let about = warning.about();
        let place = (warning.location().map(|location| location.order()), self.pushed);
        self.pushed += 1;
        if self.kinds.iter().all(|kind| kind.about != about) {
            self.kinds.push(Kind { about, first: Vec::new(), more: 0 });
        }
        if let Some(kind) = self.kinds.iter_mut().find(|kind| kind.about == about) {
            kind.push(place, warning, self.most_of_a_kind);
        }
    }

    /// The warnings in the order of their lines, and after them how many more there are of each kind.
    pub(super) fn in_order(mut self) -> Vec<Warning> {
        self.kinds.sort_by_key(|kind| kind.first.first().map(|(place, _)| *place));
        let more = |kind: &Kind| (kind.more > 0).then_some(Warning::More { about: kind.about, count: kind.more });
        let more: Vec<Warning> = self.kinds.iter().filter_map(more).collect();
        let mut first: Vec<_> = self.kinds.into_iter().flat_map(|kind| kind.first).collect();
        first.sort_by_key(|(place, _)| *place);
        first.into_iter().map(|(_, warning)| warning).chain(more).collect()
    }
}

impl Kind {
    fn push(&mut self, place: Place, warning: Warning, most: usize) {
        let index = self.first.partition_point(|(other, _)| *other < place);
        if index == most {
            self.more += 1;
        } else if !self.first.iter().any(|(_, other)| other.says_the_same(&warning)) {
            self.first.insert(index, (place, warning));
            self.more += usize::from(self.first.len() > most);
            self.first.truncate(most);
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
        if let Some(location) = self.location() {
            write!(f, "line {}: ", location.line())?;
        }
        Words { warning: self, sources: None }.fmt(f)
    }
}

/// A warning without the place that it is about.
struct Words<'a> {
    warning: &'a Warning,
    /// The names of the files, if they are known.
    sources: Option<&'a SourcePaths>,
}

impl Words<'_> {
    /// A second place that a warning mentions: its line, and its file if that is another one.
    fn other(&self, place: Location) -> String {
        let is_here = self.warning.file() == Some(place.file);
        match self.sources.and_then(|sources| sources.path(place.file)).filter(|_| !is_here) {
            Some(path) => format!("on line {} of {}", place.line(), Shown(path)),
            None => format!("on line {}", place.line()),
        }
    }
}

impl Words<'_> {
    fn message(&self) -> Message {
        use Warning as W;
        let list = Key::NonMasqueradeCidrs;
        match self.warning {
            W::MissingFile { .. } => {
                Message::new("no such file").with_note("what the other files say holds without it")
            }
            W::UnknownKey { name, .. } => Message::new(format!("the key {} is unknown and ignored", Quoted(name)))
                .with_help_if_any(Key::close_to(name).map(|key| format!("did you mean {key}?"))),
            W::OtherCase { name, key, .. } => {
                Message::new(format!("the key {} is read as {key}", Quoted(name))).with_help("spell it like that")
            }
            W::DoubledKey { key, ignored, .. } => Message::new(format!("{key} stands {} too", self.other(*ignored)))
                .with_note("this one counts")
                .with_help("remove the other"),
            W::DuplicateCidr { cidr, first, .. } => {
                Message::new(format!("{list}: {cidr} stands {} already", self.other(*first))).with_help("remove it")
            }
            W::ShadowedCidr { cidr, by, by_location, .. } => {
                let by_place = self.other(*by_location);
                Message::new(format!("{list}: {cidr} changes nothing, because {by} {by_place} covers it"))
                    .with_help("remove it")
            }
            W::CoveredCidr { cidr, by, by_location, .. } => {
                let by_place = self.other(*by_location);
                Message::new(format!("{list}: {cidr} changes nothing, because {by} {by_place} covers it too"))
                    .with_help("remove it")
            }
            W::SecondDocument { .. } => Message::new("this is behind the first YAML document and ignored"),
            W::ShortInterval { interval, used, .. } => {
                const REASON: &str = "what others change is repaired at once anyway";
                let key = Key::ResyncInterval;
                let message = if interval == used {
                    Message::new(format!("{key}: {interval} is short, and costs more than it gives, as {REASON}"))
                } else {
                    Message::new(format!("{key}: {interval} is too short"))
                        .with_note(format!("{used} is used; {REASON}"))
                };
                message.with_help("write 60s")
            }
            W::More { about, count } => Message::new(format!("and {count} more {about}")),
        }
    }
}

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message().fmt(f)
    }
}
