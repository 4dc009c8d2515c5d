//! The addresses of interfaces (`linux/if_addr.h`, `rtnetlink(7)`).

use std::net::IpAddr;

use super::LocalAddresses;
use crate::netlink::{
    Attribute, Attributes, Connection, FamilyHeader, Kind, Malformed, NetlinkError, Request, Transport,
};

/// `RTM_NEWADDR`.
pub(super) const NEW_ADDRESS: Kind = Kind::new(20);
/// `RTM_GETADDR`.
const GET_ADDRESS: Kind = Kind::new(22);
/// `struct ifaddrmsg` (`linux/if_addr.h`): family, prefix length, flags, scope, interface. All zeros name no family and no
/// interface, so that the addresses of all are dumped.
pub(super) const OF_ALL_INTERFACES: FamilyHeader = FamilyHeader::Eight([0; 8]);

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressInfo {
    pub(crate) address: IpAddr,
    /// The broadcast address of its subnet.
    pub(crate) broadcast: Option<IpAddr>,
}

impl<T: Transport> Connection<T> {
    /// The addresses of all interfaces. The connection has to be one of the family
    /// [`Route`](crate::netlink::NetlinkFamily::Route).
    ///
    /// # Errors
    ///
    /// Any of [`NetlinkError`] that is not about a batch.
    pub fn addresses(&mut self) -> Result<Vec<AddressInfo>, NetlinkError> {
        self.read(&Request::dump(GET_ADDRESS, OF_ALL_INTERFACES, &|_| {}, NEW_ADDRESS), parse)
    }

    /// The same, to be asked for one by one.
    pub(super) fn local_addresses(&mut self) -> Result<LocalAddresses, NetlinkError> {
        let addresses = self.addresses()?;
        let broadcast = addresses.iter().filter_map(|info| info.broadcast);
        Ok(LocalAddresses::new(addresses.iter().map(|info| info.address), broadcast))
    }
}

/// An address that was dumped; `None` if it is neither IPv4 nor IPv6.
pub(super) fn parse(attributes: Attributes<'_>) -> Result<Option<AddressInfo>, Malformed> {
    let (mut address, mut local, mut broadcast) = (None, None, None);
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            IFA_ADDRESS => address = ip(&attribute),
            IFA_LOCAL => local = ip(&attribute),
            IFA_BROADCAST => broadcast = ip(&attribute),
            _ => {}
        }
    }
    // On a point-to-point link `IFA_ADDRESS` is the address of the far end.
    Ok(local.or(address).map(|address| AddressInfo { address, broadcast }))
}

/// An address of either family, which its length tells.
pub(super) fn ip(attribute: &Attribute<'_>) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(attribute.payload).map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(attribute.payload).map(IpAddr::from);
    v4().or_else(|_| v6()).ok()
}
