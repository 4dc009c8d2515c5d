//! The addresses of the node itself.

use std::net::IpAddr;

/// The addresses of all interfaces of a network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalAddresses {
    /// Sorted.
    own: Vec<IpAddr>,
    /// The broadcast addresses of the interfaces' subnets, sorted.
    broadcast: Vec<IpAddr>,
}

impl LocalAddresses {
    /// The interfaces' own addresses, and the broadcast addresses of their subnets.
    #[must_use]
    pub fn new(own: impl IntoIterator<Item = IpAddr>, broadcast: impl IntoIterator<Item = IpAddr>) -> Self {
        let sorted = |addresses: Vec<IpAddr>| {
            let mut addresses = addresses;
            addresses.sort_unstable();
            addresses.dedup();
            addresses
        };
        Self { own: sorted(own.into_iter().collect()), broadcast: sorted(broadcast.into_iter().collect()) }
    }

    /// Whether this is an address of the node.
    #[must_use]
    pub fn owns(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.own.binary_search(&address).is_ok()
    }

    /// Whether packets to this address are for the node itself, or for many hosts, so that no rule of ours is meant for
    /// them.
    #[must_use]
    pub fn receives(&self, destination: IpAddr) -> bool {
        let is_for_all = match destination {
            IpAddr::V4(v4) => v4.is_broadcast(),
            IpAddr::V6(_) => false,
        };
        self.owns(destination)
            || is_for_all
            || destination.is_multicast()
            || destination.is_unspecified()
            || self.broadcast.binary_search(&destination).is_ok()
    }
}
