//! Lists of ranges, each followed by a gap of its own size, so that no two of them can be merged.

use std::fmt;
use std::net::Ipv4Addr;

/// 20.0.0.0: neither private nor link-local, and with more than enough space behind it.
const FIRST: u32 = 20 << 24;
/// The lengths of a list of many lengths: twenty of them.
const MANY: std::ops::RangeInclusive<u8> = 13..=32;
/// The binary logarithm of the addresses that all ranges of one length may hold together in such a list.
const SPACE_PER_LENGTH: u8 = 24;

/// An IPv4 range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    network: u32,
    prefix_len: u8,
}

impl Range {
    const fn size(self) -> u32 {
        1 << (32 - self.prefix_len)
    }

    /// The first address behind the range. It is in no range of the list.
    #[must_use]
    pub const fn behind(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network + self.size())
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from_bits(self.network), self.prefix_len)
    }
}

/// So many ranges of one prefix length.
#[must_use]
pub fn of_one_length(count: usize, prefix_len: u8) -> Vec<Range> {
    following(std::iter::repeat_n(prefix_len, count))
}

/// So many ranges of twenty prefix lengths, /13 to /32: as many of each as 2²⁴ addresses hold, at most a fair share.
#[must_use]
pub fn of_twenty_lengths(count: usize) -> Vec<Range> {
    let mut left = count;
    let lengths = MANY.flat_map(|prefix_len| {
        let share = left.div_ceil(usize::from(*MANY.end() - prefix_len + 1));
        let count = share.min(1 << (SPACE_PER_LENGTH + prefix_len - 32));
        left -= count;
        std::iter::repeat_n(prefix_len, count)
    });
    following(lengths)
}

/// Ranges of these lengths, which only grow, one behind the other.
fn following(lengths: impl Iterator<Item = u8>) -> Vec<Range> {
    let mut network = FIRST;
    let range = |prefix_len| {
        let range = Range { network, prefix_len };
        network += 2 * range.size();
        range
    };
    lengths.map(range).collect()
}

/// Up to a thousand addresses in no range, from all over the list.
#[must_use]
pub fn destinations(ranges: &[Range]) -> Vec<Ipv4Addr> {
    let step = ranges.len().div_ceil(1_000).max(1);
    ranges.iter().step_by(step).map(|range| range.behind()).collect()
}
