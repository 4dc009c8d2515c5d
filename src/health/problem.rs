//! The one thing to say of a node that is not ready: what node-problem-detector reports.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Kind, Reason};

/// What is wrong with a node, under the names that conditions and events of Kubernetes' nodes have. Of several, the first in
/// this order: that rules are not in force is worse than that they follow an old policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, clap::ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum Problem {
    /// The kernel refused the rules
    KernelRefused,
    /// The rules are not in force, because of others
    RulesMissing,
    /// Another program undoes the rules again and again
    RulesContested,
    /// The configuration cannot be used
    PolicyInvalid,
    /// The rules follow something else than the configuration
    PolicyDegraded,
}

impl Problem {
    /// The problem of a node that is not ready for these reasons; `None` if it is ready, has only begun, or its loop is stuck,
    /// while the rules stay as they were.
    #[must_use]
    pub fn of(reasons: &[Reason]) -> Option<Self> {
        let problem = |reason: &Reason| match reason.kind {
            Kind::Refused => Some(Self::KernelRefused),
            // The rules of another network namespace are none of the node's.
            Kind::Missing | Kind::NotOnHost => Some(Self::RulesMissing),
            Kind::Contested => Some(Self::RulesContested),
            Kind::Invalid => Some(Self::PolicyInvalid),
            Kind::Degraded => Some(Self::PolicyDegraded),
            Kind::Starting | Kind::Stuck => None,
        };
        reasons.iter().filter_map(problem).min()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_reasons_the_one_counts_that_is_worst() {
        use Kind::{Contested, Degraded, Invalid, Missing, NotOnHost, Refused, Starting, Stuck};
        for (kinds, expected) in [
            (&[][..], None),
            (&[Starting], None),
            (&[Starting, Stuck], None),
            (&[Degraded], Some(Problem::PolicyDegraded)),
            (&[Invalid, Degraded], Some(Problem::PolicyInvalid)),
            (&[Invalid, Degraded, Contested], Some(Problem::RulesContested)),
            (&[Degraded, Missing, Contested], Some(Problem::RulesMissing)),
            (&[NotOnHost, Stuck], Some(Problem::RulesMissing)),
            (&[Invalid, Refused, NotOnHost], Some(Problem::KernelRefused)),
        ] {
            let reasons: Vec<Reason> = kinds.iter().map(|kind| Reason { kind: *kind, text: String::new() }).collect();
            assert_eq!(Problem::of(&reasons), expected, "{kinds:?}");
        }
    }
}
