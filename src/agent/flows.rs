//! The flows that began under other rules, and how they come to follow those in force (`--conntrack=fix`).

use crate::backend::{ConntrackError, FitError, Fitted, FixFlows, Fixed, Outcome};
use crate::flows::{Before, Decisions};

/// Remembers under which policies flows may have begun, until they were looked at.
#[derive(Debug)]
pub(super) struct EarlierFlows {
    fixer: Box<dyn FixFlows>,
    /// The policy of the last pass, whether or not its rules came into force: they may have, for a moment.
    last: Option<Decisions>,
    /// Have rules come into force since the start?
    settled: bool,
    due: Before,
}

impl EarlierFlows {
    pub(super) const fn new(fixer: Box<dyn FixFlows>) -> Self {
        Self { fixer, last: None, settled: false, due: Before::nothing() }
    }

    /// Has it followed any policy so far?
    pub(super) const fn knows_a_policy(&self) -> bool {
        self.last.is_some()
    }

    /// Takes note of a pass over the rules, and deletes the flows that do not fit them, if there may be any. `renewed` is
    /// the policy, unless it is that of the last pass.
    pub(super) fn follow(
        &mut self,
        renewed: Option<Decisions>,
        rules: &Result<Option<Fitted<Outcome>>, FitError>,
    ) -> Option<Result<Fixed, ConntrackError>> {
        if let Some(now) = renewed
            && self.last.as_ref() != Some(&now)
            && let Some(earlier) = self.last.replace(now)
        {
            self.due.add(earlier);
        }
        if !self.settled {
            // What an earlier process applied is not known. If its rules are as ours shall be, so are its flows.
            if !matches!(rules, Ok(Some(fitted)) if !fitted.result.plan.concerns_packets()) {
                self.due = Before::Unknown;
            }
            self.settled = rules.is_ok();
        }
        let now = self.last.as_ref().filter(|_| rules.is_ok() && !self.due.is_nothing())?;
        let fixed = self.fixer.fix(&self.due, now);
        if fixed.is_ok() {
            self.due = Before::nothing();
        }
        Some(fixed)
    }
}

#[cfg(test)]
#[path = "flows_tests.rs"]
mod tests;
