//! YAML 1.1 as go-yaml v2 reads it, which is how upstream reads its configuration.
//!
//! The data flows one way: [`text`] decodes bytes, [`scanner`] finds tokens with the help of [`scalar`] and [`tag`],
//! [`parser`] turns them into events, [`tree`] keeps those as [`records`], [`check`] refuses what upstream refuses, [`resolve`] says
//! what a scalar means, and [`read`] picks the keys that are known.
//!
//! The grammar is that of libyaml, from which go-yaml descends, so that a file means here what it meant to upstream,
//! with tabs, odd indentation and all. `docs/decisions.md` says why it is no library.

mod check;
mod cursor;
mod flow;
mod parser;
mod records;
mod resolve;
mod scalar;
mod scanner;
mod tag;
mod text;
mod tree;

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::value::{Document, List, Pair, Value};
use super::{ConfigError, Key, Problem, Warning};
use crate::text::excerpt;
use resolve::Scalar;
pub(super) use text::{Decoded, decode};
use tree::{Children, Content, Id, Node, Tree};

/// The known keys and their values, in the order in which upstream applies them.
///
/// go-yaml decodes the bytes in pieces, and no more of them than the first document needs. So what is no text behind that
/// document matters only in its last piece.
pub(super) fn read(decoded: &Decoded<'_>) -> Result<Document<'static>, ConfigError> {
    let tree = match (Tree::read(&decoded.text), &decoded.fault) {
        (Ok(tree), Some(_)) if tree.rest.is_some() && decoded.text.len() >= tree.decoded => tree,
        (_, Some(fault)) => return Err(fault.clone()),
        (tree, None) => tree?,
    };
    check::check(&tree)?;
    let mut document = match tree.root().map(|root| (root, tree.node(root))) {
        None => Document::default(),
        Some((root, node)) => match (node.content, node.scalar()?) {
            (Content::Mapping { .. }, _) => pick(&tree, root)?,
            (_, Some(Scalar::Null)) => Document::default(),
            (Content::Sequence { .. }, _) => return Err(ConfigError::at(node.line, Problem::TopLevel("a list"))),
            _ => return Err(ConfigError::at(node.line, Problem::TopLevel("a single value"))),
        },
    };
    if let Some(line) = tree.rest {
        document.warnings.push(Warning::SecondDocument { line });
    }
    Ok(document)
}

/// Of equal keys the last one counts; then upstream sorts the keys by their bytes, because its way from YAML leads
/// through Go's JSON, and there of two keys that differ in case the later one counts.
fn pick(tree: &Tree<'_>, root: Id) -> Result<Document<'static>, ConfigError> {
    let mut document = Document::default();
    let mut known: BTreeMap<String, (Assignment, Pair)> = BTreeMap::new();
    for assignment in (Assignments { tree, open: vec![tree.children(root)] }) {
        let node = tree.node(tree.target(assignment.key));
        let (name, line) = match node.scalar()? {
            Some(Scalar::Text(name)) => (name, node.line),
            _ => (Cow::Borrowed(node.text()), node.line),
        };
        let Some(key) = Key::named(&name) else {
            // A key whose value is used elsewhere does its work there.
            if !tree.node(assignment.value).has_alias {
                document.warnings.push(Warning::UnknownKey { line, name: excerpt(&name) });
            }
            continue;
        };
        let name = name.into_owned();
        let value = value(tree.target(assignment.value), tree)?.into_owned();
        let pair = Pair { key, name: name.clone(), line, value };
        if let Some((before, pair)) = known.insert(name, (assignment, pair)) {
            // To override what is merged in is what merging is for.
            if !before.merged {
                document.warnings.push(Warning::DoubledKey { line, key, ignored: pair.line });
            }
        }
    }
    document.pairs = known.into_values().map(|(_, pair)| pair).collect();
    Ok(document)
}

/// A key and its value in the mapping or in one that is merged into it.
#[derive(Clone, Copy)]
struct Assignment {
    key: Id,
    value: Id,
    merged: bool,
}

/// All assignments in the order in which go-yaml makes them: a merged mapping at the place of its `<<`, and of a list
/// of those the first one last.
struct Assignments<'t> {
    tree: &'t Tree<'t>,
    /// What is left of the mappings that are open, the innermost last.
    open: Vec<Children<'t>>,
}

impl Iterator for Assignments<'_> {
    type Item = Assignment;

    fn next(&mut self) -> Option<Assignment> {
        let tree = self.tree;
        while let Some(mut rest) = self.open.pop() {
            let (Some(key), Some(value)) = (rest.next(), rest.next()) else { continue };
            let merged = !self.open.is_empty();
            self.open.push(rest);
            if !tree.node(key).is_merge_key() {
                return Some(Assignment { key, value, merged });
            }
            if matches!(tree.node(value).content, Content::Sequence { .. }) {
                self.open.extend(tree.children(value).map(|mapping| tree.children(tree.target(mapping))));
            } else {
                self.open.push(tree.children(tree.target(value)));
            }
        }
        None
    }
}

