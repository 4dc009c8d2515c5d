//! Network values that are valid by construction: each is parsed once, where it enters the program, and never checked
//! again.

mod address_range;
mod chain_name;
mod cidr;
mod family;
mod interface_name;
mod mark;
mod port_range;
mod protocol;

pub use address_range::AddressRange;
pub use chain_name::{ChainName, ChainNameError};
pub use cidr::{Cidr, CidrError};
pub use family::Family;
pub use interface_name::{InterfaceName, InterfaceNameError};
pub use mark::{Mark, MarkBits};
pub use port_range::{PortRange, PortRanges, PortRangesError};
pub use protocol::{Protocol, ProtocolError};
