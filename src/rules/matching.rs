//! The conditions of rules: a field, and what it is tested for.

use super::Probability;
use crate::net::{Cidr, Protocol};
use crate::policy::{self, AddressField, Condition};

/// One condition of a rule. They sort by field, then by test. Only combinations that make sense can be constructed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Match {
    field: Field,
    test: Test,
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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Test {
    /// A test that the policy has, too.
    Packet(policy::Test),
    /// The address is in a set of the table.
    InSet {
        /// The set's name.
        set: Box<str>,
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
    pub const DESTINATION_NOT_LOCAL: Self = Self::from_condition(Condition::DESTINATION_IS_NOT_LOCAL);

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
        Self::from_condition(Condition::protocol(protocol))
    }

    /// An address, or only so many leading bits of it, is in a set of the table.
    #[must_use]
    pub fn in_set(field: AddressField, set: &str, prefix_len: Option<u8>) -> Self {
        Self { field: Field::Packet(field.into()), test: Test::InSet { set: set.into(), prefix_len } }
    }

    /// The destination address, or only so many leading bits of it, is in a set of the table.
    #[must_use]
    pub fn destination_in(set: &str, prefix_len: Option<u8>) -> Self {
        Self::in_set(AddressField::Destination, set, prefix_len)
    }

    /// The packet is in a share of all packets that is drawn at random.
    #[must_use]
    pub const fn random(probability: Probability) -> Self {
        Self { field: Field::Random, test: Test::Below(probability) }
    }

    /// The field that is tested.
    #[must_use]
    pub const fn field(&self) -> Field {
        self.field
    }

    /// What it is tested for.
    #[must_use]
    pub const fn test(&self) -> &Test {
        &self.test
    }

    /// The range of destinations, if it tests for one.
    #[must_use]
    pub fn destinations(&self) -> Option<Cidr> {
        match (self.field, &self.test) {
            (Field::Packet(policy::Field::Destination), Test::Packet(policy::Test::Prefix(range))) => Some(*range),
            _ => None,
        }
    }

    /// The lookup, if it is one.
    #[must_use]
    pub fn lookup(&self) -> Option<Lookup<'_>> {
        let Test::InSet { set, prefix_len } = &self.test else { return None };
        let field = match self.field {
            Field::Packet(policy::Field::Source) => AddressField::Source,
            Field::Packet(policy::Field::Destination) => AddressField::Destination,
            _ => return None,
        };
        Some(Lookup { field, set, prefix_len: *prefix_len })
    }

    /// The share of all packets, if it draws one.
    #[must_use]
    pub const fn probability(&self) -> Option<Probability> {
        if let Test::Below(probability) = self.test { Some(probability) } else { None }
    }

    const fn from_condition(condition: Condition) -> Self {
        Self { field: Field::Packet(condition.field()), test: Test::Packet(condition.test()) }
    }
}

impl From<Condition> for Match {
    fn from(condition: Condition) -> Self {
        Self::from_condition(condition)
    }
}
