//! A policy, ready to be asked about a million packets; and the policies under which flows may have begun.

use std::sync::Arc;

use crate::net::{AddressRange, Family};
use crate::policy::{Action, Doubts, Effect, Field, Holds, Packet, Policy, PortChoice, Run, Selector};

/// How many earlier policies are remembered. There are more only while flows cannot be examined.
const REMEMBERED: usize = 4;

/// What a policy says about packets, without the origin of its decisions: two policies that treat all traffic alike are
/// equal, at least where they decide by destinations alone. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decisions(Arc<[(Family, Vec<Step>)]>);

/// A part of what is decided about a family; the first that applies to a packet holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// What goes to these destinations keeps its source. They are sorted and do not overlap, so that one of a hundred
    /// thousand is found quickly.
    KeptDestinations(Vec<AddressRange>),
    /// Any other decision.
    Decision(Selector, Action),
}

/// Whether rules of ours can have given a masqueraded flow its port. Ordered: the later is the more likely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PortIsOurs {
    /// They give other ports.
    No,
    /// It is the port that the flow had before. Rules of others leave it that if they can; ours, which draw it at random,
    /// come to the same one for about one flow in 65,536 (`nf_nat_l4proto_unique_tuple`).
    Hardly,
    /// They can.
    Possible,
}

/// The policies under which existing flows may have begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// Unknown: those that an earlier process applied, or no rules at all.
    Unknown,
    /// One of these.
    OneOf(Vec<Decisions>),
}

impl Decisions {
    /// What the policy says.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        let step = |run| match run {
            Run::KeptDestinations(ranges, _) => Step::KeptDestinations(ranges),
            Run::Other(decision, _) => Step::Decision(decision.when().clone(), decision.then().clone()),
        };
        let of_family = |family: &Family| (*family, policy.runs(*family).into_iter().map(step).collect());
        Self(policy.families.iter().map(of_family).collect())
    }

    /// Whether anything is decided about this family.
    #[must_use]
    pub fn treats(&self, family: Family) -> bool {
        self.0.iter().any(|(of, _)| *of == family)
    }

    /// What happens to the source of a packet, as [`policy::evaluate`](crate::policy::evaluate) has it; `None` if that
    /// depends on what is not known of it.
    #[must_use]
    pub fn effect(&self, packet: &Packet) -> Option<Effect> {
        let mut doubts = Doubts::default();
        for step in self.steps(packet.family) {
            let (effect, holds) = step.about(packet);
            match holds {
                Holds::No => {}
                Holds::Unknown(field) => doubts.add(effect, field),
                Holds::Yes => return doubts.about(effect).is_none().then_some(effect),
            }
        }
        doubts.about(Effect::Kept).is_none().then_some(Effect::Kept)
    }

    /// Whether rules that masquerade as these do can have given a flow from the port `old` the port `new`. If none
    /// masquerades, this cannot be known, and it is possible.
    #[must_use]
    pub fn port_is_ours(&self, family: Family, old: u16, new: u16) -> PortIsOurs {
        let choices = self.steps(family).iter().filter_map(Step::port_choice);
        let by = choices.map(|ports| match (ports.to_ports.is_empty(), ports.random_fully) {
            (true, true) if new == old => PortIsOurs::Hardly,
            (true, _) => PortIsOurs::Possible,
            (false, _) if ports.to_ports.contains(new) => PortIsOurs::Possible,
            (false, _) => PortIsOurs::No,
        });
        by.max().unwrap_or(PortIsOurs::Possible)
    }

    fn steps(&self, family: Family) -> &[Step] {
        self.0.iter().find(|(of, _)| *of == family).map_or(&[], |(_, steps)| steps)
    }
}

impl Step {
    fn port_choice(&self) -> Option<&PortChoice> {
        match self {
            Self::Decision(_, Action::Masquerade(ports)) => Some(ports),
            Self::Decision(..) | Self::KeptDestinations(_) => None,
        }
    }

    /// Its effect on packets that it applies to, and whether it applies to this one.
    fn about(&self, packet: &Packet) -> (Effect, Holds) {
        match self {
            Self::KeptDestinations(ranges) => {
                let holds = packet.destination.map_or(Holds::Unknown(Field::Destination), |destination| {
                    let behind = ranges.partition_point(|range| range.first() <= destination);
                    let range = behind.checked_sub(1).and_then(|at| ranges.get(at));
                    Holds::of(range.is_some_and(|range| range.contains(destination)))
                });
                (Effect::Kept, holds)
            }
            Self::Decision(when, then) => (then.effect(), when.holds(packet)),
        }
    }
}

impl Before {
    /// Nothing has changed yet.
    #[must_use]
    pub const fn nothing() -> Self {
        Self::OneOf(Vec::new())
    }

    /// Whether nothing has changed.
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

    /// Whether this can have been the effect on a flow that began with such a packet.
    #[must_use]
    pub fn may_have(&self, effect: Effect, packet: &Packet) -> bool {
        match self {
            Self::Unknown => true,
            Self::OneOf(policies) => {
                policies.iter().any(|policy| policy.effect(packet).is_none_or(|found| found == effect))
            }
        }
    }
}
