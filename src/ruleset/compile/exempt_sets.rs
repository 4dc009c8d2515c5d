//! In which sets a list of ranges is kept, so that looking an address up costs the least.

use crate::net::{AddressRange, Cidr};
use crate::ruleset::{Match, Set, SetKind};

/// Up to so many prefix lengths each has a hash set of its own. At 64 ranges a lookup in one was seen to cost 45 ns with
/// its mask, and a lookup in an interval set 300 ns; a longer list favours hash sets still more (docs/decisions.md).
const MAX_PREFIX_LENGTHS: usize = 6;

/// Sets, and how to look a destination up in them.
pub(super) struct ExemptSets {
    pub(super) sets: Vec<Set>,
    /// The conditions, of which one holds for each exempt destination. `None` is one that always holds.
    pub(super) lookups: Vec<Option<Match>>,
}

/// The sets for ranges that are merged.
pub(super) fn exempt_sets(ranges: Vec<AddressRange>) -> ExemptSets {
    let mut cidrs: Vec<Cidr> = ranges.iter().flat_map(AddressRange::cidrs).collect();
    if cidrs.iter().any(Cidr::is_everything) {
        return ExemptSets { sets: Vec::new(), lookups: vec![None] };
    }
    cidrs.sort_by_key(Cidr::prefix_len);
    let by_length = || cidrs.chunk_by(|one, next| one.prefix_len() == next.prefix_len());
    if by_length().count() > MAX_PREFIX_LENGTHS {
        let set = Set { name: "exempt".to_owned(), kind: SetKind::Intervals, elements: ranges };
        let lookup = Match::DestinationIn { set: set.name.clone(), prefix_len: None };
        return ExemptSets { sets: vec![set], lookups: vec![Some(lookup)] };
    }
    let (sets, lookups) = by_length().filter_map(set_of_addresses).map(|(set, lookup)| (set, Some(lookup))).unzip();
    ExemptSets { sets, lookups }
}

/// Sets of single addresses that hold together what these ranges do, one for each prefix length however many there are,
/// and how to look a destination up in each. None of the ranges is the whole address space.
pub(in crate::ruleset) fn sets_of_addresses(ranges: &[AddressRange]) -> Vec<(Set, Match)> {
    let mut cidrs: Vec<Cidr> = ranges.iter().flat_map(AddressRange::cidrs).collect();
    cidrs.sort_by_key(Cidr::prefix_len);
    cidrs.chunk_by(|one, next| one.prefix_len() == next.prefix_len()).filter_map(set_of_addresses).collect()
}

/// The set for CIDRs of one length, and how to look a destination up in it.
fn set_of_addresses(cidrs: &[Cidr]) -> Option<(Set, Match)> {
    let len = cidrs.first()?.prefix_len();
    let elements: Vec<AddressRange> = cidrs.iter().map(|cidr| AddressRange::single(cidr.network())).collect();
    let kind = SetKind::Addresses { size: room(elements.len()) };
    let set = Set { name: format!("exempt-{len}"), kind, elements };
    let lookup = Match::DestinationIn { set: set.name.clone(), prefix_len: Some(len) };
    Some((set, lookup))
}

/// Room for twice as many elements at least, so that a list can grow for long before its set has to be made anew.
fn room(elements: usize) -> u32 {
    const LEAST: usize = 64;
    u32::try_from((2 * elements).max(LEAST).next_power_of_two()).unwrap_or(u32::MAX)
}
