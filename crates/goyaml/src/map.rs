//! Maps, and what Go makes of their keys.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use crate::document::{Children, Content, Format, Stored};
use crate::tree::Id;
use crate::{Document, Node, Span};

/// Keys with values.
#[derive(Clone, Copy)]
pub struct Map<'t> {
    pub(crate) document: &'t Document<'t>,
    pub(crate) id: Id,
}

/// A key and its value.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'t> {
    /// The key.
    pub key: Node<'t>,
    /// The value.
    pub value: Node<'t>,
    /// Whether they stand in a map that is merged into this one (`<<: *name`).
    pub merged: bool,
}

/// The pairs of a map and of those that are merged into it, in the order in which go-yaml assigns them: a merged map at the place of
/// its `<<`, and of a list of those the first one last.
pub struct Pairs<'t> {
    document: &'t Document<'t>,
    /// What is left of the maps that are open, the innermost last.
    open: Vec<Children<'t>>,
}

/// Pairs as `encoding/json` is handed them; it decodes each into its field, so that of two for one field the later one counts.
///
/// From JSON these are all pairs, in their order. YAML becomes a map of Go's first, so that of pairs with the same key only the last
/// one is left, and is then printed as JSON, in the order of the keys' bytes.
#[derive(Clone, Debug)]
pub struct Effective<'t>(Order<'t>);

#[derive(Clone, Debug)]
enum Order<'t> {
    AsWritten(Vec<Pair<'t>>),
    ByKey(BTreeMap<Cow<'t, str>, Pair<'t>>),
}

impl<'t> Map<'t> {
    /// All pairs, each as it is assigned: there may be several with the same key.
    #[must_use]
    pub fn pairs(&self) -> Pairs<'t> {
        Pairs { document: self.document, open: vec![self.document.children(self.id)] }
    }

    /// None of the pairs yet: what is [added](Effective::add) to it comes out in the order in which it counts.
    #[must_use]
    pub fn effective(&self) -> Effective<'t> {
        Effective(match self.document.format {
            Format::Json => Order::AsWritten(Vec::new()),
            Format::Yaml => Order::ByKey(BTreeMap::new()),
        })
    }
}

impl<'t> Pair<'t> {
    /// The key as a text. One that is a number or a truth value is given as it is written, where Go prints it anew (`0x10` as `16`).
    #[must_use]
    pub fn name(&self) -> Cow<'t, str> {
        self.key.name()
    }

    /// Where the pair is written: from the start of its key to the end of its value.
    #[must_use]
    pub fn span(&self) -> Span {
        self.key.written().to(self.value.written())
    }
}

impl<'t> Effective<'t> {
    /// Adds the next of the pairs. The result is the one before it that no longer counts.
    pub fn add(&mut self, pair: Pair<'t>) -> Option<Pair<'t>> {
        match &mut self.0 {
            Order::AsWritten(pairs) => {
                pairs.push(pair);
                None
            }
            Order::ByKey(pairs) => pairs.insert(pair.name(), pair),
        }
    }

    /// The pairs in the order in which they count.
    #[must_use]
    pub fn into_pairs(self) -> Vec<Pair<'t>> {
        match self.0 {
            Order::AsWritten(pairs) => pairs,
            Order::ByKey(pairs) => pairs.into_values().collect(),
        }
    }
}

impl<'t> Iterator for Pairs<'t> {
    type Item = Pair<'t>;

    fn next(&mut self) -> Option<Pair<'t>> {
        let document = self.document;
        let node = |child| Node::new(document, child);
        while let Some(mut rest) = self.open.pop() {
            let (Some(key), Some(value)) = (rest.next(), rest.next()) else { continue };
            let merged = !self.open.is_empty();
            self.open.push(rest);
            if document.format == Format::Json || !key.1.is_merge_key() {
                return Some(Pair { key: node(key), value: node(value), merged });
            }
            let (id, Stored { content, .. }) = value;
            if matches!(content, Content::List) {
                self.open.extend(document.children(id).map(|(map, _)| document.children(document.target(map))));
            } else {
                self.open.push(document.children(document.target(id)));
            }
        }
        None
    }
}

impl fmt::Debug for Map<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").finish_non_exhaustive()
    }
}

impl fmt::Debug for Pairs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pairs").finish_non_exhaustive()
    }
}
