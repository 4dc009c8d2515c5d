//! Configuration and flags to decisions.

use crate::net::{ChainName, PortRanges};

/// What the command line decides, for as long as the process lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flags {
    /// `--masq-chain`: the chain that is ours.
    pub chain: ChainName,
    /// `--nomasq-all-reserved-ranges`: are all reserved IPv4 ranges exempt where the file names none?
    pub all_reserved_ranges: bool,
    /// `--enable-ipv6`: is IPv6 traffic masqueraded too?
    pub ipv6: bool,
    /// `--random-fully`: are source ports chosen at random?
    pub random_fully: bool,
    /// `--to-ports`: the source ports to use; empty for all.
    pub to_ports: PortRanges,
}
