//! YAML 1.1 as go-yaml v2 reads it, which is how upstream reads its configuration.
//!
//! The data flows one way: [`text`] decodes bytes, [`scanner`] finds tokens with the help of [`scalar`] and [`tag`],
//! [`parser`] turns them into events, [`tree`] keeps those, [`check`] refuses what upstream refuses, [`resolve`] says
//! what a scalar means, and [`read`] picks the keys that are known.
//!
//! The grammar is that of libyaml, from which go-yaml descends, so that a file means here what it meant to upstream,
//! with tabs, odd indentation and all. `docs/decisions.md` says why it is no library.

mod check;
mod cursor;
mod flow;
mod parser;
mod resolve;
mod scalar;
mod scanner;
mod tag;
mod text;
mod tree;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::value::{Document, List, Pair, Value};
use super::{ConfigError, Key, Problem, Warning};
use resolve::Scalar;
pub(super) use text::{Decoded, decode};
use tree::{Content, Id, Node, Tree};

/// The known keys and their values, in the order in which upstream applies them.
///
/// go-yaml decodes the bytes in pieces, and no more of them than the first document needs. So what is no text behind that
/// document matters only in its last piece.
pub(super) fn read<'a>(decoded: &'a Decoded<'_>) -> Result<Document<'a>, ConfigError> {
    let tree = match (Tree::read(&decoded.text), &decoded.fault) {
        (Ok(tree), Some(_)) if tree.rest.is_some() && decoded.text.len() >= tree.decoded => tree,
        (_, Some(fault)) => return Err(fault.clone()),
        (tree, None) => tree?,
    };
    check::check(&tree)?;
    let mut document = match tree.root().map(|root| (root, tree.node(root))) {
        None => Document::default(),
        Some((root, node)) => match (&node.content, node.scalar()?) {
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
fn pick<'a>(tree: &Tree<'a>, root: Id) -> Result<Document<'a>, ConfigError> {
    let mut document = Document::default();
    let mut known: BTreeMap<String, (Assignment, Pair)> = BTreeMap::new();
    let mut unknown = BTreeSet::new();
    for assignment in assignments(tree, root) {
        let node = tree.node(tree.target(assignment.key));
        let (name, line) = match node.scalar()? {
            Some(Scalar::Text(name)) => (name.into_owned(), node.line),
            _ => (node.text().into_owned(), node.line),
        };
        let Some(key) = Key::named(&name) else {
            // A key whose value is used elsewhere does its work there.
            if !tree.node(assignment.value).has_alias && unknown.insert((line, name.clone())) {
                document.warnings.push(Warning::UnknownKey { line, name });
            }
            continue;
        };
        let pair = Pair { key, name: name.clone(), line, value: value(tree.target(assignment.value), tree)? };
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
fn assignments(tree: &Tree<'_>, root: Id) -> Vec<Assignment> {
    let mut all = Vec::new();
    let mut open = vec![tree.children(root)];
    while let Some(mut rest) = open.pop() {
        let (Some(key), Some(value)) = (rest.next(), rest.next()) else { continue };
        let merged = !open.is_empty();
        open.push(rest);
        if !tree.node(key).is_merge_key() {
            all.push(Assignment { key, value, merged });
        } else if matches!(tree.node(value).content, Content::Sequence { .. }) {
            open.extend(tree.children(value).map(|mapping| tree.children(tree.target(mapping))));
        } else {
            open.push(tree.children(tree.target(value)));
        }
    }
    all
}

fn value<'a>(id: Id, tree: &Tree<'a>) -> Result<Value<'a>, ConfigError> {
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
fn single<'a>(node: &Node<'a>) -> Result<Value<'a>, ConfigError> {
    let number = |whole| Value::Number { whole, text: node.text() };
    Ok(match node.scalar()? {
        None if matches!(node.content, Content::Sequence { .. }) => Value::List(Box::default()),
        None => Value::Mapping,
        Some(Scalar::Null) => Value::Null,
        Some(Scalar::Bool(value)) => Value::Bool(value),
        Some(Scalar::Int(value)) => number(Some(value)),
        Some(Scalar::Uint(_)) => number(None),
        // Go prints a float without a fraction as a whole number, and reads that.
        Some(Scalar::Float(value)) => number(value.to_string().parse().ok()),
        // Unlike what the tree lends, its copy of the text lives as long as the file's.
        Some(Scalar::Text(Cow::Borrowed(_))) => Value::Text(node.text()),
        Some(Scalar::Text(Cow::Owned(decoded))) => Value::Text(Cow::Owned(decoded)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the texts are made of, with `;` between them.
    const PIECES: &str = "- a\n;- 10.0.0.0/8\n;- fd00::/8\n;- a:\n;- :a\n;- \n; - a\n; - [a\n]- a\n - a\n;  - a\n;- - a\n;k:\n;k: v\n;\
                          ;  ; ;-;a;:;\n;\t; #;';[;];---\n";

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16_384))]
        /// Only before a line feed is an entry taken in one step; before other line breaks each of its tokens is scanned.
        #[test]
        fn a_list_entry_taken_in_one_step_is_what_its_tokens_make_of_it(
            pieces in prop::collection::vec(prop::sample::select(PIECES.split(';').collect::<Vec<_>>()), 0..10)
        ) {
            let text = pieces.concat();
            let read = |text: &str| format!("{:?}", Tree::read(text));
            prop_assert_eq!(read(&text), read(&text.replace('\n', "\r\n")));
        }
    }
}
