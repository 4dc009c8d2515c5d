//! The conditions of rules: a field, and what it is tested for.

use std::cmp::Ordering;

use super::Probability;
use crate::net::{Cidr, PortRange, Protocol};
use crate::policy::{self, AddressField, Condition};

/// One condition of a rule. They sort by field, then by test. Only combinations that make sense can be constructed.
///
/// A list has a hundred thousand of them, so the one that names a set, which few rules have, is on the heap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Packet(Condition),
    InSet(Box<InSet>),
    Random(Probability),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct InSet {
    field: AddressField,
    set: Box<str>,
    prefix_len: Option<u8>,
}

/// What a rule can test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// A field that the policy can test, too.
    Packet(policy::Field),
    /// A number that is drawn for each packet, so that the first packets of flows spread over several rules.
    Random,
}

/// What a field is tested for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Test<'a> {
    /// A test that the policy has, too.
    Packet(policy::Test),
    /// The address is in a set of the table.
    InSet {
        /// The set's name.
        set: &'a str,
        /// Only so many leading bits of the address are looked up, the others being taken for zero; `None` for all.
        prefix_len: Option<u8>,
    },
    /// The drawn number is in this share of all numbers.
    Below(Probability),
}

/// An address that is looked up in a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookup<'a> {
    /// Which address.
    pub field: AddressField,
    /// The set's name.
    pub set: &'a str,
    /// How many leading bits are looked up; `None` for all.
    pub prefix_len: Option<u8>,
}

impl Match {
    /// The destination is no address of this node.
    pub const DESTINATION_NOT_LOCAL: Self = Self(Kind::Packet(Condition::DESTINATION_IS_NOT_LOCAL));

    /// The destination address is in the range.
    #[must_use]
    pub fn destination(range: Cidr) -> Self {
        Condition::address(AddressField::Destination, range).into()
    }

    /// The source address is in the range.
    #[must_use]
    pub fn source(range: Cidr) -> Self {
        Condition::address(AddressField::Source, range).into()
    }

    /// The packet is of this protocol.
    #[must_use]
    pub const fn protocol(protocol: Protocol) -> Self {
        Self(Kind::Packet(Condition::protocol(protocol)))
    }

    /// An address, or only so many leading bits of it, is in a set of the table.
    #[must_use]
    pub fn in_set(field: AddressField, set: &str, prefix_len: Option<u8>) -> Self {
        Self(Kind::InSet(Box::new(InSet { field, set: set.into(), prefix_len })))
    }

    /// The destination address, or only so many leading bits of it, is in a set of the table.
    #[must_use]
    pub fn destination_in(set: &str, prefix_len: Option<u8>) -> Self {
        Self::in_set(AddressField::Destination, set, prefix_len)
    }

    /// The packet is in a share of all packets that is drawn at random.
    #[must_use]
    pub const fn random(probability: Probability) -> Self {
        Self(Kind::Random(probability))
    }

    /// The field that is tested.
    #[must_use]
    pub fn field(&self) -> Field {
        match &self.0 {
            Kind::Packet(condition) => Field::Packet(condition.field()),
            Kind::InSet(lookup) => Field::Packet(lookup.field.into()),
            Kind::Random(_) => Field::Random,
        }
    }

    /// What it is tested for.
    #[must_use]
    pub fn test(&self) -> Test<'_> {
        match &self.0 {
            Kind::Packet(condition) => Test::Packet(condition.test()),
            Kind::InSet(lookup) => Test::InSet { set: &lookup.set, prefix_len: lookup.prefix_len },
            Kind::Random(probability) => Test::Below(*probability),
        }
    }

    /// The range of destinations, if it tests for one.
    #[must_use]
    pub fn destinations(&self) -> Option<Cidr> {
        match (self.field(), self.test()) {
            (Field::Packet(policy::Field::Destination), Test::Packet(policy::Test::Prefix(range))) => Some(range),
            _ => None,
        }
    }

    /// The lookup, if it is one.
    #[must_use]
    pub fn lookup(&self) -> Option<Lookup<'_>> {
        let Kind::InSet(lookup) = &self.0 else { return None };
        let InSet { field, set, prefix_len } = &**lookup;
        Some(Lookup { field: *field, set, prefix_len: *prefix_len })
    }

    /// The share of all packets, if it draws one.
    #[must_use]
    pub const fn probability(&self) -> Option<Probability> {
        if let Kind::Random(probability) = self.0 { Some(probability) } else { None }
    }

    /// The protocol of all packets that meet it, if it asks for one.
    pub(crate) const fn asked_protocol(&self) -> Option<Protocol> {
        if let Kind::Packet(condition) = &self.0 { condition.test().protocol() } else { None }
    }

    /// The protocol and the ports, if it tests for any.
    pub(crate) const fn ports(&self) -> Option<(Protocol, PortRange)> {
        match &self.0 {
            Kind::Packet(condition) => match condition.test() {
                policy::Test::Range(protocol, range) => Some((protocol, range)),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Ord for Match {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.field(), self.test()).cmp(&(other.field(), other.test()))
    }
}

impl PartialOrd for Match {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<Condition> for Match {
    fn from(condition: Condition) -> Self {
        Self(Kind::Packet(condition))
    }
}
