//! Events to a tree, in which an alias points to what it stands for.

use std::collections::HashMap;

use super::parser::{Event, Parser};
use super::records::{Head, Kind, Records};
use super::resolve::{self, Scalar, Tag};
use crate::config::error::MAX_DEPTH;
use crate::config::{ConfigError, Line, Problem};
use crate::text::Bare;

/// The first document of a text. Its nodes lie in one row, in the order of the text: an alias is the place of another node,
/// so that no alias is ever expanded, and neither reading nor dropping the deepest tree needs a stack. A text of two bytes can
/// be a node, so a node is a few bytes, and what a scalar says stays in the text.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    text: &'a str,
    /// What those scalars say that the text does not hold as such: escaped, folded.
    copies: String,
    records: Records,
    /// The bytes of the text that go-yaml decodes, in pieces, for the document.
    pub(super) decoded: usize,
    /// The line of what follows the document.
    pub(super) rest: Option<Line>,
}

/// The bytes that go-yaml decodes at once.
const PIECE: usize = 512;

/// The place of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id(u32);

#[derive(Clone, Copy, Debug)]
pub(super) struct Node<'t> {
    pub(super) content: Content<'t>,
    pub(super) line: Line,
    tag: Option<Tag>,
    /// Is this a scalar without quotes?
    plain: bool,
    /// Does an alias point here?
    pub(super) has_alias: bool,
    /// The node behind this one, be it inside of it.
    next: Id,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Content<'t> {
    Scalar(&'t str),
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

impl<'a> Tree<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, ConfigError> {
        let mut parser = Parser::new(text);
        let mut tree = Self { text, copies: String::new(), records: Records::default(), decoded: 0, rest: None };
        let mut anchors: HashMap<&str, Id> = HashMap::new();
        // Without a star there is no alias, and nobody asks for an anchor.
        let can_have_aliases = text.contains('*');
        let mut open: Vec<Id> = Vec::new();
        loop {
            let step = parser.next()?;
            let id = Id(tree.records.end());
            let head = |kind, plain| Head { kind, tag: step.tag, plain, has_alias: false, line: step.line };
            match step.event {
                Event::DocumentEnd => break,
                Event::End => {
                    if let Some(Id(closed)) = open.pop() {
                        tree.records.close(closed);
                    }
                    continue;
                }
                Event::Scalar { value, plain } => {
                    let (kind, start) = tree.keep(&value);
                    tree.records.push_scalar(head(kind, plain), start, value.len());
                }
                Event::SequenceStart => tree.records.push_collection(head(Kind::Sequence, false)),
                Event::MappingStart => tree.records.push_collection(head(Kind::Mapping, false)),
                Event::Alias(name) => {
                    let Id(target) = anchors.get(name).copied().ok_or_else(|| no_anchor(step.line, name))?;
                    tree.records.mark_alias_of(target);
                    tree.records.push_alias(head(Kind::Alias, false), target);
                }
            }
            if let Some(name) = step.anchor.filter(|_| can_have_aliases) {
                anchors.insert(name, id);
            }
            if matches!(tree.node(id).content, Content::Sequence { .. } | Content::Mapping { .. }) {
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

    /// Where the value of a scalar is from now on, and where it starts there.
    fn keep(&mut self, value: &str) -> (Kind, usize) {
        if let Some(start) = self.place_of(value) {
            return (Kind::Written, start);
        }
        let start = self.copies.len();
        self.copies.push_str(value);
        (Kind::Copied, start)
    }

    /// Where the value of a scalar starts in the text, if it is a part of that.
    fn place_of(&self, value: &str) -> Option<usize> {
        if value.is_empty() {
            return Some(0);
        }
        let start = (value.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize)?;
        let found = self.text.get(start..start.checked_add(value.len())?)?;
        std::ptr::eq(found, value).then_some(start)
    }

    /// The outermost node, unless the document is empty.
    pub(super) fn root(&self) -> Option<Id> {
        (self.records.end() > 0).then_some(Id(0))
    }

    pub(super) fn node(&self, id: Id) -> Node<'_> {
        let (head, mut rest) = self.records.head(id.0);
        let content = match head.kind {
            Kind::Written | Kind::Copied => {
                let text = if head.kind == Kind::Written { self.text } else { self.copies.as_str() };
                let (start, length) = (rest.number() as usize, rest.number() as usize);
                Content::Scalar(text.get(start..start + length).unwrap_or_default())
            }
            Kind::Sequence => Content::Sequence { end: Id(rest.fixed()) },
            Kind::Mapping => Content::Mapping { end: Id(rest.fixed()) },
            Kind::Alias => Content::Alias(Id(rest.number())),
        };
        let Head { tag, plain, has_alias, line, .. } = head;
        Node { content, line: Line(line), tag, plain, has_alias, next: Id(rest.place()) }
    }

    /// The node, or what it is an alias of.
    pub(super) fn target(&self, id: Id) -> Id {
        if let Content::Alias(target) = self.node(id).content { target } else { id }
    }

    pub(super) fn children(&self, id: Id) -> Children<'_> {
        let node = self.node(id);
        let (next, end) = match node.content {
            Content::Scalar(_) => (id, id),
            Content::Sequence { end } | Content::Mapping { end } => (node.next, end),
            Content::Alias(target) => (target, self.node(target).behind()),
        };
        Children { tree: self, next, end }
    }
}

fn no_anchor(line: u32, name: &str) -> ConfigError {
    let what = "without an anchor of that name before it; put a value with * into quotes";
    ConfigError::yaml(line, format!("the alias *{} {what}", Bare(name)))
}

impl Iterator for Children<'_> {
    type Item = Id;

    fn next(&mut self) -> Option<Id> {
        let child = (self.next < self.end).then_some(self.next)?;
        self.next = self.tree.node(child).behind();
        Some(child)
    }
}

impl<'t> Node<'t> {
    /// The next node that is not part of this one.
    fn behind(&self) -> Id {
        match self.content {
            Content::Sequence { end } | Content::Mapping { end } => end,
            Content::Scalar(_) | Content::Alias(_) => self.next,
        }
    }

    /// The meaning of a scalar; `None` for a collection and an alias.
    pub(super) fn scalar(&self) -> Result<Option<Scalar<'t>>, ConfigError> {
        let Content::Scalar(value) = self.content else { return Ok(None) };
        match resolve::resolve(value, self.plain, self.tag) {
            Ok(meaning) => Ok(Some(meaning)),
            Err(what) => Err(ConfigError::at(self.line, Problem::Yaml(what))),
        }
    }

    /// The text of a scalar as written.
    pub(super) const fn text(&self) -> &'t str {
        if let Content::Scalar(value) = self.content { value } else { "" }
    }

    pub(super) fn is_merge_key(&self) -> bool {
        matches!(self.content, Content::Scalar(value) if resolve::is_merge_key(value, self.plain, self.tag))
    }
}
