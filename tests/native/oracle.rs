//! nft as the judge: what it makes of the golden text, and what it says of the tables that the agent wrote.

use crate::support::cases::Case;
use crate::support::generation::generation;
use crate::support::native::{listed, without_flags};
use crate::support::netns::Netns;

const OPEN: [&str; 3] = ["apply", "--backend=nft", "--protect=off"];
const PROTECTED: [&str; 3] = ["apply", "--backend=nft", "--protect=on"];

#[test]
fn nft_prints_our_tables_as_it_prints_those_of_the_golden_text() {
    for case in Case::all() {
        let Some((ours, theirs)) = applied_and_loaded(&case) else { return };
        assert_eq!(listed(&ours), listed(&theirs), "{case}");
        assert_eq!(without_flags(&listed(&theirs)), listed(&theirs), "{case}: nothing is protected");
        let Some(protected) = Netns::new("protected") else { return };
        case.run(&protected, &PROTECTED);
        assert_ne!(listed(&protected), listed(&theirs), "{case}: the flags are shown");
        assert_eq!(without_flags(&listed(&protected)), listed(&theirs), "{case}");
    }
}

#[test]
fn the_agent_takes_what_nft_loaded_for_its_own_and_changes_nothing() {
    for case in Case::all() {
        let Some((ours, theirs)) = applied_and_loaded(&case) else { return };
        for netns in [ours, theirs] {
            let before = generation(&netns);
            let said = case.run(&netns, &OPEN);
            assert_eq!((generation(&netns), said.stdout.as_str()), (before, ""), "{case}");
        }
    }
}

#[test]
fn a_second_apply_of_protected_tables_changes_nothing() {
    for case in Case::all() {
        let Some(netns) = Netns::new("protected") else { return };
        let before = generation(&netns);
        case.run(&netns, &PROTECTED);
        let after = before + transactions(&case);
        assert_eq!(generation(&netns), after, "{case}");
        case.run(&netns, &PROTECTED);
        assert_eq!(generation(&netns), after, "{case}");
    }
}

#[test]
fn what_nft_lists_it_can_load_again() {
    for case in Case::all() {
        let Some((ours, theirs)) = applied_and_loaded(&case) else { return };
        let before = listed(&ours);
        theirs.nft("flush ruleset");
        theirs.nft(&before);
        assert_eq!(listed(&theirs), before, "{case}");
    }
}

#[test]
fn iptables_works_on_beside_our_tables() {
    let Some(netns) = Netns::new("beside") else { return };
    let rule = "-A POSTROUTING -s 192.0.2.0/24 -j RETURN";
    for family in ["iptables-nft", "ip6tables-nft"] {
        let rule = if family == "iptables-nft" { rule } else { "-A POSTROUTING -s 2001:db8::/32 -j RETURN" };
        netns.run(&format!("{family} -t nat {rule}"));
        let before = netns.run(&format!("{family} -t nat -S"));
        netns.agent("apply --backend nft --enable-ipv6", "nonMasqueradeCIDRs: [10.0.0.0/8]\n").ended_with(0);
        assert_eq!(netns.run(&format!("{family} -t nat -S")), before);
        let saved = netns.run(&format!("{family}-save -t nat"));
        assert!(saved.contains(rule) && !saved.contains("incompatible"), "{saved}");
        netns.run(&format!("{family} -t nat -F"));
        assert!(listed(&netns).contains("masquerade"), "a flush by iptables passes our tables over");
    }
}

/// A namespace in which the agent has applied a case, and one into which nft has loaded its golden text.
fn applied_and_loaded(case: &Case) -> Option<(Netns, Netns)> {
    let (ours, theirs) = (Netns::new("ours")?, Netns::new("theirs")?);
    let before = generation(&ours);
    case.run(&ours, &OPEN);
    assert_eq!(generation(&ours), before + transactions(case), "{case}");
    theirs.nft(&case.golden("nft").1);
    Some((ours, theirs))
}

/// Both families are written in one transaction, but an interval set is filled in one before that of its rules.
fn transactions(case: &Case) -> u32 {
    if case.golden("nft").1.contains("flags interval") { 2 } else { 1 }
}
