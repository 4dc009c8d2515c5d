//! What the log says of changes of the rules, and of the next attempt where there were none.

use tracing::{debug, info, warn};

use super::super::{PassResult, RulesReport};
use crate::config::Config;
use crate::text::counted;

/// When the next attempt is made after a failure.
pub(super) fn next_attempt(result: PassResult, config: &Config) -> String {
    let interval = config.resync_interval.value;
    match result {
        PassResult::Failed => format!(
            "it is tried again after a pause that doubles each time, at the latest after {interval}, and at once when the \
             file or the rules change"
        ),
        PassResult::Undone | PassResult::Overtaken => format!("it is tried again soon, at the latest after {interval}"),
        PassResult::Owned(_) => {
            "it is tried again at once when that process has ended, which is looked for four times a \
                                 second, or when the file or the rules change"
                .to_owned()
        }
        PassResult::InForce | PassResult::Repaired | PassResult::Stuck => {
            format!("it is tried again when the file or the rules change, at the latest after {interval}")
        }
    }
}

/// Logs the changes that were made, so many of them line by line.
pub(super) fn changes(rules: &RulesReport, most_lines: usize) {
    for mishap in &rules.mishaps {
        info!(event = "interference", mishap, "{mishap}");
    }
    let changes = rules.changes;
    if changes == 0 {
        debug!(event = "rules_in_force", "the rules are as they shall be");
        return;
    }
    info!(event = "rules_changed", changes, "the rules were changed and read back: {}", counted(changes, "change"));
    for (index, line) in rules.change_lines.iter().enumerate() {
        let (family, change) = (line.family.human(), &line.text);
        if index < most_lines {
            info!(event = "rules_change", family, change, "  {change}");
        } else {
            debug!(event = "rules_change", family, change, "  {change}");
        }
    }
    if changes > most_lines && most_lines > 0 {
        let more = changes - most_lines;
        info!(event = "rules_changes_left_out", more, verbosity = 4, "  … and {more} more (all of them with -v=4)");
    }
    for undone in &rules.left_undone {
        warn!(event = "change_left_undone", undone, "{undone}");
    }
}
