//! The source ports that masqueraded traffic gets (`--to-ports`).

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Ports `first` to `last`, both included. Port 0 is allowed: upstream applies it, and the kernel draws it like any
/// other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// Port ranges in the order in which they were written. Each range gets a share of the flows in proportion to its size,
/// so a port that is in two ranges is drawn twice as often, as it is upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortRanges(Vec<PortRange>);

/// Why a text is not a list of port ranges. The messages name the part that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PortRangesError {
    /// Neither a number nor two numbers with a dash between them.
    #[error("{0:?} is no port range; expected ports or ranges such as 1024-29999,32768-65535")]
    Syntax(String),
    /// Above 65535.
    #[error("port {0} in {1:?} does not exist; expected 0 to 65535")]
    OutOfRange(String, String),
    /// `200-100`.
    #[error("the first port of {0:?} is greater than its last; write the smaller one first")]
    Reversed(String),
}

impl PortRange {
    /// The range, or `None` if the first port is greater than the last.
    #[must_use]
    pub const fn new(first: u16, last: u16) -> Option<Self> {
        if first > last { None } else { Some(Self { first, last }) }
    }

    /// All ports.
    pub const ALL: Self = Self { first: 0, last: u16::MAX };

    /// The first port.
    #[must_use]
    pub const fn first(self) -> u16 {
        self.first
    }

    /// The last port.
    #[must_use]
    pub const fn last(self) -> u16 {
        self.last
    }

    /// Whether the port is in the range.
    #[must_use]
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }

    /// The number of ports, at least 1.
    #[must_use]
    pub const fn size(self) -> u32 {
        self.last as u32 - self.first as u32 + 1
    }

    const fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl PortRanges {
    /// The ranges, in the order in which they were written.
    #[must_use]
    pub fn as_slice(&self) -> &[PortRange] {
        &self.0
    }

    /// Whether the list is empty, so that every port may be used.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the port is in one of the ranges.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|range| range.contains(port))
    }

    /// Two ranges that share a port, if there are any.
    #[must_use]
    pub fn overlap(&self) -> Option<(PortRange, PortRange)> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let mut widest: Option<PortRange> = None;
        for range in sorted {
            match widest {
                Some(before) if before.overlaps(range) => return Some((before, range)),
                _ => widest = Some(range),
            }
        }
        None
    }
}

impl FromStr for PortRange {
    type Err = PortRangesError;

    fn from_str(text: &str) -> Result<Self, PortRangesError> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |digits: &str| match digits.parse::<u64>() {
            Ok(number) => {
                u16::try_from(number).map_err(|_| PortRangesError::OutOfRange(digits.to_owned(), text.to_owned()))
            }
            Err(_) => Err(PortRangesError::Syntax(text.to_owned())),
        };
        Self::new(port(first)?, port(last)?).ok_or_else(|| PortRangesError::Reversed(text.to_owned()))
    }
}

impl FromStr for PortRanges {
    type Err = PortRangesError;

    /// The empty text is the empty list, as it is upstream.
    fn from_str(text: &str) -> Result<Self, PortRangesError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            return write!(f, "{}", self.first);
        }
        write!(f, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_upstream_reads_them() {
        for (text, printed) in [
            ("", "[]"),
            ("8080", "[8080]"),
            ("+80", "[80]"),
            ("0080-0090", "[80-90]"),
            ("1024-29999,32768-65535", "[1024-29999, 32768-65535]"),
            ("3000-3999,1024-1999", "[3000-3999, 1024-1999]"),
            ("0", "[0]"),
            ("0-100", "[0-100]"),
            ("0-65535", "[0-65535]"),
            ("80,80", "[80, 80]"),
            ("80-90,85-95", "[80-90, 85-95]"),
        ] {
            let ranges: PortRanges = text.parse().unwrap();
            let shown: Vec<String> = ranges.as_slice().iter().map(ToString::to_string).collect();
            assert_eq!(format!("[{}]", shown.join(", ")), printed, "{text:?}");
        }
    }

    #[test]
    fn each_wrong_text_has_its_own_reason() {
        for (text, message) in [
            ("abc", "\"abc\" is no port range; expected ports or ranges such as 1024-29999,32768-65535"),
            ("1-2-3", "\"1-2-3\" is no port range; expected ports or ranges such as 1024-29999,32768-65535"),
            ("1024-29999,", "\"\" is no port range; expected ports or ranges such as 1024-29999,32768-65535"),
            ("-5", "\"-5\" is no port range; expected ports or ranges such as 1024-29999,32768-65535"),
            ("1-70000", "port 70000 in \"1-70000\" does not exist; expected 0 to 65535"),
            ("200-100", "the first port of \"200-100\" is greater than its last; write the smaller one first"),
            ("1-\n", "\"1-\\n\" is no port range; expected ports or ranges such as 1024-29999,32768-65535"),
        ] {
            assert_eq!(text.parse::<PortRanges>().unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn ranges_that_share_a_port_are_found_wherever_they_stand() {
        for (text, overlap) in [
            ("", None),
            ("1-99,100-200", None),
            ("1-100,100-200", Some("1-100 100-200")),
            ("80,80", Some("80 80")),
            ("200-300,1-10,5", Some("1-10 5")),
            ("1-1000,5-6,900", Some("1-1000 5-6")),
        ] {
            let found = text.parse::<PortRanges>().unwrap().overlap();
            assert_eq!(found.map(|(one, other)| format!("{one} {other}")).as_deref(), overlap, "{text}");
        }
    }
}
