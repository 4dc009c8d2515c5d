//! The conditions of decisions, and packets as far as they are known.
//!
//! To add a field, add it to [`Field`], its values to [`Value`], a constructor to [`Condition`], and a row to
//! [`Packet::value`]. The tables of the rules then name what is missing there: how nf_tables loads it, how iptables and nft
//! write it.

use std::fmt;
use std::net::IpAddr;

use crate::net::{Cidr, Family, Protocol};

/// A part of a packet, or what the kernel knows about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// The source address, as it is before anything is masqueraded.
    Source,
    /// The destination address.
    Destination,
    /// The transport protocol.
    Protocol,
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

/// What a field is tested for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Test {
    /// The address is in the range.
    Prefix(Cidr),
    /// The field has this value.
    Equal(Value),
    /// The field has another value.
    NotEqual(Value),
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

/// A field and what it is tested for. Only combinations that make sense can be constructed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Condition {
    field: Field,
    test: Test,
}

/// Selects the packets for which all of these conditions hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(Conditions);

/// A policy has a hundred thousand selectors of one condition, which need no memory of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Conditions {
    None,
    One(Condition),
    Many(Box<[Condition]>),
}

/// The first packet of a flow, on its way out, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its family, which is always known.
    pub family: Family,
    /// Where it comes from.
    pub source: Option<IpAddr>,
    /// Where it goes.
    pub destination: Option<IpAddr>,
    /// Its transport protocol.
    pub protocol: Option<Transport>,
    /// Whether it goes to an address of this node.
    pub destination_type: Option<AddressType>,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// That depends on a field of which nothing is known.
    Unknown(Field),
}

impl From<AddressField> for Field {
    fn from(field: AddressField) -> Self {
        match field {
            AddressField::Source => Self::Source,
            AddressField::Destination => Self::Destination,
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Destination => "destination",
            Self::Protocol => "protocol",
            Self::DestinationType => "type of destination",
        })
    }
}

impl Condition {
    /// The destination of a packet is no address of this node.
    pub const DESTINATION_IS_NOT_LOCAL: Self =
        Self { field: Field::DestinationType, test: Test::NotEqual(Value::AddressType(AddressType::Local)) };

    /// An address of the packet is in the range.
    #[must_use]
    pub fn address(field: AddressField, range: Cidr) -> Self {
        Self { field: field.into(), test: Test::Prefix(range) }
    }

    /// The packet is of this protocol.
    #[must_use]
    pub const fn protocol(protocol: Protocol) -> Self {
        Self { field: Field::Protocol, test: Test::Equal(Value::Protocol(Transport::WithPorts(protocol))) }
    }

    /// The field that is tested.
    #[must_use]
    pub const fn field(&self) -> Field {
        self.field
    }

    /// What it is tested for.
    #[must_use]
    pub const fn test(&self) -> Test {
        self.test
    }

    /// Whether it holds for the packet.
    #[must_use]
    pub fn holds(&self, packet: &Packet) -> Holds {
        self.test.holds(self.field, packet)
    }
}

impl Test {
    /// Whether it can hold for packets of this family.
    pub(crate) fn concerns(&self, family: Family) -> bool {
        match self {
            Self::Prefix(range) => range.family() == family,
            Self::Equal(_) | Self::NotEqual(_) => true,
        }
    }

    /// Whether it holds for every packet of a family.
    pub(crate) fn is_always_met(&self) -> bool {
        match self {
            Self::Prefix(range) => range.is_everything(),
            Self::Equal(_) | Self::NotEqual(_) => false,
        }
    }

    /// Whether it holds for this field of the packet.
    pub(crate) fn holds(&self, field: Field, packet: &Packet) -> Holds {
        if !self.concerns(packet.family) {
            return Holds::No;
        }
        if self.is_always_met() {
            return Holds::Yes;
        }
        let Some(value) = packet.value(field) else { return Holds::Unknown(field) };
        Holds::of(match self {
            Self::Prefix(range) => matches!(value, Value::Address(address) if range.contains(address)),
            Self::Equal(expected) => value == *expected,
            Self::NotEqual(excluded) => value != *excluded,
        })
    }
}

impl Selector {
    /// Every packet.
    pub const EVERYTHING: Self = Self(Conditions::None);

    /// The packets for which all of these hold.
    #[must_use]
    pub fn all(conditions: Vec<Condition>) -> Self {
        Self(match conditions.as_slice() {
            [] => Conditions::None,
            [one] => Conditions::One(*one),
            _ => Conditions::Many(conditions.into()),
        })
    }

    /// The conditions that have to hold.
    #[must_use]
    pub fn conditions(&self) -> &[Condition] {
        match &self.0 {
            Conditions::None => &[],
            Conditions::One(one) => std::slice::from_ref(one),
            Conditions::Many(many) => many,
        }
    }

    /// Whether it can select a packet of this family.
    #[must_use]
    pub fn concerns(&self, family: Family) -> bool {
        self.conditions().iter().all(|condition| condition.test.concerns(family))
    }

    /// The range of destinations, if the selector tests nothing else.
    #[must_use]
    pub fn only_destination(&self) -> Option<Cidr> {
        match &self.0 {
            Conditions::One(Condition { field: Field::Destination, test: Test::Prefix(range) }) => Some(*range),
            _ => None,
        }
    }

    /// Whether it selects the packet.
    #[must_use]
    pub fn holds(&self, packet: &Packet) -> Holds {
        Holds::all(self.conditions().iter().map(|condition| condition.holds(packet)))
    }
}

impl From<Condition> for Selector {
    fn from(condition: Condition) -> Self {
        Self(Conditions::One(condition))
    }
}

impl Holds {
    pub(crate) const fn of(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }

    /// Whether all of these hold. If one does not, the answer is no, whatever the others depend on.
    pub(crate) fn all(several: impl Iterator<Item = Self>) -> Self {
        let mut all = Self::Yes;
        for one in several {
            match (one, all) {
                (Self::No, _) => return Self::No,
                (Self::Unknown(_), Self::Yes) => all = one,
                _ => {}
            }
        }
        all
    }
}

impl Packet {
    /// A packet of this family, of which nothing else is known.
    #[must_use]
    pub const fn of(family: Family) -> Self {
        Self { family, source: None, destination: None, protocol: None, destination_type: None }
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
            Field::Protocol => self.protocol.map(Value::Protocol),
            Field::DestinationType => self.destination_type.map(Value::AddressType),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Protocol(Transport::WithPorts(protocol)) => protocol.fmt(f),
            Self::AddressType(AddressType::Local) => f.write_str("local"),
            Self::Protocol(Transport::Other) | Self::AddressType(AddressType::Other) => f.write_str("other"),
        }
    }
}
