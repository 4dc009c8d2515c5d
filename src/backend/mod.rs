//! The edge to the kernel: reads what is there, commits what has to change, and reads back; and has flows that began under
//! other rules begin anew.

mod error;
#[cfg(test)]
pub(crate) mod fake;
pub mod nftables;
mod outcome;
mod reconcile;
mod select;

pub use error::BackendError;
pub use nftables::Nftables;
pub use outcome::Outcome;
pub use reconcile::{Partial, ReconcileError, preview, reconcile};
pub use select::{Compile, Protect, Refusal, SelectError, Selected, Selection, Wanted};

use crate::backend::nftables::{Cache, Generation, Observed, Plan};
use crate::net::ChainName;
use crate::rules::TableId;

/// A way to the rules of a network namespace.
pub trait Backend {
    /// The generation of the rules of the whole network namespace: while it stays, nobody has changed anything.
    ///
    /// # Errors
    ///
    /// [`BackendError`], if the kernel does not answer, or not to us.
    fn generation(&mut self) -> Result<Generation, BackendError>;

    /// Reads the tables, and of them what concerns the chains that go by `chain` or did so before. The elements of a large
    /// set are not listed if they are known still ([`Cache::elements`]), and as many as the kernel counts.
    ///
    /// # Errors
    ///
    /// [`BackendError`], if the kernel does not answer, or not to us.
    fn observe(&mut self, chain: &ChainName, known: &Cache) -> Result<Observed, BackendError>;

    /// Does another process own this table? That costs one short request, far less than [`Backend::observe`].
    ///
    /// # Errors
    ///
    /// [`BackendError`], if the kernel does not answer, or not to us.
    fn is_owned_by_another(&mut self, table: TableId) -> Result<bool, BackendError>;

    /// Would the kernel carry out this plan? It tries, and takes everything back.
    ///
    /// # Errors
    ///
    /// As [`Backend::commit`].
    fn probe(&mut self, plan: &Plan) -> Result<(), BackendError>;

    /// Carries out a plan as a whole or not at all, if nobody has changed the rules since `generation`.
    ///
    /// # Errors
    ///
    /// [`BackendError::Stale`] if somebody has, [`BackendError::InUse`] if a chain to be deleted is still jumped to;
    /// every other variant says why the kernel took nothing, or that its answer went missing. Then it may have taken the
    /// plan all the same, which only reading tells.
    fn commit(&mut self, plan: &Plan, generation: Generation) -> Result<(), BackendError>;
}
