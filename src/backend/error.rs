//! Why the kernel's rules could not be read or changed, as far as a caller can act on it.

use thiserror::Error;

use crate::netlink::NetlinkError;
use crate::ruleset::{Change, Conflict, TableId};

/// The kernel, or the way to it, refused. Nothing was changed.
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
    /// Has the kernel refused the rules themselves, so that others may fare better?
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Netlink { source: NetlinkError::Unsupported { .. } | NetlinkError::Rejected { .. }, .. })
    }

    /// Is a privilege missing, so that trying again is of no use?
    #[must_use]
    pub const fn is_denied(&self) -> bool {
        matches!(self, Self::Netlink { source: NetlinkError::Denied, .. })
    }
}
