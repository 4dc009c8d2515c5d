//! The addresses of interfaces (`linux/if_addr.h`, `rtnetlink(7)`).

use std::net::IpAddr;

use crate::netlink::Kind;
use crate::netlink::Request;
use crate::netlink::flag;
use crate::netlink::{Attribute, Attributes, Malformed};
use crate::netlink::{Connection, NetlinkError, Transport};

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressInfo {
    /// The address.
    pub address: IpAddr,
    /// The broadcast address of its subnet.
    pub broadcast: Option<IpAddr>,
}

impl<T: Transport> Connection<T> {
    /// The addresses of all interfaces. The connection has to be one to the interfaces
    /// ([`Connection::open_to_interfaces`]).
    ///
    /// # Errors
    ///
    /// As [`Connection::generation`].
    pub fn addresses(&mut self) -> Result<Vec<AddressInfo>, NetlinkError> {
        let request = Request {
            kind: Kind::GET_ADDRESS,
            family: None,
            flags: flag::DUMP,
            content: &|_| {},
            answer: Kind::NEW_ADDRESS,
        };
        self.read(&request, parse)
    }
}

/// An address that was dumped; `None` if it is neither IPv4 nor IPv6.
pub(crate) fn parse(attributes: Attributes<'_>) -> Result<Option<AddressInfo>, Malformed> {
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
    // Of a point-to-point link the other attribute is the far end's.
    Ok(local.or(address).map(|address| AddressInfo { address, broadcast }))
}

/// An address of either family, which its length tells.
pub(super) fn ip(attribute: &Attribute<'_>) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(attribute.payload).map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(attribute.payload).map(IpAddr::from);
    v4().or_else(|_| v6()).ok()
}
