//! What both formats are read to: nodes in one row, in the order of the text.

use crate::records::{Head, Kind, Records};
use crate::span::narrow;
use crate::yaml::Tag;
use crate::{Error, MAX_DEPTH, Problem, Span};

/// The nodes of a document. They lie in one row, in the order of the text, and what a scalar says stays in the text: a text of two
/// bytes can be a node, so a node is a few bytes. An alias is the place of another node, so that no alias is ever expanded, and
/// neither reading nor dropping the deepest tree needs a stack.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) records: Records,
    /// What those scalars say that the text does not hold as such: escaped, folded.
    pub(crate) copies: String,
    /// Whether there is any alias.
    pub(crate) has_aliases: bool,
}

/// The place of a node. What it stores of where it stands in the text, it counts from another node, which is here too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id {
    /// The place of its record.
    pub(crate) place: u32,
    /// Where the node before it in the same collection starts, or, if it is the first one, that collection.
    pub(crate) from: Start,
}

/// Where a node starts in the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Start {
    pub(crate) place: u32,
    pub(crate) line: u32,
}

/// A tree that is still being read.
#[derive(Debug)]
pub(crate) struct Builder<'a> {
    text: &'a str,
    tree: Tree,
    /// The collections that are open.
    open: Vec<Open>,
    /// Where the last node starts that belongs to the innermost of those, or that collection itself.
    from: Start,
}

#[derive(Debug)]
struct Open {
    record: u32,
    start: Start,
    /// Whether this is a list of nothing but harmless scalars so far.
    is_plain: bool,
}

/// What a node has besides what it says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Properties {
    pub(crate) tag: Option<Tag>,
    /// Whether this is a scalar without quotes.
    pub(crate) plain: bool,
}

impl Properties {
    pub(crate) const NONE: Self = Self { tag: None, plain: false };
}

impl<'a> Builder<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, tree: Tree::default(), open: Vec::new(), from: Start::default() }
    }

    /// Where the next node will be.
    pub(crate) fn next(&self) -> Id {
        Id { place: self.tree.records.end(), from: self.from }
    }

    pub(crate) fn scalar(&mut self, properties: Properties, span: Span, value: &str) {
        let length = span.end.saturating_sub(span.start);
        // Quotes are one byte each.
        let quotes = u32::from(!properties.plain);
        if !is_harmless(properties, value) {
            self.is_not_plain();
        }
        let written = Span { start: span.start + quotes, end: span.end.saturating_sub(quotes), ..span };
        // Nearly all are slices of the text itself.
        if written.of(self.text).is_some_and(|written| std::ptr::eq(written, value) || written == value) {
            self.head(Kind::Written, properties, span);
            self.tree.records.push(length);
        } else {
            self.head(Kind::Copied, properties, span);
            self.tree.records.push(length);
            self.tree.records.push(narrow(self.tree.copies.len()));
            self.tree.records.push(narrow(value.len()));
            self.tree.copies.push_str(value);
        }
    }

    pub(crate) fn alias(&mut self, span: Span, target: Id) {
        self.tree.has_aliases = true;
        self.is_not_plain();
        self.tree.records.mark_alias_of(target.place);
        self.head(Kind::Alias, Properties::NONE, span);
        self.tree.records.push(span.end.saturating_sub(span.start));
        self.tree.records.push_id(target);
    }

    /// Opens a list or a map, to which belongs what comes until it is closed.
    pub(crate) fn open(&mut self, kind: Kind, properties: Properties, span: Span) -> Result<(), Error> {
        self.is_not_plain();
        let record = self.tree.records.end();
        self.head(kind, properties, span);
        self.tree.records.push_end();
        self.open.push(Open { record, start: self.from, is_plain: kind == Kind::List });
        if self.open.len() > MAX_DEPTH {
            return Err(Error::new(Span::point(span.start, span.line), Problem::Depth));
        }
        Ok(())
    }

    /// Closes the innermost list or map, which ends before the byte at `end` of the text.
    pub(crate) fn close(&mut self, end: u32) {
        if let Some(Open { record, start, is_plain }) = self.open.pop() {
            self.tree.records.close(record);
            if is_plain {
                self.tree.records.mark_plain(record);
            }
            self.tree.records.push(end.saturating_sub(start.place));
            self.from = start;
        }
    }

    /// The innermost collection has something that has to be looked at.
    fn is_not_plain(&mut self) {
        if let Some(open) = self.open.last_mut() {
            open.is_plain = false;
        }
    }

    pub(crate) fn finish(self) -> Tree {
        self.tree
    }

    fn head(&mut self, kind: Kind, Properties { tag, plain }: Properties, span: Span) {
        let head = Head { kind, tag, plain, has_alias: false, start: Start { place: span.start, line: span.line } };
        self.tree.records.push_head(head, self.from);
        self.from = head.start;
    }
}

/// Whether an entry of a list is valid whatever its value means: without a tag there is none that is not, but for numbers that are
/// infinite or none at all (`.inf`, `-.inf`, `.nan`).
fn is_harmless(Properties { tag, plain }: Properties, value: &str) -> bool {
    tag.is_none() && !(plain && value.starts_with(['.', '+', '-']))
}
