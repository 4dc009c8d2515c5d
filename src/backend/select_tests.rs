//! Which layout is chosen on which kernel.

use nix::errno::Errno;

use super::*;
use crate::backend::BackendError;
use crate::backend::fake::Memory;
use crate::backend::nftables::tests::plans::standing;
use crate::backend::nftables::{Action, Cache, Change, Generation, Observed, ObservedTable, stands};
use crate::net::{ChainName, Family};
use crate::netlink::NetlinkError;
use crate::rules::tests::policy;
use crate::rules::{TableId, TableName, compile};

/// A kernel that refuses some changes, and otherwise holds the rules of the layout that it was sent.
struct Kernel {
    refuses: fn(&Change) -> bool,
    errno: Errno,
    /// After so many refusals it takes everything.
    forgives: usize,
    state: Observed,
    /// How many plans it was sent.
    sent: usize,
}

impl Kernel {
    fn that_refuses(refuses: fn(&Change) -> bool) -> Self {
        Self { refuses, errno: Errno::ENOENT, forgives: usize::MAX, state: Observed::default(), sent: 0 }
    }
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

impl Backend for Kernel {
    fn generation(&mut self) -> Result<Generation, BackendError> {
        Ok(self.state.generation)
    }

    fn observe(&mut self, _: &ChainName, _: &Cache) -> Result<Observed, BackendError> {
        Ok(self.state.clone())
    }

    fn is_owned_by_another(&mut self, _: TableId) -> Result<bool, BackendError> {
        Ok(false)
    }

    fn probe(&mut self, plan: &Plan) -> Result<(), BackendError> {
        self.sent += 1;
        let Some(change) = plan.changes.iter().find(|change| (self.refuses)(change)) else { return Ok(()) };
        let Some(left) = self.forgives.checked_sub(1) else { return Ok(()) };
        self.forgives = left;
        Err(match self.errno {
            Errno::EPERM => BackendError::Netlink { doing: "add a rule".to_owned(), source: NetlinkError::Denied },
            errno => {
                let source = NetlinkError::Rejected { change: Some(0), errno, text: None };
                BackendError::of_change(change, errno, source)
            }
        })
    }

    fn commit(&mut self, plan: &Plan, _: Generation) -> Result<(), BackendError> {
        self.probe(plan)?;
        let creates = |protection| {
            move |change: &Change| {
                change.table.name == TableName::Own && change.action == Action::CreateTable { protection }
            }
        };
        let layout = [Protection::Off, Protection::OwnerPersist]
            .into_iter()
            .find(|protection| plan.changes.iter().any(creates(*protection)))
            .map_or(Layout::IptablesNat, Layout::OwnTable);
        self.state = standing(&rules(layout));
        Ok(())
    }
}

#[test]
fn the_first_shape_that_the_kernel_takes_is_chosen_and_the_refused_ones_are_told() {
    let protected = Layout::OwnTable(Protection::OwnerPersist);
    let open = Layout::OwnTable(Protection::Off);
    for (refuses, wanted, protect, chosen, refused) in [
        ((|_| false) as fn(&Change) -> bool, Wanted::Auto, Protect::Auto, Layout::IptablesNat, &[][..]),
        (is_for_iptables, Wanted::Auto, Protect::Auto, protected, &["not nft-compat: "]),
        (is_for_iptables, Wanted::Auto, Protect::Off, open, &["not nft-compat: "]),
        (is_protected, Wanted::Nft, Protect::Auto, open, &["not nft with protected tables: "]),
        (
            |change| is_for_iptables(change) || is_protected(change),
            Wanted::Auto,
            Protect::Auto,
            open,
            &["not nft-compat: ", "not nft with protected tables: "],
        ),
    ] {
        let mut kernel = Kernel::that_refuses(refuses);
        let mut selection = Selection::new(wanted, protect, &rules);
        let preview = Selection::new(wanted, protect, &rules).preview(&mut kernel, &rules).unwrap();
        let selected = selection.reconcile(&mut kernel, &rules).unwrap();
        assert_eq!((preview.layout, selected.layout), (chosen, chosen));
        let told: Vec<String> = selected.refused.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), refused.len(), "{told:?}");
        assert!(told.iter().zip(refused).all(|(told, expected)| told.starts_with(expected)), "{told:?}");

        // What was refused once is not tried again, and what is in force is not sent again.
        let sent = kernel.sent;
        kernel.state = Observed::default();
        selection.renew(&rules);
        assert_eq!(selection.reconcile(&mut kernel, &rules).unwrap().refused.len(), 0);
        assert_eq!(kernel.sent, sent + 1);
        selection.reconcile(&mut kernel, &rules).unwrap();
        assert_eq!(kernel.sent, sent + 1);
    }
}

