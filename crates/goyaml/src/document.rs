//! The document model: what a text says, and where.

use std::borrow::Cow;
use std::fmt;

use crate::map::Map;
use crate::records::{Head, Kind};
use crate::tree::{Id, Start, Tree};
use crate::yaml::{self, Scalar, Tag};
use crate::{Error, Span, json};

/// What a text says. Nodes, lists and maps are looked up in it as they are asked for.
pub struct Document<'a> {
    pub(crate) text: Cow<'a, str>,
    pub(crate) tree: Tree,
    pub(crate) format: Format,
    pub(crate) rest: Option<Span>,
}

/// What a text is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Yaml,
    Json,
}

/// A value and where it is.
#[derive(Clone, Copy)]
pub struct Node<'t> {
    document: &'t Document<'t>,
    id: Id,
    /// What it is an alias of, or itself.
    target: Id,
}

/// What a value means.
#[derive(Clone, Debug)]
pub enum Value<'t> {
    /// `null`, and in YAML also `~` and what is not written at all.
    Null,
    /// A truth value; in YAML 1.1 also `yes`, `off` and the like.
    Bool(bool),
    /// A number, which in YAML may also be infinite or none at all (`.inf`, `.nan`) inside keys.
    Number(Number<'t>),
    /// A text.
    Text(Cow<'t, str>),
    /// A list.
    List(List<'t>),
    /// Keys with values.
    Map(Map<'t>),
}

/// A number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number<'t> {
    /// The number, if `encoding/json` decodes it into an `int64`: in JSON one that is written without fraction and exponent, in YAML
    /// also `1e3`, because Go prints that as a whole number on its way.
    pub whole: Option<i64>,
    /// The number as it is written.
    pub text: &'t str,
}

/// The entries of a list, in their order.
#[derive(Clone, Debug)]
pub struct List<'t>(pub(crate) Children<'t>);

/// A node as it is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored<'t> {
    pub(crate) content: Content<'t>,
    pub(crate) span: Span,
    tag: Option<Tag>,
    /// Whether this is a scalar without quotes, or a list of nothing but harmless scalars ([`Head::plain`]).
    pub(crate) plain: bool,
    /// Whether an alias points here.
    pub(crate) has_alias: bool,
    /// The place of the next node that is not part of this one.
    behind: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Content<'t> {
    Scalar(&'t str),
    List,
    Map,
    Alias(Id),
}

/// What stands in a list or map, or what an alias stands for: the nodes to come.
#[derive(Clone)]
pub(crate) struct Children<'t> {
    document: &'t Document<'t>,
    next: Id,
    end: u32,
}

impl Document<'_> {
    /// The text that all spans refer to, up to the first thing that is not text.
    ///
    /// Of UTF-8 it is the input as it is, with its byte order mark. Of UTF-16 it is what the input says, without the byte order mark.
    /// In JSON, what is not UTF-8 is replaced by U+FFFD.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The outermost value, unless the document is empty.
    #[must_use]
    pub fn root(&self) -> Option<Node<'_>> {
        self.root_id().map(|id| Node { document: self, id, target: id })
    }

    /// The first word of what is after the first document, which Go's readers ignore.
    #[must_use]
    pub fn further_documents(&self) -> Option<Span> {
        self.rest
    }

    pub(crate) fn root_id(&self) -> Option<Id> {
        (self.tree.records.end() > 0).then(Id::default)
    }

    pub(crate) fn stored(&self, id: Id) -> Stored<'_> {
        let (Head { kind, tag, plain, has_alias, start }, mut rest) = self.tree.records.head(id);
        let span = |length: u32| Span { start: start.place, end: start.place.saturating_add(length), line: start.line };
        let (content, span) = match kind {
            Kind::Written => {
                let span = span(rest.number());
                let quotes = u32::from(!plain);
                let value = Span { start: span.start + quotes, end: span.end.saturating_sub(quotes), ..span };
                (Content::Scalar(value.of(&self.text).unwrap_or_default()), span)
            }
            Kind::Copied => {
                let span = span(rest.number());
                let (start, length) = (rest.number() as usize, rest.number() as usize);
                (Content::Scalar(self.tree.copies.get(start..start + length).unwrap_or_default()), span)
            }
            Kind::List | Kind::Map => {
                rest = self.tree.records.at(rest.fixed());
                (if kind == Kind::List { Content::List } else { Content::Map }, span(rest.number()))
            }
            Kind::Alias => {
                let span = span(rest.number());
                (Content::Alias(rest.id()), span)
            }
        };
        Stored { content, span, tag, plain, has_alias, behind: rest.place() }
    }

    /// The node, or what it is an alias of.
    pub(crate) fn target(&self, id: Id) -> Id {
        if let Content::Alias(target) = self.stored(id).content { target } else { id }
    }

    pub(crate) fn children(&self, id: Id) -> Children<'_> {
        let (Head { kind, start, .. }, mut rest) = self.tree.records.head(id);
        let (next, end) = match kind {
            Kind::Written | Kind::Copied => (id, id.place),
            Kind::List | Kind::Map => {
                let end = rest.fixed();
                (Id { place: rest.place(), from: start }, end)
            }
            Kind::Alias => {
                rest.number();
                let target = rest.id();
                (target, self.stored(target).behind)
            }
        };
        Children { document: self, next, end }
    }

    /// Where the value of a node that is no alias is written, and what it means.
    fn located<'t>(&'t self, id: Id, stored: &Stored<'t>) -> (Span, Value<'t>) {
        let text = if let Content::Scalar(text) = stored.content { text } else { "" };
        let number = |whole| Value::Number(Number { whole, text });
        let value = match self.scalar(stored) {
            Ok(None) if matches!(stored.content, Content::Map) => Value::Map(Map { document: self, id }),
            Ok(None) => Value::List(List(self.children(id))),
            Ok(Some(Scalar::Null)) => Value::Null,
            Ok(Some(Scalar::Bool(value))) => Value::Bool(value),
            Ok(Some(Scalar::Int(value))) => number(Some(value)),
            Ok(Some(Scalar::Uint(_))) => number(None),
            // Go prints a float without a fraction as a whole number, and reads that.
            Ok(Some(Scalar::Float(value))) => {
                number(value.to_string().parse().ok().filter(|_| self.format == Format::Yaml))
            }
            Ok(Some(Scalar::Text(text))) => Value::Text(text),
            // A tag that does not fit its value is refused before there is a document.
            Err(_) => Value::Text(Cow::Borrowed(text)),
        };
        (stored.span, value)
    }

    /// The meaning of a scalar; `None` for a list, a map and an alias.
    pub(crate) fn scalar<'t>(&self, node: &Stored<'t>) -> Result<Option<Scalar<'t>>, Error> {
        let Content::Scalar(value) = node.content else { return Ok(None) };
        match self.format {
            Format::Json => Ok(Some(json::resolve(value, node.plain))),
            Format::Yaml => match yaml::resolve(value, node.plain, node.tag) {
                Ok(meaning) => Ok(Some(meaning)),
                Err(what) => Err(Error::yaml(node.span, what)),
            },
        }
    }
}

