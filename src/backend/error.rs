//! Why the kernel's rules could not be read or changed, as far as a caller can act on it.

use thiserror::Error;

use crate::ruleset::Change;

/// The kernel, or the way to it, refused. Nothing was changed.
#[derive(Debug, Error)]
pub enum BackendError {
    /// EPERM or EACCES.
    #[error(
        "not permitted to {0}; CAP_NET_ADMIN is needed in this network namespace; run as root, give the container that \
         capability, or try it with --sandbox"
    )]
    Denied(String),
    /// The kernel has no nf_tables, or not the part that is needed.
    #[error(
        "the kernel cannot {what}: {why}; it needs nf_tables and its xt compatibility (modules nf_tables, nft_compat)"
    )]
    Unsupported {
        /// What was asked of it.
        what: String,
        /// What it said.
        why: String,
    },
    /// Somebody else committed between reading and writing.
    #[error("the rules were changed by somebody else in between")]
    Stale,
    /// A chain cannot be deleted while a rule jumps to it.
    #[error("a rule that is not ours still jumps to the chain")]
    InUse(Box<Change>),
    /// The kernel refused a change for another reason.
    #[error("the kernel refused {what}: {why}")]
    Rejected {
        /// The change, as a plan prints it.
        what: String,
        /// What the kernel said.
        why: String,
    },
    /// The way to the kernel failed.
    #[error("could not {what}: {why}")]
    Failed {
        /// What was tried.
        what: String,
        /// What went wrong.
        why: String,
    },
}
