//! What an error of a pass says: whether the rules could be read, and whether anybody undid ours.

use super::*;
use crate::backend::fake::Memory;
use crate::net::ChainName;
use crate::netlink::NetlinkError;
use crate::rules::tests::policy;
use crate::rules::{Layout, compile};

/// A kernel in which something happens right after each of our commits, and of which so many looks succeed.
struct Disturbed {
    kernel: Memory,
    after_commit: fn(&mut Memory),
    looks: usize,
    failure: fn() -> NetlinkError,
}

impl Backend for Disturbed {
    fn generation(&mut self) -> Result<Generation, BackendError> {
        self.kernel.generation()
    }

    fn observe(&mut self, chain: &ChainName, known: &Cache) -> Result<Observed, BackendError> {
        let Some(looks) = self.looks.checked_sub(1) else {
            return Err(BackendError::Netlink { doing: "list the tables".to_owned(), source: (self.failure)() });
        };
        self.looks = looks;
        self.kernel.observe(chain, known)
    }

    fn is_owned_by_another(&mut self, table: TableId) -> Result<bool, BackendError> {
        self.kernel.is_owned_by_another(table)
    }

    fn probe(&mut self, plan: &Plan) -> Result<(), BackendError> {
        self.kernel.probe(plan)
    }

    fn commit(&mut self, plan: &Plan, generation: Generation) -> Result<(), BackendError> {
        self.kernel.commit(plan, generation)?;
        (self.after_commit)(&mut self.kernel);
        Ok(())
    }
}

fn desired() -> Ruleset {
    compile(&policy(&["10.0.0.0/8"], ""), Layout::IptablesNat)
}

fn fails(mut kernel: impl Backend) -> ReconcileError {
    reconcile(&mut kernel, &desired(), &mut Cache::default()).unwrap_err()
}

#[test]
fn commits_that_only_come_in_between_are_contention_and_rules_that_are_undone_are_not() {
    let overtaken = fails(Memory { interference: vec![|_| (); 100], ..Memory::default() });
    assert!(matches!(overtaken, ReconcileError::Unsettled { undone: 0, .. }), "{overtaken:?}");
    assert!(overtaken.is_contention() && overtaken.is_transient());

    let clear = |kernel: &mut Memory| {
        kernel.state.tables.clear();
        kernel.state.generation = kernel.state.generation.next();
    };
    let undone = fails(Disturbed {
        kernel: Memory::default(),
        after_commit: clear,
        looks: 100,
        failure: || NetlinkError::NoAnswer,
    });
    assert!(matches!(undone, ReconcileError::Unsettled { undone: 15, .. }), "{undone:?}");
    assert!(!undone.is_contention() && undone.is_transient());
}

#[test]
fn a_failed_look_is_told_from_a_failed_commit_and_says_whether_a_change_was_sent_before() {
    let interrupted = || NetlinkError::Interrupted { tries: 16 };
    for (looks, failure, told, contention) in [
        (
            0,
            (|| NetlinkError::NoAnswer) as fn() -> _,
            "could not look at the rules: could not list the tables: ",
            false,
        ),
        (0, interrupted, "could not look at the rules: could not list the tables: ", true),
        (1, interrupted, "a change of the rules was sent, but they could not be read back: could not list", true),
    ] {
        let error = fails(Disturbed { kernel: Memory::default(), after_commit: |_| (), looks, failure });
        let text = error.to_string();
        assert!(text.starts_with(told), "{text}");
        assert!(matches!(error, ReconcileError::Look { committed, .. } if committed == (looks > 0)), "{text}");
        assert_eq!(error.is_contention(), contention, "{text}");
    }
    let denied = fails(Disturbed {
        kernel: Memory::default(),
        after_commit: |_| (),
        looks: 0,
        failure: || NetlinkError::Denied,
    });
    assert!(denied.is_denied() && !denied.is_transient());
}
