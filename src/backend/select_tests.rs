//! Which candidate is selected on which kernel.

use nix::errno::Errno;

use super::*;
use crate::backend::nftables::fake::{Kernel, Memory, Trouble};
use crate::backend::nftables::{Action, Change, ObservedTable, stands};
use crate::backend::{BackendError, ErrorKind, WatchRules};
use crate::net::Family;
use crate::rules::tests::policy;
use crate::rules::{TableId, TableName, compile};

/// A kernel that refuses some changes.
fn kernel_that_refuses(refuses: fn(&Change) -> bool) -> Kernel {
    Memory { refuses: Some(refuses), ..Memory::default() }.into()
}

fn selection(kernel: &Kernel, option: BackendOption, protect: Protect) -> Selection {
    Selection::new(kernel.backends(), option, protect, &rules)
}

fn pass(selection: &mut Selection, compile: Compile<'_>) -> Result<Selected<Outcome>, SelectError> {
    selection.reconcile(&ReconcileOptions::default(), compile)
}

fn first_pass(kernel: &Kernel, option: BackendOption, protect: Protect) -> Result<Selected<Outcome>, SelectError> {
    pass(&mut selection(kernel, option, protect), &rules)
}

fn is_for_iptables(change: &Change) -> bool {
    change.table.name == TableName::Nat && matches!(change.action, Action::Append { .. })
}

fn is_protected(change: &Change) -> bool {
    matches!(change.action, Action::CreateTable { protection: Protection::OwnerPersist })
}

fn rules(layout: Layout) -> Ruleset {
    compile(&policy(&["10.0.0.0/8", "fd00::/8"], ""), layout)
}

#[test]
fn the_first_candidate_that_the_kernel_takes_is_chosen_and_the_refused_ones_are_told() {
    let protected = Layout::OwnTable(Protection::OwnerPersist);
    let open = Layout::OwnTable(Protection::Off);
    for (refuses, option, protect, chosen, refused) in [
        ((|_| false) as fn(&Change) -> bool, BackendOption::Auto, Protect::Auto, Layout::IptablesNat, &[][..]),
        (is_for_iptables, BackendOption::Auto, Protect::Auto, protected, &["not nft-compat: "]),
        (is_for_iptables, BackendOption::Auto, Protect::Off, open, &["not nft-compat: "]),
        (is_protected, BackendOption::Nft, Protect::Auto, open, &["not nft with protected tables: "]),
        (
            |change| is_for_iptables(change) || is_protected(change),
            BackendOption::Auto,
            Protect::Auto,
            open,
            &["not nft-compat: ", "not nft with protected tables: "],
        ),
    ] {
        let kernel = kernel_that_refuses(refuses);
        let mut selection = selection(&kernel, option, protect);
        let preview = Selection::new(kernel.backends(), option, protect, &rules)
            .preview(&ReconcileOptions::default(), &rules)
            .unwrap();
        let selected = pass(&mut selection, &rules).unwrap();
        assert_eq!((preview.layout, selected.layout), (chosen, chosen));
        let told: Vec<String> = selected.refused.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), refused.len(), "{told:?}");
        assert!(told.iter().zip(refused).all(|(told, expected)| told.starts_with(expected)), "{told:?}");

        // A refused candidate is not tried again, and rules that are in force are not sent again.
        let sent = kernel.get().sent;
        kernel.get().state.tables.clear();
        kernel.get().changed();
        selection.renew(&rules);
        assert_eq!(pass(&mut selection, &rules).unwrap().refused.len(), 0);
        assert_eq!(kernel.get().sent, sent + 1);
        pass(&mut selection, &rules).unwrap();
        assert_eq!(kernel.get().sent, sent + 1);
    }
}

#[test]
fn a_candidate_that_was_refused_once_and_then_taken_stays() {
    let kernel = kernel_that_refuses(is_for_iptables);
    kernel.get().forgives = Some(1);
    let selected = first_pass(&kernel, BackendOption::Auto, Protect::Auto).unwrap();
    assert_eq!((selected.layout, selected.refused.len(), kernel.get().sent), (Layout::IptablesNat, 0, 2));
}

