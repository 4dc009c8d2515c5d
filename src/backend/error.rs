//! Why the kernel's rules could not be read or changed, as far as a caller can act on it.

use nix::errno::Errno;
use thiserror::Error;

use crate::backend::nftables::{Action, Change, Conflict, change_line, with_need};
use crate::netlink::NetlinkError;
use crate::rules::{Protection, TableId};

/// The kernel, or the way to it, refused. Nothing was changed; where the answer to a commit went missing, it may have been.
#[derive(Debug, Error)]
pub enum BackendError {
    /// Somebody else committed between reading and writing.
    #[error("the rules were changed by somebody else in between")]
    Stale,
    /// A chain cannot be deleted while a rule jumps to it.
    #[error("a rule that is not ours still jumps to the chain")]
    InUse(Box<Change>),
    /// The table is protected, and another process has come to own it since it was read.
    #[error("{}", Conflict::Owned(*.0))]
    Owned(TableId),
    /// The kernel does not know what the rules are made of: others may fare better.
    #[error("could not {doing}: {source}")]
    Refused {
        /// What was being done, in words that follow "could not".
        doing: String,
        /// What the kernel said.
        source: NetlinkError,
    },
    /// Something failed, at one change of a plan or as a whole.
    #[error("could not {doing}: {source}")]
    Netlink {
        /// What was being done, in words that follow "could not".
        doing: String,
        /// What the kernel said.
        source: NetlinkError,
    },
}

impl BackendError {
    /// The error that the kernel's refusal of a change amounts to.
    pub(super) fn of_change(change: &Change, errno: Errno, source: NetlinkError) -> Self {
        match errno {
            Errno::EBUSY if matches!(change.action, Action::DeleteChain { .. }) => {
                Self::InUse(Box::new(change.clone()))
            }
            Errno::EPERM => Self::Owned(change.table),
            errno => {
                let doing = if matches!(change.action, Action::CreateTable { protection: Protection::OwnerPersist }) {
                    format!("protect table {} (which takes Linux 6.9; --protect=auto does without)", change.table)
                } else {
                    with_need(format!("make the change \"{}\"", change_line(change)), &source)
                };
                if brings_something(&change.action) && is_for_the_unknown(errno) {
                    Self::Refused { doing, source }
                } else {
                    Self::Netlink { doing, source }
                }
            }
        }
    }

    /// Has the kernel refused the rules themselves, so that others may fare better?
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// May the same succeed when it is tried again, without anybody having mended anything?
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            // The owner may end at any moment, as an agent does that is being replaced.
            Self::Stale | Self::Owned(_) => true,
            Self::InUse(_) | Self::Refused { .. } => false,
            Self::Netlink { source, .. } => source.is_transient(),
        }
    }

    /// May a plan made from a new reading fare better at once? So it is after what passes, after a lost answer to a commit,
    /// of which the reading tells what became, and after a refusal, as what the plan was made from may have been misread.
    pub(super) const fn is_worth_another_look(&self) -> bool {
        match self {
            Self::Stale | Self::Refused { .. } => true,
            Self::InUse(_) | Self::Owned(_) => false,
            Self::Netlink { source, .. } => source.is_transient() || matches!(source, NetlinkError::Rejected { .. }),
        }
    }

    /// Have others changed the rules again and again meanwhile? Nothing is wrong then.
    #[must_use]
    pub const fn is_contention(&self) -> bool {
        matches!(
            self,
            Self::Stale
                | Self::Netlink { source: NetlinkError::StaleGeneration | NetlinkError::Interrupted { .. }, .. }
        )
    }

    /// Is a privilege missing, so that trying again is of no use?
    #[must_use]
    pub const fn is_denied(&self) -> bool {
        matches!(self, Self::Netlink { source: NetlinkError::Denied, .. })
    }
}

/// Does the change make something of the rules' layout? What takes something away is known to every kernel.
const fn brings_something(action: &Action) -> bool {
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

/// Does a kernel say this of an expression, an extension, a flag, an attribute or a kind of set that it does not have?
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
#[path = "error_tests.rs"]
mod tests;
