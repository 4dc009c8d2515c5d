//! Ranges that change nothing, because another one covers them.

use super::{Entry, Location, Warning};
use crate::net::Cidr;

/// A range of the list.
#[derive(Clone, Copy)]
struct Range {
    /// Its place in the list.
    place: u32,
    cidr: Cidr,
    location: Location,
}

/// Tells `warn` of each range that another one covers. Both let the same traffic through untouched, so the covered one
/// changes nothing, wherever it stands.
pub(super) fn find(entries: &[Entry], mut warn: impl FnMut(Warning)) {
    // Long lists are written by programs, in order: there, each range ends before the next one starts.
    if entries.is_sorted_by(|range, next| range.cidr.last() < next.cidr.network()) {
        return;
    }
    let range = |place: u32| {
        let Entry { cidr, location } = *entries.get(place as usize)?;
        Some(Range { place, cidr, location: location? })
    };
    // The places alone, because the list may be most of what a large file holds.
    let mut places: Vec<u32> = (0..).zip(entries).map(|(place, _)| place).collect();
    // A range sorts before those that it covers, so the ranges around one are open when its turn comes.
    places.sort_unstable_by_key(|place| (entries.get(*place as usize).map(|entry| entry.cidr), *place));
    let mut open: Vec<Open> = Vec::new();
    for range in places.into_iter().filter_map(range) {
        while open.pop_if(|outer| !outer.range.cidr.covers(&range.cidr)).is_some() {}
        let around = open.last().copied();
        if let Some(around) = around {
            warn(around.warning(&range));
            if around.range.cidr == range.cidr {
                continue;
            }
        }
        let earliest =
            around.map_or(range, |around| if around.earliest.place < range.place { around.earliest } else { range });
        open.push(Open { range, earliest });
    }
}

/// A range and, of it and those around it, the one that stands first in the list.
#[derive(Clone, Copy)]
struct Open {
    range: Range,
    earliest: Range,
}

impl Open {
    /// Why `inner`, which this range covers, changes nothing.
    fn warning(&self, inner: &Range) -> Warning {
        let Range { cidr, location, .. } = *inner;
        let Range { cidr: by, location: by_location, place } = self.earliest;
        if self.range.cidr == cidr {
            Warning::DuplicateCidr { location, cidr, first: self.range.location }
        } else if place < inner.place {
            Warning::ShadowedCidr { location, cidr, by, by_location }
        } else {
            Warning::CoveredCidr { location, cidr, by, by_location }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::warning::Warnings;
    use crate::config::{SourceId, Span};
    use proptest::prelude::*;

    fn entries(cidrs: &[Cidr]) -> Vec<Entry> {
        let location = |line| Location { file: SourceId::ONLY, span: Span { start: 0, end: 0, line } };
        (1..).zip(cidrs).map(|(line, cidr)| Entry { cidr: *cidr, location: Some(location(line)) }).collect()
    }

    fn found(cidrs: &[&str]) -> Vec<String> {
        let cidrs: Vec<Cidr> = cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect();
        let mut warnings = Warnings::new(10);
        find(&entries(&cidrs), |warning| warnings.push(warning));
        warnings.in_order().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_covered_range_is_named_once_with_the_first_that_covers_it() {
        let cases: [(&[&str], &[&str]); 6] = [
            (
                &["10.0.0.0/8", "10.0.0.0/8", "10.0.0.0/8"],
                &[
                    "line 2: nonMasqueradeCIDRs: 10.0.0.0/8 stands on line 1 already; remove it",
                    "line 3: nonMasqueradeCIDRs: 10.0.0.0/8 stands on line 1 already; remove it",
                ],
            ),
            (
                &["10.0.0.0/8", "10.1.0.0/16"],
                &[
                    "line 2: nonMasqueradeCIDRs: 10.1.0.0/16 changes nothing, because 10.0.0.0/8 on line 1 covers it; remove it",
                ],
            ),
            (
                &["10.1.0.0/16", "10.0.0.0/8"],
                &[
                    "line 1: nonMasqueradeCIDRs: 10.1.0.0/16 changes nothing, because 10.0.0.0/8 on line 2 covers it too; remove it",
                ],
            ),
            (
                &["10.0.0.0/8", "0.0.0.0/0", "172.16.0.0/12"],
                &[
                    "line 1: nonMasqueradeCIDRs: 10.0.0.0/8 changes nothing, because 0.0.0.0/0 on line 2 covers it too; remove it",
                    "line 3: nonMasqueradeCIDRs: 172.16.0.0/12 changes nothing, because 0.0.0.0/0 on line 2 covers it; remove it",
                ],
            ),
            (
                &["10.0.0.0/16", "10.0.0.0/24", "10.0.0.0/8"],
                &[
                    "line 1: nonMasqueradeCIDRs: 10.0.0.0/16 changes nothing, because 10.0.0.0/8 on line 3 covers it too; remove it",
                    "line 2: nonMasqueradeCIDRs: 10.0.0.0/24 changes nothing, because 10.0.0.0/16 on line 1 covers it; remove it",
                ],
            ),
            (&["10.0.0.0/9", "10.128.0.0/9", "::/0"], &[]),
        ];
        for (cidrs, warnings) in cases {
            assert_eq!(found(cidrs), warnings, "{cidrs:?}");
        }
    }

    proptest! {
        #[test]
        fn exactly_the_ranges_that_another_covers_are_named(picks in prop::collection::vec((0_u32..4, 28_u8..=32), 0..12)) {
            let cidrs: Vec<Cidr> =
                picks.iter().map(|(host, len)| Cidr::around([10, 0, 0, u8::try_from(*host).unwrap()].into(), *len).unwrap()).collect();
            let mut named: Vec<u32> = Vec::new();
            find(&entries(&cidrs), |warning| named.push(warning.location().unwrap().line()));
            named.sort_unstable();
            let covered = |place: usize| cidrs.iter().enumerate().any(|(other, cidr)| {
                if *cidr == cidrs[place] { other < place } else { cidr.covers(&cidrs[place]) }
            });
            let expected: Vec<u32> = (1..).zip(0..cidrs.len()).filter(|(_, place)| covered(*place)).map(|(line, _)| line).collect();
            prop_assert_eq!(named, expected);
        }
    }
}
