//! Rules: conditions, and what happens to a packet for which all of them hold.

use std::borrow::Cow;

use super::{Lookup, Match, Probability, RETURN_COMMENT, SetPart};
use crate::net::PortRange;
use crate::policy::{DecisionRange, Few};

/// One rule: all matches must hold, then the verdict is given. Two rules that do the same are equal, whichever decisions they
/// carry out.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The matches in their order: two rules that mean the same are equal.
    matches: Few<Match>,
    outcome: Outcome,
    /// The decisions of the policy that it carries out: none, if it was not made of a policy, or only leads to other rules.
    decisions: DecisionRange,
}

/// The comment of a rule and its verdict. A list has a hundred thousand rules that return under our comment, and a handful of
/// others.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// [`RETURN_COMMENT`] and [`Verdict::Return`].
    Kept,
    Other(Box<(Option<Cow<'static, str>>, Verdict)>),
}

/// What a rule does to a packet that matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Back to the chain that jumped here.
    Return,
    /// On to another chain of the table.
    Jump(String),
    /// The source becomes the address of the interface on which the packet leaves.
    Masquerade(Masquerade),
}

/// How a packet is masqueraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Masquerade {
    /// The source port is drawn at random (`NF_NAT_RANGE_PROTO_RANDOM_FULLY`), instead of staying the same where that
    /// port is free.
    pub fully_random: bool,
    /// The source ports to use, if not all.
    pub ports: Option<PortRange>,
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        let Self { matches, outcome, decisions: _ } = self;
        *matches == other.matches && *outcome == other.outcome
    }
}

impl Eq for Rule {}

impl Rule {
    /// A rule; the matches are brought into their canonical order. One for the protocol says nothing beside one for ports
    /// of that protocol, and is left out.
    #[must_use]
    pub fn new(mut matches: Vec<Match>, comment: Option<Cow<'static, str>>, verdict: Verdict) -> Self {
        if matches.len() > 1 {
            matches.sort();
            let of_ports: Vec<Match> =
                matches.iter().filter_map(Match::ports).map(|(protocol, _)| Match::protocol(protocol)).collect();
            matches.retain(|condition| !of_ports.contains(condition));
        }
        let outcome = match (comment.as_deref(), &verdict) {
            (Some(RETURN_COMMENT), Verdict::Return) => Outcome::Kept,
            _ => Outcome::Other(Box::new((comment, verdict))),
        };
        Self { matches: matches.into(), outcome, decisions: DecisionRange::default() }
    }

    /// The same rule, which carries out these decisions.
    #[must_use]
    pub(crate) fn carrying_out(self, decisions: DecisionRange) -> Self {
        Self { decisions, ..self }
    }

    /// The same rule with other matches.
    fn with_matches(&self, matches: Vec<Match>) -> Self {
        let rule = match &self.outcome {
            Outcome::Kept => Self::new(matches, Some(RETURN_COMMENT.into()), Verdict::Return),
            Outcome::Other(other) => Self::new(matches, other.0.clone(), other.1.clone()),
        };
        rule.carrying_out(self.decisions)
    }

    /// The same rule, for a set that has another name.
    pub(crate) fn with_set_named(&self, set: &str, name: &str) -> Self {
        let renamed = self.matches.iter().map(|condition| match condition.lookup() {
            Some(lookup) if lookup.set == set => Match::in_set(lookup.field, name, lookup.prefix_len),
            _ => condition.clone(),
        });
        self.with_matches(renamed.collect())
    }

    /// The rules that together do the same where the elements of a set are spread over others: one for each of those in
    /// which its lookup can end.
    pub(crate) fn looking_up_instead(&self, set: &str, others: &[SetPart]) -> Vec<Self> {
        let is_it = |condition: &Match| condition.lookup().is_some_and(|lookup| lookup.set == set);
        let Some(at) = self.matches.iter().position(is_it) else { return vec![self.clone()] };
        let in_part = |part: &SetPart| {
            let replaced = self.matches.iter().enumerate().map(|(index, condition)| match condition.lookup() {
                Some(lookup) if index == at => Match::in_set(lookup.field, &part.name, part.prefix_len),
                _ => condition.clone(),
            });
            // The rule may look up its other address in the same set, too.
            self.with_matches(replaced.collect()).looking_up_instead(set, others)
        };
        others.iter().flat_map(in_part).collect()
    }

    /// The conditions, in their canonical order.
    #[must_use]
    pub fn matches(&self) -> &[Match] {
        &self.matches
    }

    /// The sets that it looks addresses up in.
    pub(crate) fn lookups(&self) -> impl Iterator<Item = Lookup<'_>> {
        self.matches.iter().filter_map(Match::lookup)
    }

    /// The share of the packets for which the other conditions hold that it takes; `None` for all.
    #[must_use]
    pub fn probability(&self) -> Option<Probability> {
        self.matches.iter().find_map(Match::probability)
    }

    /// The comment that listings show.
    #[must_use]
    pub fn comment(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Kept => Some(RETURN_COMMENT),
            Outcome::Other(other) => other.0.as_deref(),
        }
    }

    /// What happens to a packet that matches.
    #[must_use]
    pub const fn verdict(&self) -> &Verdict {
        match &self.outcome {
            Outcome::Kept => &Verdict::Return,
            Outcome::Other(other) => &other.1,
        }
    }

    /// The decisions of the policy that it carries out.
    #[must_use]
    pub const fn decisions(&self) -> DecisionRange {
        self.decisions
    }
}
