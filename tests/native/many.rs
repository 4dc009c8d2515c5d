//! A hundred thousand ranges, in either family.

use std::fmt::Write as _;

use ip_masq_agent::net::Family;

use crate::support::generation::generation;
use crate::support::netns::Netns;
use crate::support::tables::FAMILIES;

const COUNT: u32 = 100_000;
const APPLY: &str = "apply --backend nft --protect off --enable-ipv6";

#[test]
fn a_hundred_thousand_ranges_are_kept_and_changed_one_by_one() {
    for family in FAMILIES {
        for layout in [Layout::TwoLengths, Layout::ManyLengths] {
            let Some(netns) = Netns::new("many") else { return };
            let config = |numbers: &mut dyn Iterator<Item = u32>| config(family, layout, numbers);
            let context = format!("{family:?} {layout:?}");
            let before = generation(&netns);
            netns.agent(APPLY, &config(&mut (0..COUNT))).ended_with(0);
            let transactions = generation(&netns) - before;
            // The table, and 4,096 elements at a time.
            assert_eq!(transactions, 1 + COUNT.div_ceil(4_096), "{context}");
            assert_eq!(counted(&netns, family), COUNT, "{context}");

            let added = netns.agent(APPLY, &config(&mut (0..=COUNT))).stdout();
            assert_eq!((added.lines().count(), &added[..2]), (1, "+ "), "{context}: {added}");
            assert_eq!(counted(&netns, family), COUNT + 1, "{context}");

            let taken = netns.agent(APPLY, &config(&mut (0..=COUNT).filter(|number| *number != 77_777))).stdout();
            assert_eq!((taken.lines().count(), &taken[..2]), (1, "- "), "{context}: {taken}");
            assert_eq!(counted(&netns, family), COUNT, "{context}");
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Layout {
    /// Hash sets.
    TwoLengths,
    /// So many prefix lengths that a short list would go into an interval set.
    ManyLengths,
}

/// A configuration of ranges of which none touches another.
fn config(family: Family, layout: Layout, numbers: &mut dyn Iterator<Item = u32>) -> String {
    let mut text = "cidrLimit: 200000\nmasqLinkLocal: true\nmasqLinkLocalIPv6: true\nnonMasqueradeCIDRs:\n".to_owned();
    for number in numbers {
        let len = match layout {
            Layout::TwoLengths => 28 + u8::try_from(number % 2).unwrap(),
            Layout::ManyLengths => 24 + u8::try_from(number % 9).unwrap(),
        };
        // Each has 512 addresses for itself; in IPv6 as many /32.
        let bits = number << 9 | 0x4000_0000;
        let _ = match family {
            Family::Ipv4 => writeln!(text, "- {}/{len}", std::net::Ipv4Addr::from_bits(bits)),
            Family::Ipv6 => writeln!(text, "- {}/{len}", std::net::Ipv6Addr::from_bits(u128::from(bits) << 96)),
        };
    }
    text
}

/// How many elements nft counts in the sets of a family.
fn counted(netns: &Netns, family: Family) -> u32 {
    let listed = netns.run(&format!("nft list table {family} ip-masq-agent"));
    let of_set = |text: &str| {
        let (elements, _) = text.split_once('}').unwrap();
        u32::try_from(elements.split(',').count()).unwrap()
    };
    listed.split("elements = {").skip(1).map(of_set).sum()
}
