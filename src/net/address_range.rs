//! A range of addresses that need not be a power of two.

use std::fmt;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

use super::{Cidr, Family};

/// The addresses `first` to `last` of one family, both included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressRange {
    first: IpAddr,
    last: IpAddr,
}

impl AddressRange {
    /// The range, or `None` if it is reversed or crosses families.
    #[must_use]
    pub fn new(first: IpAddr, last: IpAddr) -> Option<Self> {
        (Family::of(first) == Family::of(last) && first <= last).then_some(Self { first, last })
    }

    /// The range of one address.
    #[must_use]
    pub const fn single(address: IpAddr) -> Self {
        Self { first: address, last: address }
    }

    /// The first address.
    #[must_use]
    pub const fn first(&self) -> IpAddr {
        self.first
    }

    /// The last address.
    #[must_use]
    pub const fn last(&self) -> IpAddr {
        self.last
    }

    /// Whether `address` is in the range.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.first <= address && address <= self.last
    }

    /// Whether the two ranges share an address.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// The address after the last one; `None` at the end of the address space.
    #[must_use]
    pub fn next(&self) -> Option<IpAddr> {
        match self.last {
            IpAddr::V4(last) => last.to_bits().checked_add(1).map(|bits| IpAddr::V4(bits.into())),
            IpAddr::V6(last) => last.to_bits().checked_add(1).map(|bits| IpAddr::V6(bits.into())),
        }
    }

    /// The prefix length of the CIDR that holds exactly these addresses, if there is one.
    #[must_use]
    pub fn prefix_len(&self) -> Option<u8> {
        // In a CIDR, the two ends differ in all of the host bits and in no other, and the first end has none of these
        // set.
        let (is_cidr, len) = match (self.first, self.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                let (first, host) = (first.to_bits(), first.to_bits() ^ last.to_bits());
                (host & host.wrapping_add(1) == 0 && first & host == 0, host.leading_zeros())
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                let (first, host) = (first.to_bits(), first.to_bits() ^ last.to_bits());
                (host & host.wrapping_add(1) == 0 && first & host == 0, host.leading_zeros())
            }
            // No such range exists.
            _ => return None,
        };
        u8::try_from(len).ok().filter(|_| is_cidr)
    }

    /// The CIDR that holds exactly these addresses, if there is one.
    #[must_use]
    pub fn as_cidr(&self) -> Option<Cidr> {
        self.prefix_len().and_then(|len| Cidr::around(self.first, len))
    }

    /// The fewest CIDRs that together hold exactly these addresses, in order.
    pub fn cidrs(&self) -> impl Iterator<Item = Cidr> + use<> {
        let whole = self.as_cidr();
        let parts = if whole.is_none() { Some((self.first, self.last)) } else { None };
        let (v4, v6) = match parts {
            Some((IpAddr::V4(first), IpAddr::V4(last))) => (Some(Ipv4Subnets::new(first, last, 0)), None),
            Some((IpAddr::V6(first), IpAddr::V6(last))) => (None, Some(Ipv6Subnets::new(first, last, 0))),
            _ => (None, None),
        };
        let v4 = v4.into_iter().flatten().map(IpNet::V4);
        let v6 = v6.into_iter().flatten().map(IpNet::V6);
        whole.into_iter().chain(v4.chain(v6).filter_map(|net| Cidr::around(net.addr(), net.prefix_len())))
    }

    /// Sorts ranges and joins those that overlap or touch.
    #[must_use]
    pub fn merged(mut ranges: Vec<Self>) -> Vec<Self> {
        // Most lists are written by programs: sorted already, and with nothing to join.
        if ranges.is_sorted_by(|range, later| range.next().is_some_and(|next| next < later.first)) {
            return ranges;
        }
        // Most others are nearly sorted, and this sort is fast where there are sorted runs.
        ranges.sort();
        ranges.dedup_by(|later, earlier| {
            let joins = Family::of(later.first) == Family::of(earlier.first)
                && earlier.next().is_none_or(|next| later.first <= next);
            if joins {
                earlier.last = earlier.last.max(later.last);
            }
            joins
        });
        ranges
    }
}

impl From<Cidr> for AddressRange {
    fn from(cidr: Cidr) -> Self {
        Self { first: cidr.network(), last: cidr.last() }
    }
}

impl fmt::Display for AddressRange {
    /// As `nft` prints an element: an address, a prefix, or two addresses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_cidr() {
            _ if self.first == self.last => self.first.fmt(f),
            Some(cidr) => cidr.fmt(f),
            None => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

impl fmt::Debug for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn merged(texts: &[&str]) -> String {
        let ranges = texts.iter().map(|text| text.parse::<Cidr>().unwrap().into()).collect();
        format!("{:?}", AddressRange::merged(ranges))
    }

    #[test]
    fn what_overlaps_or_touches_is_one_range() {
        for (texts, expected) in [
            (&["10.0.0.0/8", "10.0.0.0/8"][..], "[10.0.0.0/8]"),
            (&["10.1.0.0/16", "10.0.0.0/8"], "[10.0.0.0/8]"),
            (&["10.128.0.0/9", "10.0.0.0/9"], "[10.0.0.0/8]"),
            (&["10.0.1.0/24", "10.0.2.0/24"], "[10.0.1.0-10.0.2.255]"),
            (&["10.0.1.0/24", "10.0.3.0/24"], "[10.0.1.0/24, 10.0.3.0/24]"),
            (&["10.0.0.0/8", "0.0.0.0/0", "255.255.255.255/32"], "[0.0.0.0/0]"),
            (&["255.255.255.255/32", "255.255.255.254/32"], "[255.255.255.254/31]"),
            (&["::/0", "fd00::/8"], "[::/0]"),
            (&["ffff::/16", "255.0.0.0/8"], "[255.0.0.0/8, ffff::/16]"),
            (&["192.0.2.7/32"], "[192.0.2.7]"),
        ] {
            assert_eq!(merged(texts), expected, "{texts:?}");
        }
    }

    #[test]
    fn a_range_is_reversed_or_crosses_families_never() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(AddressRange::new(ip("10.0.0.2"), ip("10.0.0.1")), None);
        assert_eq!(AddressRange::new(ip("10.0.0.2"), ip("::1")), None);
        assert_eq!(AddressRange::single(ip("255.255.255.255")).next(), None);
    }

    proptest! {
        #[test]
        fn merging_changes_no_addresss_membership_and_leaves_gaps_between(
            ranges in proptest::collection::vec((0_u32..600, 0_u32..40), 0..40), base in prop_oneof![Just(0), Just(u32::MAX - 640)],
        ) {
            let ip = |bits: u32| IpAddr::V4(bits.into());
            let ranges: Vec<AddressRange> = ranges.into_iter()
                .map(|(first, size)| AddressRange::new(ip(base + first), ip(base + first + size)).unwrap()).collect();
            let before: BTreeSet<u32> = (base..=base + 640).filter(|bits| ranges.iter().any(|range| range.contains(ip(*bits)))).collect();
            let merged = AddressRange::merged(ranges);
            let after: BTreeSet<u32> = (base..=base + 640).filter(|bits| merged.iter().any(|range| range.contains(ip(*bits)))).collect();
            prop_assert_eq!(&before, &after);
            prop_assert!(merged.windows(2).all(|pair| pair[0].next().is_some_and(|next| next < pair[1].first())));
            let by_cidrs: Vec<AddressRange> = merged.iter().flat_map(AddressRange::cidrs).map(AddressRange::from).collect();
            prop_assert_eq!(AddressRange::merged(by_cidrs), merged);
        }
    }
}
