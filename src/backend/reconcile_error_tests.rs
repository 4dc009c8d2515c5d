//! What an error of a pass says: whether the rules could be read, and whether others undid ours.

use nix::errno::Errno;

use super::*;
use crate::backend::nftables::fake::{Kernel, Memory, Trouble};
use crate::rules::tests::policy;
use crate::rules::{Layout, compile};

fn fails(memory: Memory) -> ReconcileError {
    let desired = compile(&policy(&["10.0.0.0/8"], ""), Layout::IptablesNat);
    reconcile(&mut Kernel::from(memory).backend(), &desired, &ReconcileOptions::default()).unwrap_err()
}

#[test]
fn commits_that_only_come_in_between_are_contention_and_rules_that_are_undone_are_not() {
    let overtaken = fails(Memory { interference: vec![|_| (); 100], ..Memory::default() });
    assert!(matches!(overtaken, ReconcileError::Unsettled { undone: 0, .. }), "{overtaken:?}");
    assert!(overtaken.is_contention() && overtaken.is_transient());

    let clear = |kernel: &mut Memory| {
        kernel.state.tables.clear();
        kernel.changed();
    };
    let undone = fails(Memory { after_commit: Some(clear), ..Memory::default() });
    assert!(matches!(undone, ReconcileError::Unsettled { undone: 15, .. }), "{undone:?}");
    assert!(!undone.is_contention() && undone.is_transient());
}

#[test]
fn a_failed_look_is_told_from_a_failed_commit_and_says_whether_a_change_was_sent_before() {
    for (looks, trouble, told, contention) in [
        (0, Trouble::Lost, "could not look at the rules: could not list the tables: ", false),
        (0, Trouble::Overtaken, "could not look at the rules: could not list the tables: ", true),
        (
            1,
            Trouble::Overtaken,
            "a change of the rules was sent, but they could not be read back: could not list",
            true,
        ),
    ] {
        let error = fails(Memory { looks: Some((looks, trouble)), ..Memory::default() });
        let text = error.to_string();
        assert!(text.starts_with(told), "{text}");
        assert!(matches!(error, ReconcileError::Look { committed, .. } if committed == (looks > 0)), "{text}");
        assert_eq!(error.is_contention(), contention, "{text}");
    }
    let denied = fails(Memory { looks: Some((0, Trouble::Refused(None, Errno::EPERM))), ..Memory::default() });
    assert!(denied.is_denied() && !denied.is_transient());
}
