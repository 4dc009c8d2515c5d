//! The flows that conntrack knows: whether the NAT of each still fits the policy, and the deletion of those whose NAT does
//! not, so that their next packets begin new flows; and how many source ports those use that are masqueraded.

mod ctnetlink;
mod decisions;
mod fix;
mod fullest;
mod judge;
mod local;
mod rtnetlink;
mod source_ports;
mod statistics;

pub use ctnetlink::{Deletion, Deletions, FlowInfo, Listing};
pub use decisions::{Before, Decisions, PortIsOurs};
pub use fix::{ConntrackError, ExistingFlows, Fixed};
pub(crate) use fix::{FixFlows, KernelFlows};
pub use judge::{Flow, Reason, Status, Tuple, Verdict, verdict};
pub use local::LocalAddresses;
pub use rtnetlink::AddressInfo;
pub(crate) use source_ports::{Pace, PortUse, SourcePorts};
pub(crate) use statistics::events;
