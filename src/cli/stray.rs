//! Words that are neither flags nor verbs. Go's `flag` package stops at the first of them and ignores it and all that
//! follows, flags too; so a manifest that has one works, with upstream, as if it ended there.

use std::ffi::{OsStr, OsString};

use clap::Command;

use super::go_flags::{self, Word};
use super::klog;
use crate::text::distance;

/// Upstream's flags, except klog's.
const UPSTREAM: [&str; 7] =
    ["masq-chain", "nomasq-all-reserved-ranges", "enable-ipv6", "random-fully", "to-ports", "v", "version"];

/// No verb has so many letters.
const LONGEST: usize = 32;

/// What upstream would ignore of the arguments, which are cut off there.
///
/// Only a command line that can be upstream's is read so. Where a verb stands, a flag that upstream does not have, or a
/// word that looks like a misspelt verb, it was written for this agent, and nothing of it is ignored: clap says what is
/// wrong.
pub(super) fn cut_off(command: &Command, args: &mut Vec<OsString>) -> Vec<OsString> {
    let words = go_flags::words_of(command, args);
    let Some((place, Word::Other)) = words.last() else { return Vec::new() };
    let (place, rest) = (*place, args.get(*place..).unwrap_or_default());
    let flags_before =
        words.iter().filter_map(|(_, word)| if let Word::Flag(name) = word { Some(*name) } else { None });
    let flags_behind = rest.iter().filter_map(|word| go_flags::name(word));
    let is_upstreams = flags_before.chain(flags_behind).all(is_upstreams_flag)
        && !rest.iter().any(|word| is_verb(command, word))
        && !rest.first().is_some_and(|word| resembles_verb(command, word));
    if is_upstreams { args.split_off(place) } else { Vec::new() }
}

fn is_upstreams_flag(name: &OsStr) -> bool {
    let klogs = klog::SWITCHES.into_iter().chain(klog::VALUES.map(|(name, _)| name));
    UPSTREAM.into_iter().chain(klogs).any(|flag| name == flag)
}

fn is_verb(command: &Command, word: &OsStr) -> bool {
    command.find_subcommand(word).is_some()
}

/// Whether the word is one or two letters away from a verb.
fn resembles_verb(command: &Command, word: &OsStr) -> bool {
    let letters = |text: &str| text.chars().flat_map(char::to_lowercase).take(LONGEST).collect::<Vec<_>>();
    let word = letters(&word.to_string_lossy());
    command.get_subcommands().any(|verb| {
        let verb = letters(verb.get_name());
        let distance = distance(&word, &verb);
        distance <= 2 && distance < word.len().min(verb.len())
    })
}
