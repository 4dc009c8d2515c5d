//! Events to a tree, in which an alias points to what it stands for.

use std::borrow::Cow;
use std::collections::HashMap;

use super::parser::{Event, Parser};
use super::resolve::{self, Scalar, Tag};
use crate::config::error::MAX_DEPTH;
use crate::config::{ConfigError, Line, Problem};
use crate::shown::Bare;

/// The first document of a text. Its nodes lie in one vector, in the order of the text: an alias is a number, so that
/// no alias is ever expanded, and neither reading nor dropping the deepest tree needs a stack.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    nodes: Vec<Node<'a>>,
    /// The bytes of the text that go-yaml decodes, in pieces, for the document.
    pub(super) decoded: usize,
    /// The line of what follows the document.
    pub(super) rest: Option<Line>,
}

/// The bytes that go-yaml decodes at once.
const PIECE: usize = 512;

/// The number of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id(u32);

#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) content: Content<'a>,
    pub(super) line: Line,
    tag: Option<Tag>,
    /// Is this a scalar without quotes?
    plain: bool,
    /// Does an alias point here?
    pub(super) has_alias: bool,
}

#[derive(Debug)]
pub(super) enum Content<'a> {
    Scalar(Cow<'a, str>),
    /// The entries are the nodes behind this one, up to the one that does not belong to it.
    Sequence {
        end: Id,
    },
    /// Keys and values in turn, stored like the entries of a sequence.
    Mapping {
        end: Id,
    },
    Alias(Id),
}

/// What stands in a sequence or mapping, or what an alias stands for: the nodes to come.
#[derive(Debug)]
pub(super) struct Children<'t> {
    tree: &'t Tree<'t>,
    next: Id,
    end: Id,
}

const NOTHING: Node<'static> =
    Node { content: Content::Scalar(Cow::Borrowed("")), line: Line(1), tag: None, plain: true, has_alias: false };

impl<'a> Tree<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, ConfigError> {
        let mut parser = Parser::new(text);
        let mut tree = Self { nodes: Vec::new(), decoded: 0, rest: None };
        let mut anchors: HashMap<&str, Id> = HashMap::new();
        let mut open: Vec<Id> = Vec::new();
        loop {
            let step = parser.next()?;
            let id = tree.end();
            let mut plain = false;
            let content = match step.event {
                Event::DocumentEnd => break,
                Event::End => {
                    if let Some(closed) = open.pop() {
                        tree.close(closed);
                    }
                    continue;
                }
                Event::Scalar { value, plain: is_plain } => {
                    plain = is_plain;
                    Content::Scalar(value)
                }
                Event::SequenceStart => Content::Sequence { end: id },
                Event::MappingStart => Content::Mapping { end: id },
                Event::Alias(name) => {
                    let target = anchors.get(name).copied().ok_or_else(|| {
                        let name = Bare(name);
                        ConfigError::yaml(
                            step.line,
                            format!(
                                "the alias *{name} without an anchor of that name before it; put a value with * into quotes"
                            ),
                        )
                    })?;
                    if let Some(target) = tree.nodes.get_mut(target.place()) {
                        target.has_alias = true;
                    }
                    Content::Alias(target)
                }
            };
            let is_collection = matches!(content, Content::Sequence { .. } | Content::Mapping { .. });
            tree.nodes.push(Node { content, line: Line(step.line), tag: step.tag, plain, has_alias: false });
            if let Some(name) = step.anchor {
                anchors.insert(name, id);
            }
            if is_collection {
                open.push(id);
                if open.len() > MAX_DEPTH {
                    return Err(ConfigError::at(Line(step.line), Problem::Depth));
                }
            }
        }
        tree.decoded = parser.scanner.cursor.position().next_multiple_of(PIECE);
        tree.rest = parser.rest().map(Line);
        Ok(tree)
    }

    /// The number of the next node.
    fn end(&self) -> Id {
        Id(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX))
    }

    /// What comes from here on no longer belongs to this collection.
    fn close(&mut self, id: Id) {
        let behind = self.end();
        if let Some(Content::Sequence { end } | Content::Mapping { end }) =
            self.nodes.get_mut(id.place()).map(|node| &mut node.content)
        {
            *end = behind;
        }
    }

    /// The outermost node, unless the document is empty.
    pub(super) fn root(&self) -> Option<Id> {
        (!self.nodes.is_empty()).then_some(Id(0))
    }

    pub(super) fn node(&self, id: Id) -> &Node<'a> {
        self.nodes.get(id.place()).unwrap_or(&NOTHING)
    }

    /// The node, or what it is an alias of.
    pub(super) fn target(&self, id: Id) -> Id {
        if let Content::Alias(target) = self.node(id).content { target } else { id }
    }

    pub(super) fn children(&self, id: Id) -> Children<'_> {
        let (next, end) = match self.node(id).content {
            Content::Scalar(_) => (id, id),
            Content::Sequence { end } | Content::Mapping { end } => (id.next(), end),
            Content::Alias(target) => (target, self.behind(target)),
        };
        Children { tree: self, next, end }
    }

    /// The next node that is not part of this one.
    fn behind(&self, id: Id) -> Id {
        match self.node(id).content {
            Content::Sequence { end } | Content::Mapping { end } => end,
            Content::Scalar(_) | Content::Alias(_) => id.next(),
        }
    }

    /// The number of nodes as written.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }
}

impl Iterator for Children<'_> {
    type Item = Id;

    fn next(&mut self) -> Option<Id> {
        let child = (self.next < self.end).then_some(self.next)?;
        self.next = self.tree.behind(child);
        Some(child)
    }
}

impl Id {
    fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The place of something that belongs to this node in a vector of [`Tree::len`].
    pub(super) fn place(self) -> usize {
        self.0 as usize
    }
}

impl<'a> Node<'a> {
    /// The meaning of a scalar; `None` for a collection and an alias.
    pub(super) fn scalar(&self) -> Result<Option<Scalar<'_>>, ConfigError> {
        let Content::Scalar(value) = &self.content else { return Ok(None) };
        match resolve::resolve(value, self.plain, self.tag) {
            Ok(meaning) => Ok(Some(meaning)),
            Err(what) => Err(ConfigError::at(self.line, Problem::Yaml(what))),
        }
    }

    /// The text of a scalar as written.
    pub(super) fn text(&self) -> Cow<'a, str> {
        if let Content::Scalar(value) = &self.content { value.clone() } else { Cow::default() }
    }

    pub(super) fn is_merge_key(&self) -> bool {
        matches!(&self.content, Content::Scalar(value) if resolve::is_merge_key(value, self.plain, self.tag))
    }
}
