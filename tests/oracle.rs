//! iptables' own tools as the judge: what they say about our rules, and about the golden text of the same case.

#[cfg(test)]
mod support;

use ip_masq_agent::net::Family;

use support::cases::Case;
use support::netns::Netns;
use support::tables::{FAMILIES, chains_and_rules, on_rule, program, restore, saved, without_counters};

#[test]
fn iptables_prints_our_rules_as_it_prints_the_golden_text() {
    for case in Case::all() {
        let Some((ours, theirs)) = applied_and_restored(&case) else { return };
        for family in FAMILIES {
            let (printed, golden) = (saved(&ours, family), golden(&case, family));
            assert_eq!(printed, saved(&theirs, family), "{case} {family:?}");
            assert_eq!(chains_and_rules(&printed), chains_and_rules(&without_counters(&golden)), "{case} {family:?}");
        }
    }
}

#[test]
fn iptables_lists_finds_and_deletes_each_of_our_rules() {
    for case in Case::all() {
        let Some((ours, _)) = applied_and_restored(&case) else { return };
        for family in FAMILIES {
            let rules: Vec<String> = saved(&ours, family).into_iter().filter(|line| line.starts_with("-A ")).collect();
            let listing = ours.try_run(&program(family, ""), &["-t", "nat", "-S"], "").stdout();
            for rule in &rules {
                assert!(listing.contains(rule.as_str()), "{case}: {listing}");
                on_rule(&ours, family, "-C", rule).ended_with(0);
            }
            if let Some(chain) = rules.iter().find_map(|rule| rule.rsplit_once(" -j ")).map(|(_, chain)| chain) {
                let listing = ours.run(&format!("{} -t nat -n -L {chain}", program(family, "")));
                // A line for the chain, one for the columns, one for each rule.
                let of_chain = rules.iter().filter(|rule| rule.starts_with(&format!("-A {chain} "))).count();
                assert_eq!(listing.lines().count(), 2 + of_chain, "{case}: {listing}");
            }
            for rule in &rules {
                on_rule(&ours, family, "-D", rule).ended_with(0);
            }
            let left = saved(&ours, family).into_iter().find(|line| line.starts_with("-A "));
            assert_eq!(left, None, "{case} {family:?}");
        }
    }
}

/// A namespace in which the agent has applied a case, and one into which iptables has restored its golden text.
fn applied_and_restored(case: &Case) -> Option<(Netns, Netns)> {
    let (ours, theirs) = (Netns::new("ours")?, Netns::new("theirs")?);
    case.run(&ours, &["apply", "--backend=nft-compat"]);
    for family in FAMILIES {
        restore(&theirs, family, &golden(case, family));
    }
    Some((ours, theirs))
}

/// The golden text of a family; it is empty where the family has no rules.
fn golden(case: &Case, family: Family) -> String {
    let format = match family {
        Family::Ipv4 => "iptables",
        Family::Ipv6 => "ip6tables",
    };
    case.golden(format).1
}