#[test]
fn after_all_candidates_were_refused_the_next_pass_begins_with_the_first_again() {
    let kernel = kernel_that_refuses(|_| true);
    let mut selection = selection(&kernel, BackendOption::Auto, Protect::Auto);
    let error = pass(&mut selection, &rules).unwrap_err();
    assert!(matches!(&error, SelectError::Nothing(refused) if refused.len() == 3) && !error.is_transient(), "{error}");
    // Its modules have been loaded.
    kernel.get().refuses = None;
    assert_eq!(pass(&mut selection, &rules).unwrap().layout, Layout::IptablesNat);
}

#[test]
fn a_passing_want_of_memory_is_no_refusal_of_the_layout() {
    for errno in [Errno::ENOMEM, Errno::EINTR, Errno::EBUSY] {
        let kernel = kernel_that_refuses(|_| true);
        kernel.get().refusal = Some(errno);
        let error = first_pass(&kernel, BackendOption::Auto, Protect::Auto).unwrap_err();
        assert!(matches!(error, SelectError::Reconcile(_)) && error.is_transient(), "{error}");
        assert_eq!(kernel.get().sent, 2);
    }
}

#[test]
fn a_kernel_that_takes_nothing_is_an_error_that_says_what_it_said_of_each() {
    let error = first_pass(&kernel_that_refuses(|_| true), BackendOption::Auto, Protect::Auto).unwrap_err();
    let message = error.to_string();
    for said in
        ["not nft-compat: ", "not nft with protected tables: ", "not nft: ", "No such file or directory", "xt_addrtype"]
    {
        assert!(message.contains(said), "{said:?} is missing in {message:?}");
    }
}

#[test]
fn what_was_asked_for_and_is_refused_keeps_its_own_error() {
    let kernel = kernel_that_refuses(|_| true);
    for (option, protect) in [(BackendOption::NftCompat, Protect::Auto), (BackendOption::Nft, Protect::On)] {
        let error = first_pass(&kernel, option, protect).unwrap_err();
        assert!(
            matches!(&error, SelectError::Reconcile(ReconcileError::Backend(error)) if error.is_unsupported()),
            "{error}"
        );
    }
}

#[test]
fn a_missing_privilege_is_no_reason_to_try_another_layout() {
    let troubles = [(false, Trouble::Refused(None, Errno::EPERM))].into();
    let kernel = Kernel::from(Memory { troubles, ..Memory::default() });
    let error = first_pass(&kernel, BackendOption::Auto, Protect::Auto).unwrap_err();
    assert!(matches!(error, SelectError::Reconcile(ReconcileError::Backend(error)) if error.is_denied()));
    assert_eq!(kernel.get().sent, 1);
}

/// A kernel that lacks what a backend works with.
fn missing() -> Result<Box<dyn Reconciler>, BackendError> {
    let source = "Protocol not supported".into();
    Err(BackendError { kind: ErrorKind::Unsupported, doing: "reach nf_tables".to_owned(), source })
}

fn out_of_files() -> Result<Box<dyn Reconciler>, BackendError> {
    let source = "Too many open files".into();
    Err(BackendError { kind: ErrorKind::Transient, doing: "reach nf_tables".to_owned(), source })
}

#[test]
fn a_backend_that_is_missing_refuses_its_candidates_and_the_error_names_each() {
    let mut selection = Selection::new(Backends::unopenable(missing), BackendOption::Auto, Protect::Auto, &rules);
    for _ in 0..2 {
        let error = pass(&mut selection, &rules).unwrap_err();
        assert!(matches!(&error, SelectError::Nothing(refused) if refused.len() == 3), "{error}");
        let message = error.to_string();
        for said in ["not nft-compat: ", "not nft with protected tables: ", "not nft: ", "could not reach nf_tables"] {
            assert!(message.contains(said), "{said:?} is missing in {message:?}");
        }
    }
    assert!(!selection.is_current(Token::default()) && !selection.has_long_lists());
    assert!(selection.watch(WatchRules::Notify).unwrap_err().is_unsupported());
}

