//! Which sets hold a list of ranges, so that looking an address up costs the least.

use std::net::IpAddr;

use crate::net::AddressRange;
use crate::rules::{Set, SetKind};

/// Up to this many prefix lengths, each has a hash set of its own. At 64 ranges a lookup in one was seen to cost 45 ns
/// with its mask, and a lookup in an interval set 300 ns; a longer list favours hash sets still more
/// (docs/decisions.md).
const MAX_PREFIX_LENGTHS: usize = 6;

/// More ranges than this each go into the hash set of their prefix length, however many lengths there are: whatever
/// changes in an interval set, the kernel rebuilds all of it within that commit, which takes 1 ms for 10,000 ranges and
/// 120 ms for a million, and a process cannot be ended before that is done.
const MAX_INTERVALS: usize = 16_384;

/// How many prefix lengths there are, `/0` and IPv6's `/128` included.
const LENGTHS: usize = 129;

/// A set that holds some of the addresses of a list, and how it is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SetPart {
    /// The set's name.
    pub(crate) name: String,
    /// How many leading bits of an address are looked up; `None` for all.
    pub(crate) prefix_len: Option<u8>,
}

/// The sets for merged ranges, with names that begin with `name`; `None` if the ranges are all addresses.
pub(super) fn exempt_sets(name: &str, ranges: Vec<AddressRange>) -> Option<Vec<(Set, SetPart)>> {
    let counts = counts(&ranges);
    if counts.first().is_some_and(|everything| *everything > 0) {
        return None;
    }
    let lengths = counts.iter().filter(|count| **count > 0).count();
    if lengths > MAX_PREFIX_LENGTHS && ranges.len() <= MAX_INTERVALS {
        let set = Set { name: name.to_owned(), kind: SetKind::Intervals, elements: ranges.into() };
        return Some(vec![(set, SetPart { name: name.to_owned(), prefix_len: None })]);
    }
    Some(by_length(name, &ranges, &counts).collect())
}

/// Sets of single addresses that hold together what these ranges do, one for each prefix length however many there are,
/// and how to look an address up in each. None of the ranges is the whole address space. The names begin with this one.
pub(crate) fn sets_of_addresses(name: &str, ranges: &[AddressRange]) -> (Vec<Set>, Vec<SetPart>) {
    by_length(name, ranges, &counts(ranges)).unzip()
}

/// How many CIDRs of each prefix length the ranges consist of.
fn counts(ranges: &[AddressRange]) -> Vec<usize> {
    let mut counts = vec![0; LENGTHS];
    for_each_cidr(ranges, |_, len| {
        if let Some(count) = counts.get_mut(len) {
            *count += 1;
        }
    });
    counts
}

/// A set for each prefix length that occurs, and how to look an address up in it.
fn by_length<'n>(
    name: &'n str,
    ranges: &[AddressRange],
    counts: &[usize],
) -> impl Iterator<Item = (Set, SetPart)> + use<'n> {
    let mut elements: Vec<Vec<AddressRange>> = counts.iter().map(|count| Vec::with_capacity(*count)).collect();
    for_each_cidr(ranges, |network, len| {
        if let Some(elements) = elements.get_mut(len) {
            elements.push(AddressRange::single(network));
        }
    });
    let lengths = (0..).zip(elements).filter(|(_, elements)| !elements.is_empty());
    lengths.map(move |(len, elements)| {
        let kind = SetKind::Addresses { size: room(elements.len()) };
        let part = SetPart { name: format!("{name}-{len}"), prefix_len: Some(len) };
        (Set { name: part.name.clone(), kind, elements: elements.into() }, part)
    })
}

/// The first address and the prefix length of each of the CIDRs of which the ranges consist, in order.
fn for_each_cidr(ranges: &[AddressRange], mut each: impl FnMut(IpAddr, usize)) {
    for range in ranges {
        match range.prefix_len() {
            Some(len) => each(range.first(), len.into()),
            None => range.cidrs().for_each(|cidr| each(cidr.network(), cidr.prefix_len().into())),
        }
    }
}

/// Room for at least twice as many elements, so that a list can grow for long before its set has to be recreated.
fn room(elements: usize) -> u32 {
    const LEAST: usize = 64;
    u32::try_from((2 * elements).max(LEAST).next_power_of_two()).unwrap_or(u32::MAX)
}
