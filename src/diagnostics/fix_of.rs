//! The fix of a kind of mistake, if its text allows one.

use std::ops::Range;

use super::Fix;
use crate::config::{Key, Problem, Warning};
use crate::net::CidrError;

/// The fix of an error. None is safe: it decides what was meant.
pub(super) fn problem(problem: &Problem, text: &str, range: Range<usize>) -> Option<Fix> {
    match problem {
        Problem::Cidr { reason: CidrError::HostBits { network, .. }, .. } => {
            replaced(text, range, &network.to_string(), "write the network", false)
        }
        Problem::Cidr { reason: CidrError::LeadingZeros(cidr), .. } => {
            replaced(text, range, &cidr.to_string(), "write the length without zeros", false)
        }
        Problem::Cidr { reason: CidrError::NoPrefixLength(address), .. } => {
            let length = if address.is_ipv4() { 32 } else { 128 };
            replaced(text, range, &format!("{address}/{length}"), "write the range of this one address", false)
        }
        Problem::Type { place, is_null: true, .. } if place.index.is_some() => {
            Some(Fix { title: "remove the entry".to_owned(), is_safe: false, ..removed_entry(text, range)? })
        }
        _ => None,
    }
}

/// The fix of a warning; `other` is its second place.
pub(super) fn warning(warning: &Warning, text: &str, range: Range<usize>, other: Option<Range<usize>>) -> Option<Fix> {
    match warning {
        Warning::DuplicateCidr { .. } | Warning::ShadowedCidr { .. } | Warning::CoveredCidr { .. } => {
            removed_entry(text, range)
        }
        Warning::OtherCase { name, key, .. } => renamed(text, range, name, *key, true),
        Warning::DoubledKey { .. } => removed_pair(text, other?),
        // It may have been meant as a comment.
        Warning::UnknownKey { name, .. } => renamed(text, range, name, Key::close_to(name)?, false),
        _ => None,
    }
}

/// Puts a value in the place of a scalar, whose quotes stay.
fn replaced(text: &str, range: Range<usize>, by: &str, title: &str, is_safe: bool) -> Option<Fix> {
    let quotes = usize::from(text.get(range.clone())?.starts_with(['"', '\'']));
    let range = range.start + quotes..range.end.checked_sub(quotes)?;
    Some(Fix { title: format!("{title}: {by}"), range, replacement: by.to_owned(), is_safe })
}

/// Spells the key at the start of a pair.
fn renamed(text: &str, pair: Range<usize>, name: &str, key: Key, is_safe: bool) -> Option<Fix> {
    let written = text.get(pair.clone())?;
    let quotes = usize::from(written.starts_with(['"', '\'']));
    let is_as_it_is_called = written.get(quotes..)?.starts_with(name);
    let start = pair.start + quotes;
    let fix = || Fix {
        title: format!("write {key}"),
        range: start..start + name.len(),
        replacement: key.to_string(),
        is_safe,
    };
    is_as_it_is_called.then(fix)
}

/// Removes an entry of a list: in a block, its whole line, with a comment behind it; between brackets, its comma too.
fn removed_entry(text: &str, entry: Range<usize>) -> Option<Fix> {
    let title = format!("remove {}", text.get(entry.clone())?.trim_matches(['"', '\'']));
    let fix = |range| Some(Fix { title, range, replacement: String::new(), is_safe: true });
    if let Some(line) = own_line(text, &entry, "-") {
        return fix(line);
    }
    let before = text.get(..entry.start)?;
    let behind = text.get(entry.end..)?;
    let blanks = [' ', '\t', '\r', '\n'];
    if let Some(rest) = behind.trim_start_matches(blanks).strip_prefix(',') {
        // A line break behind the comma stays, so that what follows keeps its line.
        let rest = rest.trim_start_matches([' ', '\t']);
        return fix(entry.start..text.len() - rest.len());
    }
    let comma = before.trim_end_matches(blanks).strip_suffix(',')?.len();
    fix(comma..entry.end)
}

/// Removes a pair that stands alone on its lines.
fn removed_pair(text: &str, pair: Range<usize>) -> Option<Fix> {
    let written = text.get(pair.clone())?;
    // A block's span ends with the line feed of its last line.
    let pair = pair.start..pair.start + written.trim_end_matches(['\n', '\r', ' ']).len();
    let key = text.get(pair.clone())?.split(':').next()?.to_owned();
    let range = own_line(text, &pair, "")?;
    Some(Fix { title: format!("remove this {key}"), range, replacement: String::new(), is_safe: true })
}

/// The lines of a part, if nothing else stands on them but `before` and a comment behind it.
fn own_line(text: &str, part: &Range<usize>, before: &str) -> Option<Range<usize>> {
    let start = text.get(..part.start)?.rfind('\n').map_or(0, |line_feed| line_feed + 1);
    let rest = text.get(part.end..)?;
    let end = rest.find('\n').map_or(text.len(), |line_feed| part.end + line_feed + 1);
    let behind = text.get(part.end..end)?;
    let is_comment = behind.starts_with([' ', '\t']) && behind.trim_start().starts_with('#');
    let is_alone = text.get(start..part.start)?.trim() == before && (behind.trim().is_empty() || is_comment);
    is_alone.then_some(start..end)
}