#[test]
fn a_shape_that_was_refused_once_and_then_taken_is_kept() {
    let mut kernel = Kernel { forgives: 1, ..Kernel::that_refuses(is_for_iptables) };
    let selected = Selection::new(Wanted::Auto, Protect::Auto, &rules).reconcile(&mut kernel, &rules).unwrap();
    assert_eq!((selected.layout, selected.refused.len(), kernel.sent), (Layout::IptablesNat, 0, 2));
}

#[test]
fn after_all_shapes_were_refused_the_next_pass_begins_with_the_first_again() {
    let mut kernel = Kernel::that_refuses(|_| true);
    let mut selection = Selection::new(Wanted::Auto, Protect::Auto, &rules);
    let error = selection.reconcile(&mut kernel, &rules).unwrap_err();
    assert!(matches!(&error, SelectError::Nothing(refused) if refused.len() == 3) && !error.is_transient(), "{error}");
    // Its modules have come.
    kernel.refuses = |_| false;
    assert_eq!(selection.reconcile(&mut kernel, &rules).unwrap().layout, Layout::IptablesNat);
}

#[test]
fn a_passing_want_of_memory_is_no_refusal_of_the_layout() {
    for errno in [Errno::ENOMEM, Errno::EINTR, Errno::EBUSY] {
        let mut kernel = Kernel { errno, ..Kernel::that_refuses(|_| true) };
        let error = Selection::new(Wanted::Auto, Protect::Auto, &rules).reconcile(&mut kernel, &rules).unwrap_err();
        assert!(matches!(error, SelectError::Reconcile(_)) && error.is_transient(), "{error}");
        assert_eq!(kernel.sent, 2);
    }
}

#[test]
fn a_kernel_that_takes_nothing_is_an_error_that_says_what_it_said_of_each() {
    let mut kernel = Kernel::that_refuses(|_| true);
    let error = Selection::new(Wanted::Auto, Protect::Auto, &rules).reconcile(&mut kernel, &rules).unwrap_err();
    let message = error.to_string();
    for said in
        ["not nft-compat: ", "not nft with protected tables: ", "not nft: ", "No such file or directory", "xt_addrtype"]
    {
        assert!(message.contains(said), "{said:?} is missing in {message:?}");
    }
}

#[test]
fn what_was_asked_for_and_is_refused_keeps_its_own_error() {
    let mut kernel = Kernel::that_refuses(|_| true);
    for (wanted, protect) in [(Wanted::NftCompat, Protect::Auto), (Wanted::Nft, Protect::On)] {
        let error = Selection::new(wanted, protect, &rules).reconcile(&mut kernel, &rules).unwrap_err();
        assert!(
            matches!(error, SelectError::Reconcile(ReconcileError::Backend(BackendError::Refused { .. }))),
            "{error}"
        );
    }
}

#[test]
fn a_missing_privilege_is_no_reason_to_try_another_layout() {
    let mut kernel = Kernel { errno: Errno::EPERM, ..Kernel::that_refuses(|_| true) };
    let error = Selection::new(Wanted::Auto, Protect::Auto, &rules).reconcile(&mut kernel, &rules).unwrap_err();
    assert!(matches!(error, SelectError::Reconcile(ReconcileError::Backend(error)) if error.is_denied()));
    assert_eq!(kernel.sent, 1);
}

/// So many prefix lengths that they are kept in an interval set, which comes before the rules in a commit of its own.
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
    for (wanted, protect) in [
        (Wanted::Nft, Protect::On),
        (Wanted::Nft, Protect::Off),
        (Wanted::Nft, Protect::Auto),
        (Wanted::Auto, Protect::Auto),
    ] {
        let refuses: fn(&Change) -> bool = |change| matches!(change.action, Action::Append { .. });
        let mut kernel = Memory { refuses: Some(refuses), ..Memory::default() };
        let mut selection = Selection::new(wanted, protect, &long_list);
        for attempt in 1..=2 {
            let error = selection.reconcile(&mut kernel, &long_list).unwrap_err();
            assert!(error.to_string().contains("unknown expression"), "{error}");
            assert!(kernel.commits >= 2 * attempt, "begun, and taken back: {}", kernel.commits);
            assert_eq!(kernel.state.tables, [], "{wanted:?} {protect:?}");
        }
    }
}

#[test]
fn rules_that_are_in_force_stay_when_the_kernel_refuses_what_shall_replace_them() {
    let mut kernel = Memory::default();
    let mut selection = Selection::new(Wanted::Nft, Protect::Off, &rules);
    selection.reconcile(&mut kernel, &rules).unwrap();
    let before = kernel.state.tables.clone();
    kernel.refuses = Some(|change| matches!(change.action, Action::AddElements { .. }));
    let others = |layout| compile(&policy(&["20.0.0.0/8", "fc00::/8"], ""), layout);
    selection.renew(&others);
    selection.reconcile(&mut kernel, &others).unwrap_err();
    assert_eq!(kernel.state.tables, before);
}

