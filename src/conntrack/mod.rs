//! The flows that conntrack knows: whether the NAT that each has still fits the policy, and how those for which it does not
//! come to begin anew.

pub(crate) mod ctnetlink;
mod decisions;
mod fix;
mod judge;
mod local;
pub(crate) mod rtnetlink;

pub use ctnetlink::{Deletion, FlowInfo, Listing};
pub use decisions::{Before, Decisions};
pub use fix::{ConntrackError, ExistingFlows, FixFlows, Fixed, KernelFlows};
pub use judge::{Flow, Reason, Status, Tuple, Verdict, verdict};
pub use local::LocalAddresses;
pub use rtnetlink::AddressInfo;
