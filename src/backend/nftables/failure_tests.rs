//! What an error of the kernel means for what the agent does next.

use std::io;

use super::*;
use crate::backend::nftables::{ForeignKind, ForeignObject, Handle, ObservedRule, Unrecognised};
use crate::net::Family;
use crate::rules::{BaseChain, Elements, Protection, Rule, SetKind, TableId, Verdict};

/// Whether the kernel answers this to what it does not know.
const OF_THE_UNKNOWN: [(Errno, bool); 20] = [
    (Errno::ENOENT, true),
    (Errno::EPROTOTYPE, true),
    (Errno::EINVAL, true),
    (Errno::ERANGE, true),
    (Errno::EOPNOTSUPP, true),
    (Errno::EPROTONOSUPPORT, true),
    (Errno::EAFNOSUPPORT, true),
    (Errno::ENOSYS, true),
    (Errno::EINTR, false),
    (Errno::EAGAIN, false),
    (Errno::ENOMEM, false),
    (Errno::ENOBUFS, false),
    (Errno::ENOSPC, false),
    (Errno::ENFILE, false),
    (Errno::EMFILE, false),
    (Errno::EBUSY, false),
    (Errno::EEXIST, false),
    (Errno::EACCES, false),
    (Errno::EPERM, false),
    (Errno::EIO, false),
];

/// Every kind of change, and whether it creates something.
fn every_action() -> [(Action, bool); 13] {
    let (chain, set, kind) = ("C".to_owned(), "S".to_owned(), SetKind::Intervals);
    let rule = Rule::new(Vec::new(), None, Verdict::Return);
    let was = ObservedRule { handle: Handle(1), rule: Err(Unrecognised(String::new())) };
    let elements = Elements::default;
    [
        (Action::CreateTable { protection: Protection::Off }, true),
        (Action::CreateSet { set: set.clone(), kind }, true),
        (Action::AddElements { set: set.clone(), kind, elements: elements() }, true),
        (Action::CreateChain { chain: chain.clone(), base: Some(BaseChain::AFTER_IPTABLES) }, true),
        (Action::Append { chain: chain.clone(), rule: rule.clone() }, true),
        (Action::Insert { chain: chain.clone(), rule, before: Handle(1) }, true),
        (Action::DeleteTable, false),
        (Action::DeleteSet { set: set.clone() }, false),
        (
            Action::DeleteForeignObject {
                foreign_object: ForeignObject { name: set.clone(), kind: ForeignKind::Flowtable },
            },
            false,
        ),
        (Action::DeleteElements { set, kind, elements: elements() }, false),
        (Action::Delete { chain: chain.clone(), was }, false),
        (Action::Flush { chain: chain.clone() }, false),
        (Action::DeleteChain { chain }, false),
    ]
}

fn rejected(errno: Errno) -> NetlinkError {
    NetlinkError::Rejected { change: Some(0), errno, text: None }
}

#[test]
fn only_what_a_kernel_says_of_the_unknown_about_something_that_is_made_is_a_refusal_of_the_layout() {
    for (action, makes) in every_action() {
        for (errno, of_the_unknown) in OF_THE_UNKNOWN {
            let change = Change { table: TableId::own(Family::Ipv4), action: action.clone() };
            let failure = Failure::of_change(&change, errno, rejected(errno));
            let Failure::Error(error) = failure else {
                let is_in_use = errno == Errno::EBUSY && matches!(action, Action::DeleteChain { .. });
                assert!(is_in_use && matches!(failure, Failure::InUse(_)), "{failure:?}");
                continue;
            };
            assert_eq!(error.is_unsupported(), makes && of_the_unknown, "{errno} of {action:?}: {error:?}");
            assert!(!error.is_denied(), "{errno} of {action:?}");
            if errno == Errno::EPERM {
                assert_eq!(error.owned_by_another(), Some(change.table), "{error:?}");
                assert!(error.to_string().starts_with("table ip ip-masq-agent belongs to another process"), "{error}");
                assert!(error.is_transient() && !error.is_worth_another_look(), "its owner may end, but not at once");
            } else {
                assert!(error.is_worth_another_look(), "{errno} of {action:?}: it may have been misread");
            }
        }
    }
}

#[test]
fn what_was_asked_for_without_a_change_is_never_a_refusal_of_the_layout() {
    for (errno, _) in OF_THE_UNKNOWN {
        let source = NetlinkError::Rejected { change: None, errno, text: None };
        assert!(!doing("list the tables", source).is_unsupported(), "{errno}");
    }
}

#[test]
fn what_passes_by_itself_is_told_from_what_somebody_has_to_mend() {
    let io = |errno: Errno| NetlinkError::Io(io::Error::from(errno));
    for (error, is_transient) in [
        (io(Errno::EINTR), true),
        (io(Errno::EAGAIN), true),
        (io(Errno::ENOBUFS), true),
        (NetlinkError::NoAnswer, true),
        (NetlinkError::Malformed("odd"), true),
        (NetlinkError::Endless { datagrams: 1 }, true),
        (NetlinkError::Interrupted { tries: 1 }, true),
        (NetlinkError::StaleGeneration, true),
        (rejected(Errno::EINTR), true),
        (rejected(Errno::EAGAIN), true),
        (rejected(Errno::ENOBUFS), true),
        (rejected(Errno::ENOMEM), true),
        (rejected(Errno::ENOSPC), true),
        (rejected(Errno::ENFILE), true),
        (rejected(Errno::EBUSY), true),
        (rejected(Errno::EINVAL), false),
        (rejected(Errno::EEXIST), false),
        (NetlinkError::Denied, false),
        (NetlinkError::TooLarge { bytes: 1 }, false),
        (NetlinkError::Unrepresentable { change: 1 }, false),
        (NetlinkError::Unsupported { change: None, errno: Errno::EOPNOTSUPP, text: None }, false),
    ] {
        let error = doing("change the rules", error);
        assert_eq!(error.is_transient(), is_transient, "{error:?}");
    }
}

#[test]
fn what_only_others_commits_are_in_the_way_of_is_contention() {
    for (error, is_contention) in [
        (NetlinkError::Interrupted { tries: 1 }, true),
        (NetlinkError::StaleGeneration, true),
        (NetlinkError::NoAnswer, false),
        (NetlinkError::Denied, false),
        (rejected(Errno::EBUSY), false),
    ] {
        assert_eq!(doing("list the tables", error).is_contention(), is_contention);
    }
}

#[test]
fn a_kernel_without_nf_tables_is_one_that_cannot_carry_the_rules() {
    let missing = NetlinkError::Unsupported { change: None, errno: Errno::EINVAL, text: None };
    let error = reaching("reach nf_tables", missing);
    assert!(error.is_unsupported(), "{error:?}");
    assert!(error.to_string().starts_with("could not reach nf_tables (which takes nf_tables with nat"), "{error}");
    let denied = reaching("reach nf_tables", NetlinkError::Denied);
    assert!(denied.is_denied() && !denied.is_unsupported(), "{denied:?}");
}
