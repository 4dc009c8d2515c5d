//! Why the rules could not be read or changed, as far as a caller can act on it, whatever the backend.

use std::error::Error;

use thiserror::Error;

use crate::rules::TableId;

/// The backend, or the way to it, failed. Nothing was changed; where the answer to a commit went missing, it may have been.
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
    /// This kernel cannot carry the rules, or has not what this backend works with: another layout or backend may fare better.
    Unsupported,
    /// Others are at work, and nothing is wrong: trying again later is enough.
    Busy {
        /// The table that another process owns, if that is in the way ([`Backend::is_owned_by_another`]); otherwise the rules
        /// changed faster than they could be read.
        ///
        /// [`Backend::is_owned_by_another`]: super::Backend::is_owned_by_another
        owned: Option<TableId>,
    },
    /// It passes by itself, such as a lost answer or a want of memory.
    Transient,
    /// The change was refused as it stands. What it was made from may have been misread, so that one made from a new reading
    /// may be taken; otherwise somebody has to mend something.
    Rejected,
    /// Somebody has to mend something.
    Fatal,
}

fn could_not(doing: &str) -> String {
    if doing.is_empty() { String::new() } else { format!("could not {doing}: ") }
}

impl BackendError {
    /// Has the kernel refused the rules themselves, or has it not what the backend works with, so that another candidate may
    /// fare better?
    #[must_use]
    pub const fn is_unsupported(&self) -> bool {
        matches!(self.kind, ErrorKind::Unsupported)
    }

    /// May the same succeed when it is tried again, without anybody having mended anything?
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self.kind, ErrorKind::Transient | ErrorKind::Busy { .. })
    }

    /// May a change made from a new reading fare better at once? So it is after what passes, after a lost answer to a commit,
    /// of which the reading tells what became, and after a refusal, as what the change was made from may have been misread.
    pub(crate) const fn is_worth_another_look(&self) -> bool {
        match self.kind {
            ErrorKind::Unsupported | ErrorKind::Busy { owned: None } | ErrorKind::Transient | ErrorKind::Rejected => {
                true
            }
            ErrorKind::Denied | ErrorKind::Busy { owned: Some(_) } | ErrorKind::Fatal => false,
        }
    }

    /// Have others changed the rules again and again in the meantime? Nothing is wrong then.
    #[must_use]
    pub const fn is_contention(&self) -> bool {
        matches!(self.kind, ErrorKind::Busy { owned: None })
    }

    /// Is a privilege missing, so that trying again is of no use?
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
