//! What an error of the kernel means for what the agent does next.

use nix::errno::Errno;

use super::requests::with_need;
use super::{Action, Change, Conflict, change_line};
use crate::backend::interface::{BackendError, ErrorKind};
use crate::netlink::NetlinkError;
use crate::rules::Protection;

/// Why a transaction was not carried out, or may not have been.
#[derive(Debug)]
pub(super) enum Failure {
    /// Another process committed between reading and writing.
    Stale,
    /// A chain cannot be deleted while a rule jumps to it.
    InUse(Box<Change>),
    /// Anything else.
    Error(BackendError),
}

impl Failure {
    /// The failure of a transaction with these changes. The error names the change that the kernel refused.
    pub(super) fn of(changes: &[Change], error: NetlinkError) -> Self {
        let refused = match &error {
            NetlinkError::StaleGeneration => return Self::Stale,
            NetlinkError::Rejected { change: Some(index), errno, .. }
            | NetlinkError::Unsupported { change: Some(index), errno, .. } => changes.get(*index).zip(Some(*errno)),
            _ => None,
        };
        match refused {
            Some((change, errno)) => Self::of_change(change, errno, error),
            None => Self::Error(doing("change the rules", error)),
        }
    }

    /// The failure that follows from the kernel's refusal of a change.
    pub(super) fn of_change(change: &Change, errno: Errno, source: NetlinkError) -> Self {
        match errno {
            Errno::EBUSY if matches!(change.action, Action::DeleteChain { .. }) => {
                Self::InUse(Box::new(change.clone()))
            }
            Errno::EPERM => Self::Error(BackendError {
                kind: ErrorKind::Busy { owned: Some(change.table) },
                doing: String::new(),
                source: Conflict::Owned(change.table).into(),
            }),
            errno => {
                let doing = if matches!(change.action, Action::CreateTable { protection: Protection::OwnerPersist }) {
                    format!("protect table {} (which takes Linux 6.9; --protect=auto does without)", change.table)
                } else {
                    with_need(format!("make the change \"{}\"", change_line(change)), &source)
                };
                let is_unsupported = makes_something(&change.action) && is_for_the_unknown(errno);
                let kind = if is_unsupported { ErrorKind::Unsupported } else { kind(&source) };
                Self::Error(BackendError { kind, doing, source: source.into() })
            }
        }
    }
}

/// The error of anything but a change.
pub(super) fn doing(doing: impl Into<String>, source: NetlinkError) -> BackendError {
    BackendError { kind: kind(&source), doing: with_need(doing.into(), &source), source: source.into() }
}

/// The error of a request that no kernel with nf_tables refuses.
pub(super) fn reaching(what: &str, source: NetlinkError) -> BackendError {
    let is_missing = matches!(source, NetlinkError::Unsupported { .. });
    let error = doing(what, source);
    BackendError { kind: if is_missing { ErrorKind::Unsupported } else { error.kind }, ..error }
}

fn kind(error: &NetlinkError) -> ErrorKind {
    match error {
        NetlinkError::Denied => ErrorKind::Denied,
        NetlinkError::StaleGeneration | NetlinkError::Interrupted { .. } => ErrorKind::Busy { owned: None },
        error if error.is_transient() => ErrorKind::Transient,
        NetlinkError::Rejected { .. } => ErrorKind::Rejected,
        _ => ErrorKind::Fatal,
    }
}

/// Whether the change creates something, so that the kernel may lack a feature for it. Every kernel knows how to remove.
const fn makes_something(action: &Action) -> bool {
    match action {
        Action::CreateTable { .. }
        | Action::CreateSet { .. }
        | Action::AddElements { .. }
        | Action::CreateChain { .. }
        | Action::Append { .. }
        | Action::Insert { .. } => true,
        Action::DeleteTable
        | Action::DeleteSet { .. }
        | Action::DeleteForeignObject { .. }
        | Action::DeleteElements { .. }
        | Action::Delete { .. }
        | Action::Flush { .. }
        | Action::DeleteChain { .. } => false,
    }
}

/// Whether a kernel answers this to an expression, an extension, a flag, an attribute or a kind of set that it does not have:
/// `ENOENT` for an expression or a chain type, `EPROTOTYPE` for another revision of an extension (`xt_find_match`), `EINVAL`
/// and `ERANGE` for attributes (`nla_policy`), the others for flags, kinds of sets and families.
const fn is_for_the_unknown(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::ENOENT
            | Errno::EPROTOTYPE
            | Errno::EINVAL
            | Errno::ERANGE
            | Errno::EOPNOTSUPP
            | Errno::EPROTONOSUPPORT
            | Errno::EAFNOSUPPORT
            | Errno::ENOSYS
    )
}

#[cfg(test)]
#[path = "failure_tests.rs"]
mod tests;
