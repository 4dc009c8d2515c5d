//! Fixes, and how they are applied: each time all that do not touch each other, until none is left.

use super::examine::Configurations;
use super::{Fix, Input, Report, examine};
use crate::config::{Config, Context};
use crate::policy::{Fingerprint, Flags, Policy};

/// Which fixes are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fixes {
    /// Those that cannot change what becomes of a packet.
    Safe,
    /// Also those that decide what was meant.
    All,
}

/// A text with fixes applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixed {
    /// The text.
    pub text: String,
    /// How many fixes were applied.
    pub count: usize,
}

/// More rounds than a file needs in which all fixes touch each other in pairs.
const MOST_ROUNDS: usize = 64;

/// The text with what can be fixed in it fixed, or `None` if nothing can.
///
/// What comes out is read again: safe fixes are kept only if the policy of each configuration in it is still the same one, by its
/// fingerprint.
#[must_use]
pub fn fix(text: &str, flags: &Flags, key: Option<&str>, fixes: Fixes) -> Option<Fixed> {
    let context = Context::from(flags);
    let mut result = Fixed { text: text.to_owned(), count: 0 };
    for _ in 0..MOST_ROUNDS {
        let input = Input { name: String::new(), content: Ok(result.text.clone().into_bytes()) };
        let report = examine(vec![input], &context, key);
        let (mended, count) = apply(&result.text, &report, fixes);
        // A file with errors decides nothing, so nothing shows that it would still decide the same.
        let is_the_same = || {
            let before = meaning(&result.text, flags, key);
            before.is_some() && before == meaning(&mended, flags, key)
        };
        if count == 0 || (fixes == Fixes::Safe && !is_the_same()) {
            break;
        }
        result = Fixed { text: mended, count: result.count + count };
    }
    (result.count > 0).then_some(result)
}

/// What all configurations of a text decide, if they are valid, and how often they look again.
fn meaning(text: &str, flags: &Flags, key: Option<&str>) -> Option<Vec<(Fingerprint, i64)>> {
    let meaning =
        |config: &Config| (Fingerprint::of(&Policy::new(config, flags)), config.resync_interval.value.as_nanos());
    let configs = Configurations::of(text.as_bytes(), text, Context::from(flags), key).ok()?.valid()?;
    Some(configs.iter().map(meaning).collect())
}

/// The text with every fix that touches none before it, and how many these are.
fn apply(text: &str, report: &Report, fixes: Fixes) -> (String, usize) {
    let is_wanted = |fix: &&Fix| fix.is_safe || fixes == Fixes::All;
    let mut wanted: Vec<&Fix> =
        report.diagnostics.iter().filter_map(|found| found.fix.as_ref()).filter(is_wanted).collect();
    wanted.sort_by_key(|fix| (fix.range.start, fix.range.end));
    let (mut result, mut done, mut count) = (String::with_capacity(text.len()), 0, 0);
    for Fix { range, replacement, .. } in wanted {
        if range.start < done || (count > 0 && range.start == done) {
            continue;
        }
        result.push_str(text.get(done..range.start).unwrap_or_default());
        result.push_str(replacement);
        done = range.end;
        count += 1;
    }
    result.push_str(text.get(done..).unwrap_or_default());
    (result, count)
}