/// A kernel in which others have iptables' table in a state in which ours cannot stand in it.
fn kernel_with_conflicts(families: &[Family]) -> Memory {
    let mut kernel = Memory::default();
    Selection::new(Wanted::NftCompat, Protect::Auto, &rules).reconcile(&mut kernel, &rules).unwrap();
    kernel.state.tables.iter_mut().filter(|table| families.contains(&table.id.family)).for_each(|table| {
        table.dormant = true;
    });
    kernel
}

fn tables_with_rules(kernel: &Memory) -> Vec<TableId> {
    let has_rules = |table: &&ObservedTable| table.chains.iter().any(|chain| !chain.rules.is_empty());
    kernel.state.tables.iter().filter(has_rules).map(|table| table.id).collect()
}

#[test]
fn where_iptables_table_is_in_a_state_in_which_ours_cannot_stand_in_it_tables_of_our_own_are_taken() {
    for families in [&[Family::Ipv4][..], &[Family::Ipv6], &Family::ALL] {
        let mut kernel = kernel_with_conflicts(families);
        let mut selection = Selection::new(Wanted::Auto, Protect::Off, &rules);
        let commits = kernel.commits;
        let preview = Selection::new(Wanted::Auto, Protect::Off, &rules).preview(&mut kernel, &rules).unwrap();
        assert_eq!((preview.layout, kernel.commits), (Layout::OwnTable(Protection::Off), commits));
        let selected = selection.reconcile(&mut kernel, &rules).unwrap();
        assert_eq!(selected.layout, Layout::OwnTable(Protection::Off));
        let told: Vec<String> = selected.refused.iter().map(ToString::to_string).collect();
        assert!(matches!(told.as_slice(), [told] if told.starts_with("not nft-compat: table ip")), "{told:?}");
        assert!(told[0].contains("switched off") && !told[0].contains("not affected"), "{told:?}");
        // Never both: what stood there without effect has gone.
        assert_eq!(tables_with_rules(&kernel), Family::ALL.map(TableId::own));
        // The tables of our own come, the other rules go; nothing was put in the wrong place before.
        assert_eq!(kernel.commits, commits + 2);
        let settled = selection.reconcile(&mut kernel, &rules).unwrap();
        assert!(settled.refused.is_empty() && settled.result.plan.is_empty());
    }
}

#[test]
fn an_agent_whose_rules_lose_their_effect_in_iptables_table_moves_them() {
    let mut kernel = Memory::default();
    let mut selection = Selection::new(Wanted::Auto, Protect::Off, &rules);
    assert_eq!(selection.reconcile(&mut kernel, &rules).unwrap().layout, Layout::IptablesNat);
    kernel.state.tables[1].dormant = true;
    kernel.state.generation.0 += 1;
    assert_eq!(selection.reconcile(&mut kernel, &rules).unwrap().layout, Layout::OwnTable(Protection::Off));
    assert_eq!(tables_with_rules(&kernel), Family::ALL.map(TableId::own));
}

#[test]
fn a_conflict_where_no_other_shape_can_be_is_an_error_and_the_other_family_is_in_force() {
    for (wanted, refuses) in [
        (Wanted::NftCompat, (|_| false) as fn(&Change) -> bool),
        (Wanted::Auto, |change| change.table.name == TableName::Own && matches!(change.action, Action::Append { .. })),
    ] {
        let mut kernel = kernel_with_conflicts(&[Family::Ipv6]);
        kernel.refuses = Some(refuses);
        let mut selection = Selection::new(wanted, Protect::Auto, &rules);
        for damage in [|_: &mut Memory| (), |kernel: &mut Memory| drop(kernel.state.tables.remove(0))] {
            damage(&mut kernel);
            let error = selection.reconcile(&mut kernel, &rules).unwrap_err();
            assert!(error.to_string().contains("table ip6 nat is switched off"), "{error}");
            let partial = error.partial().expect("a conflict");
            assert_eq!(partial.others, [Family::Ipv4], "{wanted:?}");
            assert!(stands(Family::Ipv4, &kernel.state), "{wanted:?}");
        }
        kernel.state.tables[1].dormant = false;
        assert_eq!(selection.reconcile(&mut kernel, &rules).unwrap().layout, Layout::IptablesNat);
    }
}

#[test]
fn protection_that_is_asked_for_is_given_or_is_an_error_whichever_backend_may_be_chosen() {
    let protected = Layout::OwnTable(Protection::OwnerPersist);
    for wanted in [Wanted::Auto, Wanted::Nft] {
        let mut kernel = Memory::default();
        let selected = Selection::new(wanted, Protect::On, &rules).reconcile(&mut kernel, &rules).unwrap();
        assert_eq!((selected.layout, selected.refused.len()), (protected, 0));
        let mut kernel = Memory { refuses: Some(is_protected), ..Memory::default() };
        let error = Selection::new(wanted, Protect::On, &rules).reconcile(&mut kernel, &rules).unwrap_err().to_string();
        assert!(error.contains("Linux 6.9") && error.contains("--protect=auto"), "{error}");
        assert_eq!(kernel.state.tables, []);
    }
}