#[test]
fn a_backend_that_cannot_be_opened_for_now_is_opened_by_a_later_pass() {
    let mut selection = Selection::new(Backends::unopenable(out_of_files), BackendOption::Auto, Protect::Auto, &rules);
    let error = pass(&mut selection, &rules).unwrap_err();
    assert!(error.is_transient() && error.is_of_looking() && error.partial().is_none(), "{error}");
}

/// So many prefix lengths that the ranges are in an interval set, which is added before the rules in a commit of its own.
const SEVEN_LENGTHS: [&str; 14] = [
    "10.0.0.0/8",
    "20.0.0.0/9",
    "30.0.0.0/10",
    "40.0.0.0/11",
    "50.0.0.0/12",
    "60.0.0.0/13",
    "70.0.0.0/14",
    "fd00::/8",
    "fc80::/9",
    "fc40::/10",
    "fc20::/11",
    "fc10::/12",
    "fc08::/13",
    "fc04::/14",
];

#[test]
fn a_table_that_was_begun_and_whose_rules_the_kernel_then_refuses_goes_again() {
    let long_list = |layout| compile(&policy(&SEVEN_LENGTHS, ""), layout);
    for (option, protect) in [
        (BackendOption::Nft, Protect::On),
        (BackendOption::Nft, Protect::Off),
        (BackendOption::Nft, Protect::Auto),
        (BackendOption::Auto, Protect::Auto),
    ] {
        let refuses: fn(&Change) -> bool = |change| matches!(change.action, Action::Append { .. });
        let kernel = kernel_that_refuses(refuses);
        let mut selection = Selection::new(kernel.backends(), option, protect, &long_list);
        for attempt in 1..=2 {
            let error = pass(&mut selection, &long_list).unwrap_err();
            assert!(error.to_string().contains("unknown expression"), "{error}");
            let memory = kernel.get();
            assert!(memory.commits >= 2 * attempt, "begun, and taken back: {}", memory.commits);
            assert_eq!(memory.state.tables, [], "{option:?} {protect:?}");
        }
    }
}

#[test]
fn rules_that_are_in_force_stay_when_the_kernel_refuses_what_shall_replace_them() {
    let kernel = Kernel::default();
    let mut selection = selection(&kernel, BackendOption::Nft, Protect::Off);
    pass(&mut selection, &rules).unwrap();
    let before = kernel.get().state.tables.clone();
    kernel.get().refuses = Some(|change| matches!(change.action, Action::AddElements { .. }));
    let others = |layout| compile(&policy(&["20.0.0.0/8", "fc00::/8"], ""), layout);
    selection.renew(&others);
    pass(&mut selection, &others).unwrap_err();
    assert_eq!(kernel.get().state.tables, before);
}

/// A kernel in which others have iptables' table in a state in which ours cannot stand in it.
fn kernel_with_conflicts(families: &[Family]) -> Kernel {
    let kernel = Kernel::default();
    first_pass(&kernel, BackendOption::NftCompat, Protect::Auto).unwrap();
    kernel.get().state.tables.iter_mut().filter(|table| families.contains(&table.id.family)).for_each(|table| {
        table.dormant = true;
    });
    kernel
}

fn tables_with_rules(kernel: &Kernel) -> Vec<TableId> {
    let has_rules = |table: &&ObservedTable| table.chains.iter().any(|chain| !chain.rules.is_empty());
    kernel.get().state.tables.iter().filter(has_rules).map(|table| table.id).collect()
}

