//! The conditions of decisions.
//!
//! To add a field, add it to [`Field`], its values to [`Value`], a constructor to [`Condition`], and a row to
//! [`Packet::value`]. The tables of the rules then name what is missing there: how nf_tables loads it, how iptables and nft
//! write it.

use crate::net::{Cidr, Family, InterfaceName, Mark, MarkBits, PortRange, Protocol};

use super::few::Few;
use super::packet::{AddressField, AddressType, Field, Packet, PortField, Transport, Value};

/// What a field is tested for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Test {
    /// The address is in the range.
    Prefix(Cidr),
    /// The field has this value.
    Equal(Value),
    /// The field has another value.
    NotEqual(Value),
    /// The interface's name begins so.
    NamePrefix(InterfaceName),
    /// Some bits of the mark are these.
    Masked(MarkBits),
    /// The packet is of the protocol, and the port in the range.
    Range(Protocol, PortRange),
}

/// A field and what it is tested for. Only combinations that make sense can be constructed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Condition {
    field: Field,
    test: Test,
}

/// Selects the packets for which all of these conditions hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(Few<Condition>);

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

    /// The packet leaves on this interface.
    #[must_use]
    pub const fn output_interface(name: InterfaceName) -> Self {
        Self { field: Field::OutputInterface, test: Test::Equal(Value::Interface(name)) }
    }

    /// The packet leaves on another interface.
    #[must_use]
    pub const fn output_interface_other_than(name: InterfaceName) -> Self {
        Self { field: Field::OutputInterface, test: Test::NotEqual(Value::Interface(name)) }
    }

    /// The packet leaves on an interface whose name begins so.
    #[must_use]
    pub const fn output_interface_beginning(start: InterfaceName) -> Self {
        Self { field: Field::OutputInterface, test: Test::NamePrefix(start) }
    }

    /// The packet has this mark.
    #[must_use]
    pub const fn mark(mark: Mark) -> Self {
        Self { field: Field::Mark, test: Test::Equal(Value::Mark(mark)) }
    }

    /// The packet has another mark.
    #[must_use]
    pub const fn mark_other_than(mark: Mark) -> Self {
        Self { field: Field::Mark, test: Test::NotEqual(Value::Mark(mark)) }
    }

    /// Some bits of the packet's mark are these.
    #[must_use]
    pub const fn mark_bits(bits: MarkBits) -> Self {
        Self { field: Field::Mark, test: Test::Masked(bits) }
    }

    /// The packet is of the protocol, and its port in the range. Where that is all ports, only the protocol is tested.
    #[must_use]
    pub fn port(field: PortField, protocol: Protocol, range: PortRange) -> Self {
        if range == PortRange::ALL {
            return Self::protocol(protocol);
        }
        Self { field: field.into(), test: Test::Range(protocol, range) }
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
            _ => true,
        }
    }

    /// Whether it holds for every packet of a family.
    pub(crate) fn is_always_met(&self) -> bool {
        match self {
            Self::Prefix(range) => range.is_everything(),
            _ => false,
        }
    }

    /// The protocol of all packets for which it holds, if it asks for one.
    pub(crate) const fn protocol(&self) -> Option<Protocol> {
        match self {
            Self::Equal(Value::Protocol(Transport::WithPorts(protocol))) | Self::Range(protocol, _) => Some(*protocol),
            _ => None,
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
        let of_value = packet.value(field).map_or(Holds::Unknown(field), |value| Holds::of(self.holds_for(value)));
        match self {
            Self::Range(protocol, _) => {
                Holds::all([Condition::protocol(*protocol).holds(packet), of_value].into_iter())
            }
            _ => of_value,
        }
    }

    fn holds_for(&self, value: Value) -> bool {
        match self {
            Self::Prefix(range) => matches!(value, Value::Address(address) if range.contains(address)),
            Self::Equal(expected) => value == *expected,
            Self::NotEqual(excluded) => value != *excluded,
            Self::NamePrefix(start) => {
                matches!(value, Value::Interface(name) if name.as_bytes().starts_with(start.as_bytes()))
            }
            Self::Masked(bits) => matches!(value, Value::Mark(mark) if bits.are_of(mark)),
            Self::Range(_, range) => matches!(value, Value::Port(port) if range.contains(u16::from_be_bytes(port))),
        }
    }
}

impl Selector {
    /// Every packet.
    pub const EVERYTHING: Self = Self(Few::None);

    /// The packets for which all of these hold.
    #[must_use]
    pub fn all(conditions: Vec<Condition>) -> Self {
        Self(conditions.into())
    }

    /// The conditions that have to hold.
    #[must_use]
    pub fn conditions(&self) -> &[Condition] {
        &self.0
    }

    /// Whether it can select a packet of this family. It selects none if its conditions ask for two protocols, of which no
    /// rule is made: the kernel refuses some of these.
    #[must_use]
    pub fn concerns(&self, family: Family) -> bool {
        let mut protocol = None;
        self.conditions().iter().all(|condition| {
            let asked = condition.test.protocol();
            let is_only_one = asked.is_none_or(|asked| *protocol.get_or_insert(asked) == asked);
            is_only_one && condition.test.concerns(family)
        })
    }

    /// The range of destinations, if the selector tests nothing else.
    #[must_use]
    pub fn only_destination(&self) -> Option<Cidr> {
        match &self.0 {
            Few::One(Condition { field: Field::Destination, test: Test::Prefix(range) }) => Some(*range),
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
        Self(Few::One(condition))
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
