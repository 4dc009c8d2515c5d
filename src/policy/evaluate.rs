//! What becomes of a packet by the policy: the one evaluator, for packets that are known in full and for others.

use super::condition::{Field, Holds, Packet};
use super::{Action, Policy};

/// What becomes of a packet, and which decision says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It keeps its source, by this decision of the policy's.
    Kept(usize),
    /// It is masqueraded, by this decision of the policy's.
    Masqueraded(usize),
    /// Its family is not treated, or no decision is about such a packet: it keeps its source.
    NotConcerned,
    /// That depends on a field of the packet that is not known.
    DependsOn(Field),
}

/// What becomes of the source of a packet, whoever says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// The packet leaves with the source that it has.
    Kept,
    /// It leaves behind the node's address.
    Masqueraded,
}

/// What becomes of a packet: the first decision that is about it says so.
#[must_use]
pub fn evaluate(policy: &Policy, packet: &Packet) -> Answer {
    if !policy.treats(packet.family) {
        return Answer::NotConcerned;
    }
    let mut doubts = Doubts::default();
    for (index, decision) in policy.decisions.iter().enumerate() {
        match decision.when().holds(packet) {
            Holds::No => {}
            Holds::Unknown(field) => doubts.add(decision.then().effect(), field),
            Holds::Yes => {
                let answer = match decision.then() {
                    Action::KeepSource => Answer::Kept(index),
                    Action::Masquerade(_) => Answer::Masqueraded(index),
                };
                return doubts.about(decision.then().effect()).map_or(answer, Answer::DependsOn);
            }
        }
    }
    doubts.about(Effect::Kept).map_or(Answer::NotConcerned, Answer::DependsOn)
}

/// What would have become of a packet already, if fields that are not known had the right values.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Doubts {
    kept: Option<Field>,
    masqueraded: Option<Field>,
}

impl Doubts {
    /// If this field has the right value, then that happens.
    pub(crate) fn add(&mut self, effect: Effect, field: Field) {
        match effect {
            Effect::Kept => self.kept.get_or_insert(field),
            Effect::Masqueraded => self.masqueraded.get_or_insert(field),
        };
    }

    /// The field on which it depends whether this is what becomes of the packet; `None` if it happens in any case.
    pub(crate) const fn about(self, effect: Effect) -> Option<Field> {
        match effect {
            Effect::Kept => self.masqueraded,
            Effect::Masqueraded => self.kept,
        }
    }
}

impl Action {
    /// What becomes of the source.
    #[must_use]
    pub const fn effect(&self) -> Effect {
        match self {
            Self::KeepSource => Effect::Kept,
            Self::Masquerade(_) => Effect::Masqueraded,
        }
    }
}
