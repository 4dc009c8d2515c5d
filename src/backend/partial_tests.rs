//! A conflict in one family: the other's rules come into force, stay so, and are repaired.

use super::*;
use crate::backend::fake::Memory;
use crate::backend::nftables::TableFamily;
use crate::backend::nftables::{Change, NatChain, NatOverlap, Owner};
use crate::net::ChainName;
use crate::rules::tests::policy;
use crate::rules::{Layout, TableId, compile};

fn desired(layout: Layout) -> Ruleset {
    compile(&policy(&["10.0.0.0/8", "fd00::/8"], ""), layout)
}

/// A kernel in which others have switched a family's nat table off.
fn dormant(family: Family) -> Memory {
    let mut kernel = Memory::default();
    reconcile(
        &mut kernel,
        &Ruleset { chain: "OTHER".parse().unwrap(), ..desired(Layout::IptablesNat) },
        &mut Cache::default(),
    )
    .unwrap();
    let table = kernel.state.tables.iter_mut().find(|table| table.id.family == family).unwrap();
    table.dormant = true;
    kernel
}

fn others(family: Family) -> Family {
    if family == Family::Ipv4 { Family::Ipv6 } else { Family::Ipv4 }
}

#[test]
fn the_other_family_is_brought_into_force_and_repaired_and_the_error_names_the_family_in_conflict() {
    for family in Family::ALL {
        let other = others(family);
        let (conflicting, free) = (TableId::nat(family), TableId::nat(other));
        let mut kernel = dormant(family);
        let stays = kernel.state.table(conflicting).cloned();
        kernel.state.tables.retain(|table| table.id != free);
        for what in ["comes into force", "is repaired"] {
            let error = reconcile(&mut kernel, &desired(Layout::IptablesNat), &mut Cache::default()).unwrap_err();
            let partial = error.partial().expect("a conflict");
            assert_eq!(partial.conflicts, [Conflict::Dormant(conflicting)], "{what}");
            assert_eq!(partial.others, [other], "{what}");
            assert!(!partial.outcome.plan.is_empty(), "{what}");
            assert!(partial.outcome.plan.changes.iter().all(|change| change.table == free), "{what}");
            let message = error.to_string();
            assert!(message.contains(&format!("table {conflicting} is switched off")), "{message}");
            assert!(message.ends_with(&format!("; {} is not affected", other.human())), "{message}");
            assert!(stands(other, &kernel.state), "{what}");
            assert_eq!(kernel.state.table(conflicting).cloned(), stays, "{what}");
            assert!(error.is_of_the_layout() && !error.is_transient());
            // Somebody undoes the rules of the family without a conflict.
            kernel.state.tables.retain(|table| table.id != free);
        }
        // Once it is switched on again, all is as it shall be.
        kernel.state.tables[0].dormant = false;
        let outcome = reconcile(&mut kernel, &desired(Layout::IptablesNat), &mut Cache::default()).unwrap();
        assert!(Family::ALL.iter().all(|family| stands(*family, &kernel.state)), "{outcome:?}");
    }
}

#[test]
fn a_preview_tells_the_conflict_and_what_would_be_done_to_the_other_family_and_writes_nothing() {
    let mut kernel = dormant(Family::Ipv6);
    let commits = kernel.commits;
    kernel.state.tables.retain(|table| table.id.family == Family::Ipv6);
    let error = preview(&mut kernel, &desired(Layout::IptablesNat)).unwrap_err();
    let planned = &error.partial().expect("a conflict").outcome.plan;
    assert!(!planned.is_empty() && planned.changes.iter().all(|change| change.table.family == Family::Ipv4));
    assert_eq!(kernel.commits, commits);
}

#[test]
fn what_is_left_in_a_family_that_is_off_is_told_and_is_no_error_but_for_a_cleanup() {
    let native = Layout::OwnTable(crate::rules::Protection::OwnerPersist);
    let mut kernel = Memory::default();
    reconcile(&mut kernel, &desired(native), &mut Cache::default()).unwrap();
    let table = TableId::own(Family::Ipv6);
    kernel.state.tables.iter_mut().filter(|found| found.id == table).for_each(|found| {
        found.owner = Some(Owner::Other(7));
    });
    let mut only_ipv4 = desired(native);
    only_ipv4.tables.truncate(1);
    let outcome = reconcile(&mut kernel, &only_ipv4, &mut Cache::default()).unwrap();
    assert_eq!(outcome.leftovers, [Conflict::Owned(table)]);
    let worries: Vec<String> = outcome.worries().collect();
    assert_eq!(worries.len(), 1);
    assert!(worries[0].starts_with("IPv6 is off, but what is left of the agent's rules cannot be removed: table ip6 "));

    let error = reconcile(&mut kernel, &Ruleset::nothing(ChainName::default()), &mut Cache::default()).unwrap_err();
    assert!(error.is_transient() && !error.is_of_the_layout());
    assert_eq!(error.partial().expect("a conflict").conflicts, [Conflict::Owned(table)]);
    assert!(error.to_string().ends_with("or let it do the change"), "nothing shall be there of IPv4: {error}");
    let left: Vec<TableId> = kernel.state.tables.iter().map(|table| table.id).collect();
    assert_eq!(left, [table], "what can go is gone");
}

#[test]
fn an_outcome_says_what_was_overcome_what_is_undone_and_what_is_to_be_known() {
    let nothing = Outcome::default();
    let none = Vec::<String>::new();
    assert_eq!(nothing.mishaps().chain(nothing.left_undone()).chain(nothing.worries()).collect::<Vec<_>>(), none);
    let table = TableId::nat(Family::Ipv4);
    let nat_chain = NatChain {
        family: TableFamily::Inet,
        table: "t".to_owned(),
        chain: "c".to_owned(),
        priority: 200,
        drops: false,
    };
    let outcome = Outcome {
        restarts: 3,
        failures: vec!["could not change the rules: one".to_owned(), "could not change the rules: two".to_owned()],
        in_use: vec![Change { table, action: Action::DeleteChain { chain: "OLD".to_owned() } }],
        nat_overlaps: vec![NatOverlap::Translates { nat_chain, ours: 100 }, NatOverlap::Legacy(Family::Ipv6)],
        leftovers: vec![Conflict::Owned(TableId::own(Family::Ipv6))],
        ..Outcome::default()
    };
    let mishaps: Vec<String> = outcome.mishaps().collect();
    assert_eq!(mishaps.len(), 3);
    assert!(mishaps[0].contains("changed the rules 3 times"), "{mishaps:?}");
    assert!(
        mishaps[1].starts_with("could not change the rules: one; ") && mishaps[2].contains(": two; "),
        "{mishaps:?}"
    );
    assert_eq!(
        outcome.left_undone().collect::<Vec<_>>(),
        [
            "\"- ip nat chain OLD\" was left undone: a rule that is not ours still jumps to that chain, which is empty now"
        ]
    );
    let worries: Vec<String> = outcome.worries().collect();
    assert_eq!(worries.len(), 3);
    assert!(worries[0].starts_with("chain c of table inet t ") && worries[1].starts_with("ip6tables-legacy has a nat"));
    assert!(worries[2].starts_with("IPv6 is off"), "{worries:?}");
}
