//! Rules for programs.

use crate::rules::Ruleset;

/// The ruleset as indented JSON, with a newline at its end. The keys are the field names of [`Ruleset`] and the types
/// below it; `jq` paths over them are stable.
#[must_use]
pub fn json(ruleset: &Ruleset) -> String {
    // Maps with string keys and finite numbers only: nothing here can fail to serialise.
    let mut text = serde_json::to_string_pretty(ruleset).unwrap_or_default();
    text.push('\n');
    text
}
