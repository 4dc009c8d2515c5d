//! The backends: they read the kernel's rules, commit what has to change, and read back.

mod candidates;
#[cfg(test)]
mod contract;
mod interface;
pub mod nftables;
mod outcome;
mod reconcile;
mod select;
mod timed;

pub use candidates::Backends;
pub use interface::{
    Backend, BackendError, Change, ChangeLine, ChangeSource, Committed, Conflict, DiffOptions, Difference, ErrorKind,
    Heard, Look, Object, PollInterval, Process, Snapshot, Token, WatchRules, WatchRulesError,
};
pub use nftables::Nftables;
pub use outcome::{Outcome, Preview};
pub use reconcile::{Partial, ReconcileError, ReconcileOptions, Remaining, preview, reconcile};
pub use select::{BackendOption, Compile, Protect, Refusal, SelectError, Selected, Selection};
pub use timed::{Commits, PassTimes};