impl<'t> Iterator for Children<'t> {
    type Item = (Id, Stored<'t>);

    fn next(&mut self) -> Option<(Id, Stored<'t>)> {
        let child = (self.next.place < self.end).then_some(self.next)?;
        let stored = self.document.stored(child);
        self.next = Id { place: stored.behind, from: Start { place: stored.span.start, line: stored.span.line } };
        Some((child, stored))
    }
}

impl Stored<'_> {
    pub(crate) fn is_merge_key(&self) -> bool {
        matches!(self.content, Content::Scalar(value) if yaml::is_merge_key(value, self.plain, self.tag))
    }
}

impl<'t> Node<'t> {
    pub(crate) fn new(document: &'t Document<'t>, (id, stored): (Id, Stored<'t>)) -> Self {
        let target = if let Content::Alias(target) = stored.content { target } else { id };
        Self { document, id, target }
    }

    /// Where the value is written; for an alias, where that is written which it stands for.
    #[must_use]
    pub fn span(&self) -> Span {
        self.document.stored(self.target).span
    }

    /// Where the node is; for an alias, where the alias is written.
    #[must_use]
    pub fn written(&self) -> Span {
        self.document.stored(self.id).span
    }

    /// Whether an alias stands for this value elsewhere.
    #[must_use]
    pub fn has_alias(&self) -> bool {
        self.document.stored(self.id).has_alias
    }

    /// What the value means.
    #[must_use]
    pub fn value(&self) -> Value<'t> {
        self.located().1
    }

    /// Where the value is written, and what it means.
    #[must_use]
    pub fn located(&self) -> (Span, Value<'t>) {
        self.document.located(self.target, &self.document.stored(self.target))
    }

    /// The scalar as a text, whatever it means; empty for a list and a map.
    pub(crate) fn name(&self) -> Cow<'t, str> {
        let stored = self.document.stored(self.target);
        match self.document.scalar(&stored) {
            Ok(Some(Scalar::Text(text))) => text,
            _ => Cow::Borrowed(if let Content::Scalar(text) = stored.content { text } else { "" }),
        }
    }
}

impl<'t> List<'t> {
    /// Of each entry where its value is written, and what it means, as [`Node::located`] says it, in fewer steps: for long lists.
    pub fn located(self) -> impl Iterator<Item = (Span, Value<'t>)> {
        let document = self.0.document;
        self.0.map(|(id, stored)| match stored.content {
            Content::Alias(target) => document.located(target, &document.stored(target)),
            _ => document.located(id, &stored),
        })
    }
}

impl<'t> Iterator for List<'t> {
    type Item = Node<'t>;

    fn next(&mut self) -> Option<Node<'t>> {
        self.0.next().map(|child| Node::new(self.0.document, child))
    }
}

impl fmt::Debug for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("root", &self.root()).field("rest", &self.rest).finish_non_exhaustive()
    }
}

impl fmt::Debug for Node<'_> {
    /// Only the node itself: what is in it may be nested deeper than the stack is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("span", &self.span()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Children<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Children").field("next", &self.next.place).field("end", &self.end).finish_non_exhaustive()
    }
}
