//! YAML 1.1 as go-yaml v2 reads it.
//!
//! The data flows one way: [`scanner`] finds tokens with the help of [`scalar`] and [`tag`], [`parser`] turns them into events, which
//! [`read`] stores as nodes, [`check`] refuses what go-yaml and Go's JSON refuse, and [`resolve`](mod@resolve) says what a scalar
//! means.
//!
//! The grammar is that of libyaml, from which go-yaml descends, so that a text means here what it means there, with tabs, odd
//! indentation and all.

mod block;
mod check;
pub(crate) mod cursor;
mod flow;
mod parser;
mod resolve;
mod scalar;
mod scanner;
mod simple_key;
mod tag;

use std::collections::HashMap;

use crate::document::Format;
use crate::records::Kind;
use crate::text::Decoded;
use crate::tree::{Builder, Id, Properties, Tree};
use crate::{Document, Error, MAX_BYTES, Problem, Span};
use parser::{Event, Parser};
pub(crate) use resolve::{Scalar, Tag, is_merge_key, resolve};

/// The first document of a text.
///
/// go-yaml decodes the bytes in pieces, and no more of them than the first document needs. So what is not text after
/// that document matters only in its last piece.
pub(crate) fn read(decoded: Decoded<'_>) -> Result<Document<'_>, Error> {
    let Decoded { text, marks, fault } = decoded;
    if text.len() > MAX_BYTES {
        return Err(Error::new(Span::point(0, 1), Problem::Size));
    }
    let First { tree, rest, .. } = match (first(&text, marks), fault) {
        (Ok(first), Some(_)) if first.rest.is_some() && text.len() - marks >= first.decoded => first,
        (_, Some(fault)) => return Err(fault),
        (first, None) => first?,
    };
    let document = Document { text, tree, format: Format::Yaml, rest };
    check::check(&document)?;
    Ok(document)
}

/// The first document and what is after it.
struct First {
    tree: Tree,
    /// The bytes of the text that go-yaml decodes, in pieces, for the document.
    decoded: usize,
    /// The first word after the document.
    rest: Option<Span>,
}

/// The bytes that go-yaml decodes at once.
const PIECE: usize = 512;

fn first(text: &str, start: usize) -> Result<First, Error> {
    let mut parser = Parser::new(text, start);
    let mut builder = Builder::new(text);
    let mut anchors: HashMap<&str, Id> = HashMap::new();
    // Without a star there is no alias, so no anchor is ever looked up.
    let can_have_aliases = text.contains('*');
    loop {
        let step = parser.next()?;
        let id = builder.next();
        let properties = |plain| Properties { tag: step.tag, plain };
        match step.event {
            Event::DocumentEnd => break,
            Event::End => {
                builder.close(step.span.end);
                continue;
            }
            Event::Scalar { value, plain } => builder.scalar(properties(plain), step.span, &value),
            Event::SequenceStart => builder.open(Kind::List, properties(false), step.span)?,
            Event::MappingStart => builder.open(Kind::Map, properties(false), step.span)?,
            Event::Alias(name) => {
                let target = anchors.get(name).copied().ok_or_else(|| no_anchor(step.span, name))?;
                builder.alias(step.span, target);
            }
        }
        if let Some(name) = step.anchor.filter(|_| can_have_aliases) {
            anchors.insert(name, id);
        }
    }
    let decoded = (parser.scanner.cursor.position() - start).next_multiple_of(PIECE);
    Ok(First { tree: builder.finish(), decoded, rest: parser.rest() })
}

fn no_anchor(span: Span, name: &str) -> Error {
    let (start, rest) = crate::error::cut(name);
    let what = "without an anchor of that name before it; put a value with * into quotes";
    Error::yaml(span, format!("the alias *{start}{rest} {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Content;
    use proptest::prelude::*;

    /// What the texts are made of, with `;` between them.
    const PIECES: &str = "- a\n;- 10.0.0.0/8\n;- fd00::/8\n;- a:\n;- :a\n;- \n; - a\n; - [a\n]- a\n - a\n;  - a\n;- - a\n;k:\n;k: v\n;\
                          ;  ; ;-;a;:;\n;\t; #;';[;];---\n";

    /// All nodes of a document, each with its depth, its line and what is written there.
    fn outline(document: &Document<'_>) -> Vec<String> {
        let mut lines = Vec::new();
        let mut open: Vec<(usize, Id)> = document.root_id().map(|root| (0, root)).into_iter().collect();
        while let Some((depth, id)) = open.pop() {
            let node = document.stored(id);
            let content = match node.content {
                Content::List => "a list".to_owned(),
                Content::Map => "a map".to_owned(),
                Content::Alias(_) => "an alias".to_owned(),
                Content::Scalar(text) => format!("{text:?} {:?}", document.scalar(&node)),
            };
            let written = node.span.of(document.text()).unwrap().replace("\r\n", "\n");
            lines.push(format!("{depth} {} {written:?} {content}", node.span.line));
            if !matches!(node.content, Content::Alias(_)) {
                let children: Vec<Id> = document.children(id).map(|(id, _)| id).collect();
                open.extend(children.into_iter().rev().map(|child| (depth + 1, child)));
            }
        }
        lines
    }

    /// What a text says; if it is refused, what is wrong and on which line.
    fn outcome(text: &str) -> Result<(Vec<String>, Option<u32>), (Problem, u32)> {
        let First { tree, rest, .. } = first(text, 0).map_err(|error| (error.problem, error.span.line))?;
        let document = Document { text: text.into(), tree, format: Format::Yaml, rest };
        Ok((outline(&document), document.rest.map(|span| span.line)))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16_384))]
        /// Only before a line feed is an entry taken in one step; before other line breaks each of its tokens is scanned.
        #[test]
        fn a_list_entry_taken_in_one_step_is_what_its_tokens_make_of_it(
            pieces in prop::collection::vec(prop::sample::select(PIECES.split(';').collect::<Vec<_>>()), 0..10)
        ) {
            let text = pieces.concat();
            prop_assert_eq!(outcome(&text), outcome(&text.replace('\n', "\r\n")));
        }
    }
}