fn value<'t>(id: Id, tree: &'t Tree<'_>) -> Result<Value<'t>, ConfigError> {
    let node = tree.node(id);
    if !matches!(node.content, Content::Sequence { .. }) {
        return single(node);
    }
    let mut list = List::default();
    for child in tree.children(id) {
        let node = tree.node(tree.target(child));
        list.push(node.line, single(node)?);
    }
    Ok(Value::List(Box::new(list)))
}

/// A value without what stands in it.
fn single(node: Node<'_>) -> Result<Value<'_>, ConfigError> {
    let number = |whole| Value::Number { whole, text: Cow::Borrowed(node.text()) };
    Ok(match node.scalar()? {
        None if matches!(node.content, Content::Sequence { .. }) => Value::List(Box::default()),
        None => Value::Mapping,
        Some(Scalar::Null) => Value::Null,
        Some(Scalar::Bool(value)) => Value::Bool(value),
        Some(Scalar::Int(value)) => number(Some(value)),
        Some(Scalar::Uint(_)) => number(None),
        // Go prints a float without a fraction as a whole number, and reads that.
        Some(Scalar::Float(value)) => number(value.to_string().parse().ok()),
        Some(Scalar::Text(text)) => Value::Text(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the texts are made of, with `;` between them.
    const PIECES: &str = "- a\n;- 10.0.0.0/8\n;- fd00::/8\n;- a:\n;- :a\n;- \n; - a\n; - [a\n]- a\n - a\n;  - a\n;- - a\n;k:\n;k: v\n;\
                          ;  ; ;-;a;:;\n;\t; #;';[;];---\n";

    /// All nodes of a tree, each with its depth; but not where they stand in the text.
    fn outline(tree: &Tree<'_>) -> Vec<String> {
        let mut lines = Vec::new();
        let mut open: Vec<(usize, Id)> = tree.root().map(|root| (0, root)).into_iter().collect();
        while let Some((depth, id)) = open.pop() {
            let node = tree.node(id);
            let content = match node.content {
                Content::Sequence { .. } => "a list".to_owned(),
                Content::Mapping { .. } => "a mapping".to_owned(),
                Content::Alias(_) => "an alias".to_owned(),
                Content::Scalar(text) => format!("{text:?} {:?}", node.scalar()),
            };
            lines.push(format!("{depth} {} {content}", node.line));
            if !matches!(node.content, Content::Alias(_)) {
                let children: Vec<Id> = tree.children(id).collect();
                open.extend(children.into_iter().rev().map(|child| (depth + 1, child)));
            }
        }
        lines
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16_384))]
        /// Only before a line feed is an entry taken in one step; before other line breaks each of its tokens is scanned.
        #[test]
        fn a_list_entry_taken_in_one_step_is_what_its_tokens_make_of_it(
            pieces in prop::collection::vec(prop::sample::select(PIECES.split(';').collect::<Vec<_>>()), 0..10)
        ) {
            let text = pieces.concat();
            let read = |text: &str| Tree::read(text).map(|tree| (outline(&tree), tree.rest));
            prop_assert_eq!(read(&text), read(&text.replace('\n', "\r\n")));
        }
    }
}
