//! Kubernetes manifests with the agent's configuration in a `ConfigMap`, as they are in a repository or come from `kubectl get`.

mod scalar;
#[cfg(test)]
mod tests;

use std::ops::Range;

use goyaml::{Map, Node, Value};

use scalar::Scalar;

/// A configuration in a manifest: the value of one key of a `ConfigMap`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// The name of the `ConfigMap`, and its key.
    pub name: String,
    /// The configuration.
    pub text: String,
    /// For each byte of the configuration, and for its end, the place in the manifest.
    places: Vec<u32>,
}

/// What a manifest holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// It is none.
    NoManifest,
    /// The configurations of each `ConfigMap`. There is at least one.
    Configurations(Vec<Vec<Embedded>>),
    /// It is one, without a configuration. The texts say which keys there are, or what else there is.
    NoConfiguration(String),
}

/// The keys that are looked for, if none is named: upstream's and TKE's first, else Azure's, which may be two.
const KEY: &str = "config";
const AZURE_KEYS: &str = "ip-masq-agent";
/// A `ConfigMap` whose name has this in it is the agent's.
const NAME: &str = "ip-masq-agent";

impl Embedded {
    /// The place in the manifest of a part of the configuration.
    #[must_use]
    pub fn in_manifest(&self, range: &Range<usize>) -> Range<usize> {
        let place = |index: usize| self.places.get(index).or(self.places.last()).map_or(0, |place| *place as usize);
        let start = place(range.start);
        start..place(range.end).max(start)
    }
}

/// The configurations in a text, if it is a manifest: a document, or several, with an `apiVersion` and a `kind`. With `key` only that
/// key of a `ConfigMap` is looked at.
///
/// # Errors
///
/// When a document of it cannot be read.
pub fn read(text: &str, key: Option<&str>) -> Result<Content, goyaml::Error> {
    let mut found = Found::default();
    let mut start = 0;
    loop {
        let rest = text.get(start..).unwrap_or_default();
        let document = goyaml::parse(rest.as_bytes()).map_err(|error| moved(error, text, start))?;
        if let Some(root) = document.root() {
            found.add(&root, rest, start, key);
        }
        if found.manifests == 0 {
            return Ok(Content::NoManifest);
        }
        match document.further_documents() {
            Some(next) if next.start > 0 => start += next.start as usize,
            _ => return Ok(found.content(key)),
        }
    }
}

/// An error in a later document, with its place in the whole text.
fn moved(mut error: goyaml::Error, text: &str, by: usize) -> goyaml::Error {
    let before = text.get(..by).unwrap_or_default();
    let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    error.span.start += narrow(by);
    error.span.end += narrow(by);
    error.span.line += narrow(before.bytes().filter(|byte| *byte == b'\n').count());
    error
}

/// What was found so far.
#[derive(Default)]
struct Found {
    /// Documents and entries of lists that have a kind.
    manifests: usize,
    config_maps: Vec<ConfigMap>,
}

struct ConfigMap {
    name: String,
    keys: Vec<String>,
    embedded: Vec<Embedded>,
}

impl Found {
    fn add(&mut self, root: &Node<'_>, text: &str, offset: usize, key: Option<&str>) {
        let Value::Map(map) = root.value() else { return };
        let (Some(_), Some(kind)) = (text_of(map, "apiVersion"), text_of(map, "kind")) else { return };
        self.manifests += 1;
        if let Some(Value::List(items)) = value_of(map, "items") {
            // A list of kubectl's, whose entries have kinds, and whose own kind is List or ConfigMapList.
            items.for_each(|item| self.add_item(&item, text, offset, key));
        } else if kind == "ConfigMap" {
            self.config_maps.push(ConfigMap::of(map, text, offset, key));
        }
    }

    /// An entry of a list. Lists in lists are no business of Kubernetes'.
    fn add_item(&mut self, item: &Node<'_>, text: &str, offset: usize, key: Option<&str>) {
        let Value::Map(map) = item.value() else { return };
        if text_of(map, "kind").is_none_or(|kind| kind == "ConfigMap") && value_of(map, "data").is_some() {
            self.config_maps.push(ConfigMap::of(map, text, offset, key));
        }
    }

    fn content(mut self, key: Option<&str>) -> Content {
        if self.config_maps.len() > 1 {
            self.config_maps.retain(|map| map.name.contains(NAME));
        }
        let keys: Vec<String> = self.config_maps.iter().flat_map(|map| map.keys.clone()).collect();
        let found: Vec<_> =
            self.config_maps.into_iter().map(|map| map.embedded).filter(|embedded| !embedded.is_empty()).collect();
        if !found.is_empty() {
            return Content::Configurations(found);
        }
        let wanted = key.unwrap_or(KEY);
        Content::NoConfiguration(if keys.is_empty() {
            format!("there is no ConfigMap of the agent with the key {wanted} in it")
        } else {
            format!("the ConfigMap has no key {wanted}; it has {}", keys.join(", "))
        })
    }
}

impl ConfigMap {
    fn of(map: Map<'_>, text: &str, offset: usize, wanted: Option<&str>) -> Self {
        let metadata = value_of(map, "metadata");
        let name = match metadata {
            Some(Value::Map(metadata)) => text_of(metadata, "name").unwrap_or_default(),
            _ => String::new(),
        };
        let Some(Value::Map(data)) = value_of(map, "data") else {
            return Self { name, keys: Vec::new(), embedded: Vec::new() };
        };
        let pairs: Vec<_> = data.pairs().map(|pair| (pair.name().into_owned(), pair.value)).collect();
        let has = |key: &str| pairs.iter().any(|(name, _)| name == key);
        let is_wanted = |name: &str| match wanted {
            Some(wanted) => name == wanted,
            None if has(KEY) => name == KEY,
            None => name.starts_with(AZURE_KEYS),
        };
        let embedded = pairs.iter().filter(|(key, _)| is_wanted(key)).filter_map(|(key, value)| {
            let Value::Text(content) = value.value() else { return None };
            let scalar = Scalar { raw: text, span: value.span(), value: &content };
            let places = scalar.places().map(|place| u32::try_from(place + offset).unwrap_or(u32::MAX)).collect();
            Some(Embedded { name: format!("{name}/{key}"), text: content.into_owned(), places })
        });
        let embedded = embedded.collect();
        Self { name, keys: pairs.into_iter().map(|(key, _)| key).collect(), embedded }
    }
}

/// The value of a key; of a key that stands twice, the last one.
fn value_of<'t>(map: Map<'t>, key: &str) -> Option<Value<'t>> {
    map.pairs().filter(|pair| pair.name() == key).last().map(|pair| pair.value.value())
}

fn text_of(map: Map<'_>, key: &str) -> Option<String> {
    match value_of(map, key)? {
        Value::Text(text) => Some(text.into_owned()),
        _ => None,
    }
}
