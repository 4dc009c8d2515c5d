//! A policy, ready to be asked about a million destinations; and the policies under which flows may have begun.

use std::net::IpAddr;
use std::sync::Arc;

use crate::net::{AddressRange, Family, PortRanges};
use crate::policy::Policy;

/// How many earlier policies are remembered. More only come together while flows cannot be looked at.
const REMEMBERED: usize = 4;

/// What a policy says about destinations, without who said so: two policies that treat all traffic alike are equal. Cheap
/// to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decisions {
    /// The families that are treated, each with its exempt ranges, which are sorted and do not overlap.
    exempt: Arc<[(Family, Vec<AddressRange>)]>,
    random_fully: bool,
    to_ports: PortRanges,
}

/// Under which policies flows may have begun that are there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// Nobody knows: others that an earlier process applied, or no rules at all.
    Unknown,
    /// One of these.
    OneOf(Vec<Decisions>),
}

impl Decisions {
    /// What the policy says.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        let exempt = policy.families.iter().map(|family| {
            let ranges = family.exempt.iter().map(|exemption| AddressRange::from(exemption.cidr)).collect();
            (family.family, AddressRange::merged(ranges))
        });
        Self { exempt: exempt.collect(), random_fully: policy.random_fully, to_ports: policy.to_ports.clone() }
    }

    /// Is traffic of this family masqueraded at all?
    #[must_use]
    pub fn treats(&self, family: Family) -> bool {
        self.exempt_of(family).is_some()
    }

    /// Is traffic to this destination masqueraded?
    #[must_use]
    pub fn masquerades(&self, destination: IpAddr) -> bool {
        self.exempt_of(Family::of(destination)).is_some_and(|exempt| {
            let behind = exempt.partition_point(|range| range.first() <= destination);
            let range = behind.checked_sub(1).and_then(|at| exempt.get(at));
            !range.is_some_and(|range| range.contains(destination))
        })
    }

    /// Can the rules have given a flow from the port `old` the port `new`?
    #[must_use]
    pub fn may_translate_port(&self, old: u16, new: u16) -> bool {
        if self.to_ports.is_empty() {
            return !self.random_fully || new != old;
        }
        self.to_ports.contains(new)
    }

    fn exempt_of(&self, family: Family) -> Option<&[AddressRange]> {
        self.exempt.iter().find(|(of, _)| *of == family).map(|(_, ranges)| ranges.as_slice())
    }
}

impl Before {
    /// Nothing has changed yet.
    #[must_use]
    pub const fn nothing() -> Self {
        Self::OneOf(Vec::new())
    }

    /// Has nothing changed?
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::OneOf(policies) if policies.is_empty())
    }

    /// Flows may also have begun under this one.
    pub fn add(&mut self, earlier: Decisions) {
        if let Self::OneOf(policies) = self {
            if policies.len() < REMEMBERED {
                policies.push(earlier);
            } else {
                *self = Self::Unknown;
            }
        }
    }

    /// Flows may also have begun under any of these.
    pub fn extend(&mut self, others: &Self) {
        match others {
            Self::Unknown => *self = Self::Unknown,
            Self::OneOf(policies) => policies.iter().for_each(|policy| self.add(policy.clone())),
        }
    }

    /// May a flow to this destination have been masqueraded?
    #[must_use]
    pub fn may_have_masqueraded(&self, destination: IpAddr) -> bool {
        match self {
            Self::Unknown => true,
            Self::OneOf(policies) => policies.iter().any(|policy| policy.masquerades(destination)),
        }
    }

    /// May a flow to this destination have kept its source?
    #[must_use]
    pub fn may_have_kept(&self, destination: IpAddr) -> bool {
        match self {
            Self::Unknown => true,
            Self::OneOf(policies) => policies.iter().any(|policy| !policy.masquerades(destination)),
        }
    }
}
