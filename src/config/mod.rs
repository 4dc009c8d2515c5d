//! Bytes to [`Config`], reading as upstream reads.
//!
//! The data flows one way: [`read`] takes the bytes of a file, the crate `goyaml` reads them as upstream's libraries do, `document`
//! picks the known keys, and `schema` turns their values into a [`Config`] with [`Warning`]s. Each value, error and warning has a
//! [`Location`]. Only `file` touches anything outside. What a file holds, the memory for reading it is a small multiple of its size.

mod document;
mod duration;
mod error;
mod errors;
mod file;
mod key;
mod list;
mod location;
mod overlap;
mod schema;
mod sources;
mod warning;

pub use duration::{Duration, DurationError};
pub use error::{ConfigError, Place, Problem, ReadError};
pub use errors::ConfigErrors;
pub(crate) use file::{MOST_BYTES, regular_file};
pub use file::{is_stdin, read};
pub use key::Key;
pub use location::{Location, SourceId, Span};
pub use sources::{Source, SourcePaths, SourceSet};
pub use warning::Warning;

use crate::net::Cidr;

/// What the file says, completed by the defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `nonMasqueradeCIDRs`: destinations to which traffic keeps its source, in the file's order.
    pub non_masquerade_cidrs: Vec<Entry>,
    /// `masqLinkLocal`: whether traffic to `169.254.0.0/16` is masqueraded too.
    pub masq_link_local: Setting<bool>,
    /// `masqLinkLocalIPv6`: whether traffic to `fe80::/10` is masqueraded too.
    pub masq_link_local_ipv6: Setting<bool>,
    /// `resyncInterval`: the time between two passes over the kernel's rules, at least [`Config::MIN_RESYNC_INTERVAL`].
    pub resync_interval: Setting<Duration>,
}

/// One range of `nonMasqueradeCIDRs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The range.
    pub cidr: Cidr,
    /// Where the file says so, or `None` for a default.
    pub location: Option<Location>,
}

/// A value and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value in force.
    pub value: T,
    /// Where the file says so: the key and its value. `None` for the default.
    pub location: Option<Location>,
}

/// The flags that change how a file is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// `--nomasq-all-reserved-ranges`: the default list has all ranges that RFCs reserve, not only the private ones.
    pub all_reserved_ranges: bool,
    /// `--enable-ipv6`: IPv6 ranges are allowed.
    pub ipv6: bool,
}

/// A configuration, and what is odd about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The configuration.
    pub config: Config,
    /// What is odd, in the order of the lines.
    pub warnings: Vec<Warning>,
}

/// All that a file says, and all that is wrong and odd about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Examined {
    /// The configuration, if nothing is wrong.
    pub config: Result<Config, ConfigErrors>,
    /// What is odd, in the order of the lines; of a file with errors, as far as it can be understood.
    pub warnings: Vec<Warning>,
}

/// How many errors and warnings are told one by one. The others are counted, so that their number costs no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Errors of all kinds.
    pub errors: usize,
    /// Warnings of each kind.
    pub warnings_of_a_kind: usize,
}

impl Told {
    /// For a log, and for whoever cannot act upon more at once.
    pub const BRIEFLY: Self = Self { errors: 20, warnings_of_a_kind: 10 };

    /// For whoever asks what is wrong with a file.
    pub const AT_LENGTH: Self = Self { errors: 1000, warnings_of_a_kind: 1000 };
}

/// The default list, in upstream's order: the private networks of RFC 1918.
const PRIVATE: [([u8; 4], u8); 3] = [([10, 0, 0, 0], 8), ([172, 16, 0, 0], 12), ([192, 168, 0, 0], 16)];

/// What `--nomasq-all-reserved-ranges` adds to the default list, in upstream's order.
const RESERVED: [([u8; 4], u8); 8] = [
    // RFC 6598, carrier-grade NAT.
    ([100, 64, 0, 0], 10),
    // RFC 6890, protocol assignments.
    ([192, 0, 0, 0], 24),
    // RFC 5737, documentation.
    ([192, 0, 2, 0], 24),
    // RFC 7526, once 6to4 relays.
    ([192, 88, 99, 0], 24),
    // RFC 2544, benchmarks.
    ([198, 18, 0, 0], 15),
    // RFC 5737, documentation.
    ([198, 51, 100, 0], 24),
    // RFC 5737, documentation.
    ([203, 0, 113, 0], 24),
    // RFC 1112, once class E.
    ([240, 0, 0, 0], 4),
];

impl Config {
    /// The shortest `resyncInterval`; a shorter one in a file is raised to this.
    pub const MIN_RESYNC_INTERVAL: Duration = Duration::from_nanos(100_000_000);

    /// What a `resyncInterval` of nothing or less is raised to.
    const INSTEAD_OF_NO_INTERVAL: Duration = Duration::from_secs(1);

    const DEFAULT_RESYNC_INTERVAL: Duration = Duration::from_secs(60);

    const DEFAULT_CIDR_LIMIT: i64 = 64;

    /// The configuration of an empty file, and of none.
    #[must_use]
    pub fn defaults(context: &Context) -> Self {
        let reserved: &[_] = if context.all_reserved_ranges { &RESERVED } else { &[] };
        let entry = |(network, len): &([u8; 4], u8)| {
            Cidr::around((*network).into(), *len).map(|cidr| Entry { cidr, location: None })
        };
        Self {
            non_masquerade_cidrs: PRIVATE.iter().chain(reserved).filter_map(entry).collect(),
            masq_link_local: Setting { value: false, location: None },
            masq_link_local_ipv6: Setting { value: false, location: None },
            resync_interval: Setting { value: Self::DEFAULT_RESYNC_INTERVAL, location: None },
        }
    }
}

/// Reads a configuration from the bytes of a file: JSON, if the first character is a brace, else YAML.
///
/// # Errors
///
/// What is wrong with the syntax first; or, if nothing is, all that is wrong with the values.
pub fn parse(bytes: &[u8], context: &Context) -> Result<Reading, ConfigErrors> {
    schema::build(&[(SourceId::ONLY, Some(bytes))], *context, Told::BRIEFLY).reading()
}

/// What these files say together.
///
/// Each is read as if it were alone. Their lists are put together in the order of the files, and `cidrLimit` counts all ranges.
/// Of a key with one value, the last file that has it counts, with a warning that names both. A file that is missing adds
/// nothing, with a warning; without any file it is what an empty one says.
///
/// # Errors
///
/// [`ReadError::Invalid`], when one of them is no configuration.
pub fn understand(sources: &SourceSet, context: &Context) -> Result<Reading, ReadError> {
    merge(sources, *context).map_err(|errors| ReadError::Invalid { sources: sources.paths(), errors })
}

/// The same without the names of the files.
pub(crate) fn merge(sources: &SourceSet, context: Context) -> Result<Reading, ConfigErrors> {
    schema::build(&sources.contents(), context, Told::BRIEFLY).reading()
}

/// The same with all that is wrong and odd, also where a file cannot be used.
#[must_use]
pub fn examine(sources: &SourceSet, context: &Context, told: Told) -> Examined {
    schema::build(&sources.contents(), *context, told)
}

impl Examined {
    fn reading(self) -> Result<Reading, ConfigErrors> {
        self.config.map(|config| Reading { config, warnings: self.warnings })
    }
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod merge_tests;
