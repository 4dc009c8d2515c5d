//! What a file says to the known keys, in the order in which upstream applies it.

use goyaml::{Document, Value};

use super::warning::Warnings;
use super::{ConfigError, Key, Location, Problem, SourceId, Warning};
use crate::text::excerpt;

/// A known key and its value.
#[derive(Debug)]
pub(super) struct Pair<'t> {
    pub(super) key: Key,
    /// The key as it is written.
    pub(super) name: String,
    /// Where the key and its value are.
    pub(super) location: Location,
    pub(super) value: Value<'t>,
}

/// The pairs with a known key. Of two with the same key, the later one counts.
pub(super) fn pairs<'t>(
    document: &'t Document<'t>,
    file: SourceId,
    warnings: &mut Warnings,
) -> Result<Vec<Pair<'t>>, ConfigError> {
    let map = match document.root().map(|root| (root.value(), root.span())) {
        None | Some((Value::Null, _)) => None,
        Some((Value::Map(map), _)) => Some(map),
        Some((other, span)) => {
            let what = if matches!(other, Value::List(_)) { "a list" } else { "a single value" };
            return Err(ConfigError::at(Location { file, span }, Problem::TopLevel(what)));
        }
    };
    let pairs = map.map_or_else(Vec::new, |map| known(map, file, warnings));
    if let Some(span) = document.further_documents() {
        warnings.push(Warning::SecondDocument { location: Location { file, span } });
    }
    Ok(pairs)
}

fn known<'t>(map: goyaml::Map<'t>, file: SourceId, warnings: &mut Warnings) -> Vec<Pair<'t>> {
    let location = |span| Location { file, span };
    let mut effective = map.effective();
    for pair in map.pairs() {
        let name = pair.name();
        let Some(key) = Key::named(&name) else {
            // A key whose value is used elsewhere does its work there.
            if !pair.value.has_alias() {
                let location = location(pair.key.span());
                warnings.push(Warning::UnknownKey { location, name: excerpt(&name) });
            }
            continue;
        };
        // To override what is merged in is what merging is for.
        if let Some(before) = effective.add(pair).filter(|before| !before.merged) {
            let (location, ignored) = (location(pair.span()), location(before.span()));
            warnings.push(Warning::DoubledKey { location, key, ignored });
        }
    }
    let pair = |pair: goyaml::Pair<'t>| {
        let name = pair.name().into_owned();
        let location = location(pair.span());
        Some(Pair { key: Key::named(&name)?, name, location, value: pair.value.value() })
    };
    effective.into_pairs().into_iter().filter_map(pair).collect()
}