#[test]
fn where_iptables_table_is_in_a_state_in_which_ours_cannot_stand_in_it_tables_of_our_own_are_taken() {
    for families in [&[Family::Ipv4][..], &[Family::Ipv6], &Family::ALL] {
        let kernel = kernel_with_conflicts(families);
        let mut selection = selection(&kernel, BackendOption::Auto, Protect::Off);
        let commits = kernel.get().commits;
        let preview = Selection::new(kernel.backends(), BackendOption::Auto, Protect::Off, &rules)
            .preview(&ReconcileOptions::default(), &rules)
            .unwrap();
        assert_eq!((preview.layout, kernel.get().commits), (Layout::OwnTable(Protection::Off), commits));
        let selected = pass(&mut selection, &rules).unwrap();
        assert_eq!(selected.layout, Layout::OwnTable(Protection::Off));
        let told: Vec<String> = selected.refused.iter().map(ToString::to_string).collect();
        assert!(matches!(told.as_slice(), [told] if told.starts_with("not nft-compat: table ip")), "{told:?}");
        assert!(told[0].contains("switched off") && !told[0].contains("not affected"), "{told:?}");
        // Never both: what stood there without effect was removed.
        assert_eq!(tables_with_rules(&kernel), Family::ALL.map(TableId::own));
        // The tables of our own are added and the other rules removed; nothing was put in the wrong place before.
        assert_eq!(kernel.get().commits, commits + 2);
        let settled = pass(&mut selection, &rules).unwrap();
        assert!(settled.refused.is_empty() && settled.result.changes.is_empty());
    }
}

#[test]
fn an_agent_whose_rules_lose_their_effect_in_iptables_table_moves_them() {
    let kernel = Kernel::default();
    let mut selection = selection(&kernel, BackendOption::Auto, Protect::Off);
    assert_eq!(pass(&mut selection, &rules).unwrap().layout, Layout::IptablesNat);
    kernel.get().state.tables[1].dormant = true;
    kernel.get().changed();
    assert_eq!(pass(&mut selection, &rules).unwrap().layout, Layout::OwnTable(Protection::Off));
    assert_eq!(tables_with_rules(&kernel), Family::ALL.map(TableId::own));
}

#[test]
fn a_conflict_where_no_other_candidate_can_be_is_an_error_and_the_other_family_is_in_force() {
    for (option, refuses) in [
        (BackendOption::NftCompat, (|_| false) as fn(&Change) -> bool),
        (BackendOption::Auto, |change| {
            change.table.name == TableName::Own && matches!(change.action, Action::Append { .. })
        }),
    ] {
        let kernel = kernel_with_conflicts(&[Family::Ipv6]);
        kernel.get().refuses = Some(refuses);
        let mut selection = selection(&kernel, option, Protect::Auto);
        for damage in [|_: &mut Memory| (), |kernel: &mut Memory| drop(kernel.state.tables.remove(0))] {
            damage(&mut kernel.get());
            kernel.get().changed();
            let error = pass(&mut selection, &rules).unwrap_err();
            assert!(error.to_string().contains("table ip6 nat is switched off"), "{error}");
            let partial = error.partial().expect("a conflict");
            assert_eq!(partial.others, [Family::Ipv4], "{option:?}");
            assert!(stands(Family::Ipv4, &kernel.get().state), "{option:?}");
        }
        kernel.get().state.tables[1].dormant = false;
        kernel.get().changed();
        assert_eq!(pass(&mut selection, &rules).unwrap().layout, Layout::IptablesNat);
    }
}

#[test]
fn protection_that_is_asked_for_is_given_or_is_an_error_whichever_backend_may_be_chosen() {
    let protected = Layout::OwnTable(Protection::OwnerPersist);
    for option in [BackendOption::Auto, BackendOption::Nft] {
        let selected = first_pass(&Kernel::default(), option, Protect::On).unwrap();
        assert_eq!((selected.layout, selected.refused.len()), (protected, 0));
        let kernel = kernel_that_refuses(is_protected);
        let error = first_pass(&kernel, option, Protect::On).unwrap_err().to_string();
        assert!(error.contains("Linux 6.9") && error.contains("--protect=auto"), "{error}");
        assert_eq!(kernel.get().state.tables, []);
    }
}
