//! A conflict in one family: the other's rules come into force, stay so, and are repaired.

use super::*;
use crate::backend::Object;
use crate::backend::nftables::fake::Kernel;
use crate::backend::nftables::{Owner, stands};
use crate::net::ChainName;
use crate::rules::tests::policy;
use crate::rules::{Layout, TableId, compile};

fn desired(layout: Layout) -> Ruleset {
    compile(&policy(&["10.0.0.0/8", "fd00::/8"], ""), layout)
}

fn pass(kernel: &Kernel, desired: &Ruleset) -> Result<Outcome, ReconcileError> {
    reconcile(&mut kernel.backend(), desired, &ReconcileOptions::default())
}

/// A kernel in which others have switched a family's nat table off.
fn dormant(family: Family) -> Kernel {
    let kernel = Kernel::default();
    pass(&kernel, &Ruleset { chain: "OTHER".parse().unwrap(), ..desired(Layout::IptablesNat) }).unwrap();
    kernel.get().state.tables.iter_mut().find(|table| table.id.family == family).unwrap().dormant = true;
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
        let kernel = dormant(family);
        let stays = kernel.get().state.table(conflicting).cloned();
        kernel.get().state.tables.retain(|table| table.id != free);
        for what in ["comes into force", "is repaired"] {
            let error = pass(&kernel, &desired(Layout::IptablesNat)).unwrap_err();
            let partial = error.partial().expect("a conflict");
            let [conflict] = partial.conflicts.as_slice() else { panic!("{what}: {partial:?}") };
            assert_eq!((conflict.family(), conflict.is_of_the_layout()), (family, true), "{what}");
            assert_eq!(partial.others, [other], "{what}");
            assert!(!partial.outcome.changes.is_empty(), "{what}");
            assert!(partial.outcome.changes.iter().all(|change| change.family == other), "{what}");
            let message = error.to_string();
            assert!(message.contains(&format!("table {conflicting} is switched off")), "{message}");
            assert!(message.ends_with(&format!("; {} is not affected", other.human())), "{message}");
            assert!(stands(other, &kernel.get().state), "{what}");
            assert_eq!(kernel.get().state.table(conflicting).cloned(), stays, "{what}");
            assert!(error.is_of_the_candidate() && !error.is_transient());
            // Another process undoes the rules of the family without a conflict.
            kernel.get().state.tables.retain(|table| table.id != free);
        }
        // Once it is switched on again, all is as desired.
        kernel.get().state.tables[0].dormant = false;
        let outcome = pass(&kernel, &desired(Layout::IptablesNat)).unwrap();
        assert!(Family::ALL.iter().all(|family| stands(*family, &kernel.get().state)), "{outcome:?}");
    }
}

#[test]
fn a_preview_tells_the_conflict_and_what_would_be_done_to_the_other_family_and_writes_nothing() {
    let kernel = dormant(Family::Ipv6);
    let commits = kernel.get().commits;
    kernel.get().state.tables.retain(|table| table.id.family == Family::Ipv6);
    let options = ReconcileOptions::default();
    let error = preview(&mut kernel.backend(), &desired(Layout::IptablesNat), &options).unwrap_err();
    let planned = &error.partial().expect("a conflict").outcome.changes;
    assert!(!planned.is_empty() && planned.iter().all(|change| change.family == Family::Ipv4));
    assert_eq!(kernel.get().commits, commits);
}

#[test]
fn what_is_left_in_a_family_that_is_off_is_told_and_is_no_error_but_for_a_cleanup() {
    let native = Layout::OwnTable(crate::rules::Protection::OwnerPersist);
    let kernel = Kernel::default();
    pass(&kernel, &desired(native)).unwrap();
    let table = TableId::own(Family::Ipv6);
    kernel.get().state.tables.iter_mut().filter(|found| found.id == table).for_each(|found| {
        found.owner = Some(Owner::Other(7));
    });
    let mut only_ipv4 = desired(native);
    only_ipv4.tables.truncate(1);
    let outcome = pass(&kernel, &only_ipv4).unwrap();
    let owned: Vec<_> = outcome.leftovers.iter().map(Conflict::owned_by_another).collect();
    assert_eq!(owned, [Some(table)]);
    let worries: Vec<String> = outcome.worries().collect();
    assert_eq!(worries.len(), 1);
    assert!(worries[0].starts_with("IPv6 is off, but what is left of the agent's rules cannot be removed: table ip6 "));

    let error = pass(&kernel, &Ruleset::nothing(ChainName::default())).unwrap_err();
    assert!(error.is_transient() && !error.is_of_the_candidate());
    assert_eq!(
        (error.owned_by_another(), error.partial().map(|partial| partial.conflicts.len())),
        (Some(table), Some(1))
    );
    assert!(error.to_string().ends_with("or let it do the change"), "nothing shall be there of IPv4: {error}");
    let left: Vec<TableId> = kernel.get().state.tables.iter().map(|table| table.id).collect();
    assert_eq!(left, [table], "what can go is gone");
}

#[test]
fn an_outcome_says_what_was_overcome_what_is_undone_and_what_is_to_be_known() {
    let nothing = Outcome::default();
    let none = Vec::<String>::new();
    assert_eq!(nothing.mishaps().chain(nothing.left_undone()).chain(nothing.worries()).collect::<Vec<_>>(), none);
    let text = "- ip nat chain OLD".to_owned();
    let outcome = Outcome {
        restarts: 3,
        failures: vec!["could not change the rules: one".to_owned(), "could not change the rules: two".to_owned()],
        in_use: vec![ChangeLine { family: Family::Ipv4, text, affects_packets: true, object: Object::Rule }],
        overlaps: vec!["chain c of table inet t translates".to_owned(), "ip6tables-legacy has a nat table".to_owned()],
        leftovers: vec![Conflict::owned(TableId::own(Family::Ipv6), "table ip6 belongs to another".to_owned())],
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
