//! Why the rules could not be read or changed, as far as a caller can act on it, whatever the backend.

use std::error::Error;

use thiserror::Error;

use crate::rules::TableId;

/// The backend failed, or could not be reached. Nothing was changed, unless the answer to a commit was lost: then the commit
/// may have been carried out.
#[derive(Debug, Error)]
#[error("{}{source}", could_not(.doing))]
pub struct BackendError {
    /// What a caller can do about it.
    pub kind: ErrorKind,
    /// What was being done, in words that follow "could not"; empty if the source says it all.
    pub doing: String,
    /// What the backend's own protocol or program said.
    pub source: Box<dyn Error + Send + Sync>,
}

/// What a caller can do about an error of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A privilege is missing: trying again is of no use.
    Denied,
    /// This kernel cannot carry the rules, or lacks what this backend works with: another layout or backend may succeed.
    Unsupported,
    /// Another process is in the way for the time being, and nothing is wrong: trying again later is enough.
    Busy {
        /// The table that another process owns, if that is in the way ([`Backend::is_owned_by_another`]); otherwise the rules
        /// changed faster than they could be read.
        ///
        /// [`Backend::is_owned_by_another`]: super::Backend::is_owned_by_another
        owned: Option<TableId>,
    },
    /// It passes by itself, such as a lost answer or a lack of memory.
    Transient,
    /// The change was refused as it is. The rules that it was made from may have been misread, so that a change made from a
    /// new reading may be accepted; otherwise an administrator has to repair something.
    Rejected,
    /// An administrator has to repair something.
    Fatal,
}

fn could_not(doing: &str) -> String {
    if doing.is_empty() { String::new() } else { format!("could not {doing}: ") }
}

impl BackendError {
    /// Whether the kernel refused the rules themselves, or lacks what the backend works with, so that another candidate may
    /// succeed.
    #[must_use]
    pub const fn is_unsupported(&self) -> bool {
        matches!(self.kind, ErrorKind::Unsupported)
    }

    /// Whether the same may succeed when it is tried again, without anybody having repaired anything.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self.kind, ErrorKind::Transient | ErrorKind::Busy { .. })
    }

    /// Whether a change made from a new reading may succeed at once. That is so after an error that passes by itself; after a
    /// lost answer to a commit, as the reading shows whether it was carried out; and after a refusal, as the rules that the
    /// change was made from may have been misread.
    pub(crate) const fn is_worth_another_look(&self) -> bool {
        match self.kind {
            ErrorKind::Unsupported | ErrorKind::Busy { owned: None } | ErrorKind::Transient | ErrorKind::Rejected => {
                true
            }
            ErrorKind::Denied | ErrorKind::Busy { owned: Some(_) } | ErrorKind::Fatal => false,
        }
    }

    /// Whether others changed the rules again and again while they were being read. Nothing is wrong then.
    #[must_use]
    pub const fn is_contention(&self) -> bool {
        matches!(self.kind, ErrorKind::Busy { owned: None })
    }

    /// Whether a privilege is missing, so that trying again is of no use.
    #[must_use]
    pub const fn is_denied(&self) -> bool {
        matches!(self.kind, ErrorKind::Denied)
    }

    /// The table that another process owns, if that is what is in the way.
    #[must_use]
    pub const fn owned_by_another(&self) -> Option<TableId> {
        if let ErrorKind::Busy { owned } = self.kind { owned } else { None }
    }
}
