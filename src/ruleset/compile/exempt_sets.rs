//! In which sets a list of ranges is kept, so that looking an address up costs the least.

use std::collections::BTreeMap;

use crate::net::AddressRange;
use crate::ruleset::{Match, Set, SetKind};

/// Up to so many prefix lengths each has a hash set of its own. A lookup in one costs about 45 ns with its mask (up to
/// 120 ns where its 100,000 elements do not fit the processor's caches), a lookup in an interval set about 270 ns at 4
/// ranges, 300 ns at 64 and 1,100 ns at 100,000 (docs/benchmarks.md).
const MAX_PREFIX_LENGTHS: usize = 6;

/// Sets, and how to look a destination up in them.
pub(super) struct ExemptSets {
    pub(super) sets: Vec<Set>,
    /// The conditions, of which one holds for each exempt destination. `None` is one that always holds.
    pub(super) lookups: Vec<Option<Match>>,
}

/// The sets for ranges that are merged.
pub(super) fn exempt_sets(ranges: Vec<AddressRange>) -> ExemptSets {
    let mut by_length: BTreeMap<u8, Vec<AddressRange>> = BTreeMap::new();
    for cidr in ranges.iter().flat_map(AddressRange::cidrs) {
        by_length.entry(cidr.prefix_len()).or_default().push(AddressRange::single(cidr.network()));
    }
    if by_length.contains_key(&0) {
        return ExemptSets { sets: Vec::new(), lookups: vec![None] };
    }
    if by_length.len() > MAX_PREFIX_LENGTHS {
        let set = Set { name: "exempt".to_owned(), kind: SetKind::Intervals, elements: ranges };
        let lookup = Match::DestinationIn { set: set.name.clone(), prefix_len: None };
        return ExemptSets { sets: vec![set], lookups: vec![Some(lookup)] };
    }
    let lookup = |(len, elements): (u8, Vec<AddressRange>)| {
        let set =
            Set { name: format!("exempt-{len}"), kind: SetKind::Addresses { size: room(elements.len()) }, elements };
        let lookup = Match::DestinationIn { set: set.name.clone(), prefix_len: Some(len) };
        (set, Some(lookup))
    };
    let (sets, lookups) = by_length.into_iter().map(lookup).unzip();
    ExemptSets { sets, lookups }
}

/// Room for twice as many elements at least, so that a list can grow for long before its set has to be made anew.
fn room(elements: usize) -> u32 {
    const LEAST: usize = 64;
    u32::try_from((2 * elements).max(LEAST).next_power_of_two()).unwrap_or(u32::MAX)
}
