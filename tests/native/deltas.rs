//! From one random list to another: the kernel holds exactly the new one, and was sent exactly the difference.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::support::generation::generation;
use crate::support::native::Tables;
use crate::support::netns::Netns;

const CASES: u32 = 96;
const APPLY: &str = "apply --backend nft --protect off --enable-ipv6";

#[test]
fn after_a_change_of_the_list_the_kernel_holds_the_new_one_and_was_sent_what_differs() {
    // Without a file of failed cases: the seed of a failure is printed.
    let mut runner =
        TestRunner::new(Config { cases: CASES, failure_persistence: None, max_shrink_iters: 60, ..Config::default() });
    runner.run(&(any_list(), any_list()), |(old, new)| check(&old, &new)).unwrap();
}

fn check(old: &str, new: &str) -> Result<(), TestCaseError> {
    let (Some(netns), Some(fresh)) = (Netns::new("changed"), Netns::new("fresh")) else { return Ok(()) };
    fresh.agent(APPLY, new).ended_with(0);
    let wanted = Tables::of(&fresh);
    netns.agent(APPLY, old).ended_with(0);
    let before = Tables::of(&netns);
    let plan = netns.agent(APPLY, new).stdout();
    prop_assert_eq!(&Tables::of(&netns), &wanted, "{}", plan);
    for family in ["ip", "ip6"] {
        if !plan.contains(&format!("- {family} ip-masq-agent all rules of chain ")) {
            // A set that is removed takes its elements along.
            let (before, after) = (before.of_family(family), wanted.of_family(family));
            let differing = before
                .elements()
                .symmetric_difference(&after.elements())
                .filter(|(set, _)| after.sets.contains_key(*set))
                .count();
            let sent: usize = plan.lines().map(|line| elements_of(line, family)).sum();
            prop_assert_eq!(sent, differing, "{}", plan);
        }
    }
    let settled = generation(&netns);
    prop_assert_eq!(netns.agent(APPLY, new).stdout(), "");
    prop_assert_eq!(generation(&netns), settled);
    Ok(())
}

/// How many elements a line of a plan adds to a set of a family, or takes from it:
/// `+ ip ip-masq-agent set exempt-8: 10.0.0.0, 11.0.0.0, … and 3 more`.
fn elements_of(line: &str, family: &str) -> usize {
    let of_sets = [format!("+ {family} ip-masq-agent set "), format!("- {family} ip-masq-agent set ")];
    let Some(set) = of_sets.iter().find_map(|start| line.strip_prefix(start.as_str())) else { return 0 };
    let Some((name, elements)) = set.split_once(": ") else { return 0 };
    // They hold what is in both lists, while the intervals around it change.
    if name.contains("-bridge-") {
        return 0;
    }
    let (shown, more) = match elements.split_once(", … and ") {
        Some((shown, more)) => (shown, more.strip_suffix(" more").unwrap().parse().unwrap()),
        None => (elements, 0),
    };
    shown.split(", ").count() + more
}

/// A configuration whose ranges lie so close together that they overlap, touch and contain each other, of few prefix
/// lengths or of many.
fn any_list() -> impl Strategy<Value = String> {
    let lengths = [&[8_u8, 24][..], &[16, 24, 32], &[8, 9, 10, 12, 15, 16, 20, 24, 30, 31, 32]];
    let lengths = proptest::sample::select(lengths.to_vec());
    // Now and then more than there is room for in a set that a short list made.
    let count = prop_oneof![6 => 0..12_usize, 2 => 12..60_usize, 1 => 60..200_usize];
    (lengths, count, any::<[bool; 2]>()).prop_flat_map(|(lengths, count, link_local)| {
        let range = (proptest::sample::select(lengths), any::<bool>(), 0..2_u32, 0..4_u32, 0..256_u32);
        proptest::collection::vec(range, count).prop_map(move |ranges| {
            let ranges: Vec<String> = ranges.into_iter().map(range_text).collect();
            format!(
                "cidrLimit: 1000\nnonMasqueradeCIDRs: [{}]\nmasqLinkLocal: {}\nmasqLinkLocalIPv6: {}\n",
                ranges.join(", "),
                link_local[0],
                link_local[1]
            )
        })
    })
}

fn range_text((len, v6, a, b, c): (u8, bool, u32, u32, u32)) -> String {
    // 10.0.0.0 or 11.0.0.0, of which few bits vary in each byte; at the end of the address space for IPv6.
    let bits = (10 + a) << 24 | b << 16 | ((b ^ c) % 4) << 8 | c;
    let masked = bits & (u32::MAX << (32 - u32::from(len)));
    if v6 {
        let bits = u128::from(masked | 0xf000_0000) << 96;
        format!("\"{}/{len}\"", std::net::Ipv6Addr::from_bits(bits))
    } else {
        format!("{}/{len}", std::net::Ipv4Addr::from_bits(masked))
    }
}
