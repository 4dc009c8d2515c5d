//! The backend's answers as values for the agent.

use super::*;
use crate::backend::{BackendError, ErrorKind, Partial, Remaining};
use crate::rules::Layout;

#[test]
fn each_error_of_a_pass_is_waited_for_as_what_it_is() {
    let table = TableId::own(Family::Ipv4);
    let failed = |kind| BackendError { kind, doing: "do it".to_owned(), source: "the kernel says so".into() };
    let look = |kind| ReconcileError::Look { source: failed(kind), committed: false };
    let commit = |kind| ReconcileError::Backend(failed(kind));
    let unsettled = |undone| ReconcileError::Unsettled { remaining: Remaining::default(), undone };
    let (contention, owned) = (ErrorKind::Busy { owned: None }, ErrorKind::Busy { owned: Some(table) });
    let told = || "something else".to_owned();
    for (error, result) in [
        (unsettled(0), PassResult::Overtaken),
        (unsettled(1), PassResult::Undone),
        (look(contention), PassResult::Overtaken),
        (look(ErrorKind::Transient), PassResult::Failed),
        (look(ErrorKind::Denied), PassResult::Stuck),
        (commit(ErrorKind::Transient), PassResult::Failed),
        (commit(ErrorKind::Fatal), PassResult::Stuck),
        (commit(ErrorKind::Rejected), PassResult::Stuck),
        (commit(contention), PassResult::Overtaken),
        (commit(owned), PassResult::Owned(table)),
        (conflict(Conflict::owned(table, told())), PassResult::Owned(table)),
        (conflict(Conflict::of_the_layout(Family::Ipv4, told())), PassResult::Stuck),
    ] {
        let text = error.to_string();
        let reconciled = reconciled(Err(SelectError::Reconcile(error)));
        assert_eq!(reconciled.result, result, "{text}");
        assert_eq!(reconciled.rules.failure.unwrap().text, text);
    }
    assert_eq!(reconciled(Err(SelectError::Nothing(Vec::new()))).result, PassResult::Stuck);
    let selected = Selected { layout: Layout::IptablesNat, refused: Vec::new(), result: Outcome::default() };
    assert_eq!(reconciled(Ok(selected)).result, PassResult::InForce);
    assert_eq!(Reconciled::untouched(Token::default()).result, PassResult::InForce);
}

fn conflict(conflict: Conflict) -> ReconcileError {
    ReconcileError::Conflict(Box::new(Partial {
        conflicts: vec![conflict],
        others: Vec::new(),
        outcome: Outcome::default(),
    }))
}
