//! Events to a tree, in which an alias points to what it stands for.

use std::borrow::Cow;
use std::collections::HashMap;

use super::parser::{Event, Parser};
use super::resolve::{self, Scalar};
use crate::config::error::MAX_DEPTH;
use crate::config::shown::Bare;
use crate::config::{ConfigError, Line, Problem};

/// The first document of a text. Its nodes lie in one vector: an alias is a number, so that no alias is ever
/// expanded, and dropping the deepest tree needs no stack.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    nodes: Vec<Node<'a>>,
    /// The outermost node, unless the document is empty.
    pub(super) root: Option<Id>,
    /// The line of what follows the document.
    pub(super) rest: Option<Line>,
}

/// The number of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id(usize);

#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) line: Line,
    pub(super) content: Content<'a>,
    /// Does an alias point here?
    pub(super) has_alias: bool,
}

#[derive(Debug)]
pub(super) enum Content<'a> {
    Scalar {
        value: Cow<'a, str>,
        plain: bool,
        tag: Option<String>,
    },
    Sequence(Vec<Id>),
    /// Keys and values in turn.
    Mapping(Vec<Id>),
    Alias(Id),
}

const NOTHING: Node<'static> = Node {
    line: Line(1),
    content: Content::Scalar { value: Cow::Borrowed(""), plain: true, tag: None },
    has_alias: false,
};

impl<'a> Tree<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, ConfigError> {
        let mut parser = Parser::new(text);
        let mut tree = Self { nodes: Vec::new(), root: None, rest: None };
        let mut anchors: HashMap<&str, Id> = HashMap::new();
        let mut open: Vec<Id> = Vec::new();
        loop {
            let step = parser.next()?;
            let content = match step.event {
                Event::DocumentEnd => break,
                Event::End => {
                    open.pop();
                    continue;
                }
                Event::Scalar { value, plain } => Content::Scalar { value, plain, tag: step.tag },
                Event::SequenceStart => Content::Sequence(Vec::new()),
                Event::MappingStart => Content::Mapping(Vec::new()),
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
                    if let Some(target) = tree.nodes.get_mut(target.0) {
                        target.has_alias = true;
                    }
                    Content::Alias(target)
                }
            };
            let is_collection = matches!(content, Content::Sequence(_) | Content::Mapping(_));
            let id = tree.add(Node { line: Line(step.line), content, has_alias: false }, open.last().copied());
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
        tree.rest = parser.rest().map(Line);
        Ok(tree)
    }

    fn add(&mut self, node: Node<'a>, parent: Option<Id>) -> Id {
        let id = Id(self.nodes.len());
        self.nodes.push(node);
        match parent.and_then(|parent| self.nodes.get_mut(parent.0)).map(|parent| &mut parent.content) {
            Some(Content::Sequence(children) | Content::Mapping(children)) => children.push(id),
            _ => self.root = Some(id),
        }
        id
    }

    pub(super) fn node(&self, id: Id) -> &Node<'a> {
        self.nodes.get(id.0).unwrap_or(&NOTHING)
    }

    /// The node, or what it is an alias of.
    pub(super) fn target(&self, id: Id) -> &Node<'a> {
        let node = self.node(id);
        if let Content::Alias(target) = node.content { self.node(target) } else { node }
    }

    /// The number of nodes as written.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }
}

impl Id {
    /// The place of something that belongs to this node in a vector of [`Tree::len`].
    pub(super) fn place(self) -> usize {
        self.0
    }
}

impl Node<'_> {
    /// The meaning of a scalar; `None` for a collection.
    pub(super) fn scalar(&self) -> Result<Option<Scalar<'_>>, ConfigError> {
        match &self.content {
            Content::Scalar { value, plain, tag } => resolve::resolve(value, *plain, tag.as_deref())
                .map(Some)
                .map_err(|what| ConfigError::at(self.line, Problem::Yaml(what))),
            _ => Ok(None),
        }
    }

    /// The text of a scalar as written.
    pub(super) fn text(&self) -> &str {
        if let Content::Scalar { value, .. } = &self.content { value } else { "" }
    }

    pub(super) fn is_merge_key(&self) -> bool {
        matches!(&self.content, Content::Scalar { value, plain, tag }
            if resolve::is_merge_key(value, *plain, tag.as_deref()))
    }
}
