//! What a policy does with a packet: the one evaluator, for packets that are known in full or in part.

use super::{Action, Field, Holds, Packet, Policy};

/// What happens to a packet, and by which decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It keeps its source, by this decision of the policy.
    Kept(usize),
    /// It is masqueraded, by this decision of the policy.
    Masqueraded(usize),
    /// Its family is not treated, or no decision is about such a packet: it keeps its source.
    NotConcerned,
    /// That depends on a field of the packet that is not known.
    DependsOn(Field),
}

/// What happens to the source of a packet, be it by the policy or by the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// The packet leaves with the source that it has.
    Kept,
    /// It leaves behind the node's address.
    Masqueraded,
}

/// What happens to a packet: the first decision that applies to it holds.
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

/// The effects that earlier decisions or rules would have had on a packet, if unknown fields had the right values.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Doubts {
    kept: Option<Field>,
    masqueraded: Option<Field>,
}

impl Doubts {
    /// Records that this effect happens if the field has the right value.
    pub(crate) fn add(&mut self, effect: Effect, field: Field) {
        match effect {
            Effect::Kept => self.kept.get_or_insert(field),
            Effect::Masqueraded => self.masqueraded.get_or_insert(field),
        };
    }

    /// The field on which it depends whether this is the effect on the packet; `None` if it is in any case.
    pub(crate) const fn about(self, effect: Effect) -> Option<Field> {
        match effect {
            Effect::Kept => self.masqueraded,
            Effect::Masqueraded => self.kept,
        }
    }
}

impl Action {
    /// What happens to the source.
    #[must_use]
    pub const fn effect(&self) -> Effect {
        match self {
            Self::KeepSource => Effect::Kept,
            Self::Masquerade(_) => Effect::Masqueraded,
        }
    }
}
