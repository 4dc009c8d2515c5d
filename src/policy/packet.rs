//! Packets as far as they are known: their fields, and the values of these.

use std::fmt;
use std::net::IpAddr;

use crate::net::{Family, InterfaceName, Mark, Protocol};

/// The first packet of a flow, on its way out, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its family, which is always known.
    pub family: Family,
    /// Where it comes from.
    pub source: Option<IpAddr>,
    /// Where it goes.
    pub destination: Option<IpAddr>,
    /// The interface on which it leaves.
    pub output_interface: Option<InterfaceName>,
    /// Its transport protocol.
    pub protocol: Option<Transport>,
    /// Its source port. What it is counts only for a protocol with ports.
    pub source_port: Option<u16>,
    /// Its destination port, likewise.
    pub destination_port: Option<u16>,
    /// Its mark.
    pub mark: Option<Mark>,
    /// Whether it goes to an address of this node.
    pub destination_type: Option<AddressType>,
}

/// A part of a packet, or what the kernel knows about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// The source address, as it is before anything is masqueraded.
    Source,
    /// The destination address.
    Destination,
    /// The interface on which the packet leaves.
    OutputInterface,
    /// The transport protocol.
    Protocol,
    /// The source port, as it is before anything is masqueraded.
    SourcePort,
    /// The destination port.
    DestinationPort,
    /// The number with which programs of the node mark packets for each other (`SO_MARK`, `-j MARK`).
    Mark,
    /// What the routing table says of the destination (`rtnetlink(7)`, `rtm_type`).
    DestinationType,
}

/// The fields that hold addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressField {
    /// [`Field::Source`].
    Source,
    /// [`Field::Destination`].
    Destination,
}

/// The fields that hold ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortField {
    /// [`Field::SourcePort`].
    Source,
    /// [`Field::DestinationPort`].
    Destination,
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// Of an [`AddressField`].
    Address(IpAddr),
    /// Of [`Field::Protocol`].
    Protocol(Transport),
    /// Of [`Field::DestinationType`].
    AddressType(AddressType),
    /// Of [`Field::OutputInterface`].
    Interface(InterfaceName),
    /// Of [`Field::Mark`].
    Mark(Mark),
    /// Of a [`PortField`], in network order. As bytes, so that a condition stays small.
    Port([u8; 2]),
}

/// The transport protocol of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// One that has ports.
    WithPorts(Protocol),
    /// One without ports, such as ICMP.
    Other,
}

/// The type of an address, as far as conditions distinguish it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressType {
    /// An address of this node (`RTN_LOCAL`).
    Local,
    /// Any other.
    Other,
}

impl Packet {
    /// A packet of this family, of which nothing else is known.
    #[must_use]
    pub const fn of(family: Family) -> Self {
        Self {
            family,
            source: None,
            destination: None,
            output_interface: None,
            protocol: None,
            source_port: None,
            destination_port: None,
            mark: None,
            destination_type: None,
        }
    }

    /// A packet of a protocol without ports, to an address that is not this node's.
    #[must_use]
    pub const fn to(destination: IpAddr) -> Self {
        Self {
            destination: Some(destination),
            protocol: Some(Transport::Other),
            destination_type: Some(AddressType::Other),
            ..Self::of(Family::of(destination))
        }
    }

    /// The value of a field, if it is known.
    #[must_use]
    pub(crate) fn value(&self, field: Field) -> Option<Value> {
        match field {
            Field::Source => self.source.map(Value::Address),
            Field::Destination => self.destination.map(Value::Address),
            Field::OutputInterface => self.output_interface.map(Value::Interface),
            Field::Protocol => self.protocol.map(Value::Protocol),
            Field::SourcePort => self.source_port.map(u16::to_be_bytes).map(Value::Port),
            Field::DestinationPort => self.destination_port.map(u16::to_be_bytes).map(Value::Port),
            Field::Mark => self.mark.map(Value::Mark),
            Field::DestinationType => self.destination_type.map(Value::AddressType),
        }
    }
}

impl From<AddressField> for Field {
    fn from(field: AddressField) -> Self {
        match field {
            AddressField::Source => Self::Source,
            AddressField::Destination => Self::Destination,
        }
    }
}

impl From<PortField> for Field {
    fn from(field: PortField) -> Self {
        match field {
            PortField::Source => Self::SourcePort,
            PortField::Destination => Self::DestinationPort,
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Destination => "destination",
            Self::OutputInterface => "output interface",
            Self::Protocol => "protocol",
            Self::SourcePort => "source port",
            Self::DestinationPort => "destination port",
            Self::Mark => "mark",
            Self::DestinationType => "type of destination",
        })
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Protocol(Transport::WithPorts(protocol)) => protocol.fmt(f),
            Self::AddressType(AddressType::Local) => f.write_str("local"),
            Self::Protocol(Transport::Other) | Self::AddressType(AddressType::Other) => f.write_str("other"),
            Self::Interface(name) => name.fmt(f),
            Self::Mark(mark) => mark.fmt(f),
            Self::Port(port) => u16::from_be_bytes(*port).fmt(f),
        }
    }
}
