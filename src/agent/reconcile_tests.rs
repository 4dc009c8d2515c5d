//! What the backend's answers come to.

use super::*;
use crate::backend::nftables::Plan;
use crate::backend::{BackendError, Partial};
use crate::netlink::NetlinkError;

#[test]
fn each_error_of_a_pass_is_waited_for_as_what_it_is() {
    let table = TableId::own(Family::Ipv4);
    let netlink = |source| BackendError::Netlink { doing: "do it".to_owned(), source };
    let look = |source| ReconcileError::Look { source: netlink(source), committed: false };
    let commit = |source| ReconcileError::Backend(netlink(source));
    let unsettled = |undone| ReconcileError::Unsettled { remaining: Plan::default(), undone };
    let found = "something else".to_owned();
    for (error, result) in [
        (unsettled(0), PassResult::Overtaken),
        (unsettled(1), PassResult::Undone),
        (look(NetlinkError::Interrupted { tries: 16 }), PassResult::Overtaken),
        (look(NetlinkError::NoAnswer), PassResult::Failed),
        (look(NetlinkError::Denied), PassResult::Stuck),
        (commit(NetlinkError::NoAnswer), PassResult::Failed),
        (commit(NetlinkError::TooLarge { bytes: 1 }), PassResult::Stuck),
        (ReconcileError::Backend(BackendError::Stale), PassResult::Overtaken),
        (ReconcileError::Backend(BackendError::Owned(table)), PassResult::Owned(table)),
        (conflict(Conflict::Owned(table)), PassResult::Owned(table)),
        (conflict(Conflict::Postrouting { table, found }), PassResult::Stuck),
    ] {
        let text = error.to_string();
        let reconciled = reconciled(Err(SelectError::Reconcile(error)));
        assert_eq!(reconciled.result, result, "{text}");
        assert_eq!(reconciled.rules.failure.unwrap().text, text);
    }
    assert_eq!(reconciled(Err(SelectError::Nothing(Vec::new()))).result, PassResult::Stuck);
    let selected = Selected { layout: Layout::IptablesNat, refused: Vec::new(), result: Outcome::default() };
    assert_eq!(reconciled(Ok(selected)).result, PassResult::InForce);
    assert_eq!(Reconciled::untouched(Generation(1)).result, PassResult::InForce);
}

fn conflict(conflict: Conflict) -> ReconcileError {
    ReconcileError::Conflict(Box::new(Partial {
        conflicts: vec![conflict],
        others: Vec::new(),
        outcome: Outcome::default(),
    }))
}
