//! Tokens to events: the structure of the first document.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::resolve::Tag;
use super::scanner::{Scanner, Token};
use crate::error::cut;
use crate::{Error, Span};

/// One step through the structure of a document.
#[derive(Debug, PartialEq)]
pub(super) enum Event<'a> {
    Scalar {
        value: Cow<'a, str>,
        plain: bool,
    },
    SequenceStart,
    MappingStart,
    /// The end of the innermost sequence or mapping.
    End,
    Alias(&'a str),
    DocumentEnd,
}

/// An event with what stands before the value, and where it is. Of the start of a collection, only the start of the span means
/// something, and of the end of one only the end.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) event: Event<'a>,
    pub(super) anchor: Option<&'a str>,
    pub(super) tag: Option<Tag>,
    pub(super) span: Span,
}

/// What the grammar expects next, besides what encloses it.
#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    DocumentStart,
    DocumentEnd,
    BlockSequenceEntry,
    IndentlessSequenceEntry,
    BlockMappingKey,
    BlockMappingValue,
    FlowSequenceEntry { first: bool },
    FlowPairKey,
    FlowPairValue,
    FlowPairEnd,
    FlowMappingKey { first: bool },
    FlowMappingValue,
    FlowMappingNoValue,
}

/// Where a node stands decides which collections can start there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Place {
    Flow,
    Block,
    /// The value of a block mapping, where a sequence needs no deeper indentation.
    BlockValue,
}

/// The events of a text's first document, one at a time. The state of what is open lies in `states`, not on the
/// call stack: nesting costs memory, never a stack overflow.
#[derive(Debug)]
pub(super) struct Parser<'a> {
    pub(super) scanner: Scanner<'a>,
    pub(super) state: State,
    states: Vec<State>,
    /// The lines on which the open collections start, for messages.
    starts: Vec<u32>,
    /// The handles of tags and what they stand for.
    handles: BTreeMap<&'a str, String>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str, start: usize) -> Self {
        Self {
            scanner: Scanner::new(text, start),
            state: State::DocumentStart,
            states: Vec::new(),
            starts: Vec::new(),
            handles: BTreeMap::new(),
        }
    }

    pub(super) fn next(&mut self) -> Result<Node<'a>, Error> {
        match self.state {
            State::DocumentStart => self.document_start(),
            State::DocumentEnd => self.document_end(),
            State::BlockSequenceEntry => self.block_sequence_entry(),
            State::IndentlessSequenceEntry => self.indentless_sequence_entry(),
            State::BlockMappingKey => self.block_mapping_key(),
            State::BlockMappingValue => self.block_mapping_value(),
            State::FlowSequenceEntry { first } => self.flow_sequence_entry(first),
            State::FlowPairKey => self.flow_pair_key(),
            State::FlowPairValue => self.flow_pair_value(),
            State::FlowPairEnd => {
                self.state = State::FlowSequenceEntry { first: false };
                self.scanner.peek()?;
                Ok(bare(Event::End, self.scanner.behind()))
            }
            State::FlowMappingKey { first } => self.flow_mapping_key(first),
            State::FlowMappingValue => self.flow_mapping_value(),
            State::FlowMappingNoValue => {
                self.scanner.peek()?;
                Ok(self.empty(State::FlowMappingKey { first: false }))
            }
        }
    }

    /// Where the first token after the first document is, if there is one. What follows it is not read.
    pub(super) fn rest(&mut self) -> Option<Span> {
        loop {
            match self.scanner.peek() {
                Ok((Token::StreamEnd, _)) => return None,
                Ok((Token::DocumentEnd, _)) => self.scanner.next().ok()?,
                // What is only implied stands where the first word is.
                Ok((_, span)) if span.start == span.end => self.scanner.next().ok()?,
                Ok((_, span)) => return Some(span),
                Err(fault) => return Some(fault.span),
            };
        }
    }

    fn document_start(&mut self) -> Result<Node<'a>, Error> {
        let explicit = self.directives()?;
        self.states.push(State::DocumentEnd);
        if matches!(self.scanner.peek()?.0, Token::DocumentStart) {
            self.scanner.next()?;
            return self.document_content();
        }
        let (token, span) = self.scanner.peek()?;
        match token {
            Token::StreamEnd if !explicit => {
                self.states.pop();
                self.state = State::DocumentEnd;
                Ok(bare(Event::DocumentEnd, span))
            }
            _ if explicit => Err(Error::yaml(span, "no `---` behind the directives")),
            _ => self.node(Place::Block),
        }
    }

    /// Takes `%YAML` and `%TAG`; whether there were any.
    fn directives(&mut self) -> Result<bool, Error> {
        let mut version = false;
        let mut any = false;
        while let (Token::VersionDirective { .. } | Token::TagDirective { .. }, span) = self.scanner.peek()? {
            any = true;
            match self.scanner.next()?.0 {
                Token::VersionDirective { .. } if version => {
                    return Err(Error::yaml(span, "a second %YAML directive"));
                }
                Token::VersionDirective { supported: false } => {
                    return Err(Error::yaml(span, "a version of YAML that is not read here; write %YAML 1.1"));
                }
                Token::TagDirective { handle, .. } if self.handles.contains_key(handle) => {
                    return Err(Error::yaml(span, "a second %TAG directive for the same handle"));
                }
                Token::TagDirective { handle, prefix } => {
                    self.handles.insert(handle, prefix);
                }
                _ => version = true,
            }
        }
        for (handle, prefix) in [("!", "!"), ("!!", "tag:yaml.org,2002:")] {
            self.handles.entry(handle).or_insert_with(|| prefix.to_owned());
        }
        Ok(any)
    }

    fn document_content(&mut self) -> Result<Node<'a>, Error> {
        if matches!(
            self.scanner.peek()?.0,
            Token::VersionDirective { .. }
                | Token::TagDirective { .. }
                | Token::DocumentStart
                | Token::DocumentEnd
                | Token::StreamEnd
        ) {
            let state = self.enclosing();
            return Ok(self.empty(state));
        }
        self.node(Place::Block)
    }

    fn document_end(&mut self) -> Result<Node<'a>, Error> {
        // Whatever comes ends the document; but it must be a token.
        let span = self.scanner.peek()?.1;
        Ok(bare(Event::DocumentEnd, span))
    }

    /// A scalar that is not written, right after what is before it, and `state` after it.
    pub(super) fn empty(&mut self, state: State) -> Node<'a> {
        self.state = state;
        bare(Event::Scalar { value: Cow::Borrowed(""), plain: true }, self.scanner.behind())
    }

    pub(super) fn enclosing(&mut self) -> State {
        self.states.pop().unwrap_or(State::DocumentEnd)
    }

    /// A node, and `state` after it.
    pub(super) fn node_then(&mut self, state: State, place: Place) -> Result<Node<'a>, Error> {
        self.states.push(state);
        self.node(place)
    }

    fn node(&mut self, place: Place) -> Result<Node<'a>, Error> {
        let (token, first) = self.scanner.peek()?;
        let (anchor, tag) = match token {
            Token::Scalar { .. } => return self.scalar(None, None),
            Token::Anchor(_) | Token::Tag { .. } => self.properties()?,
            _ => (None, None),
        };
        let bare = anchor.is_none() && tag.is_none();
        let (token, span) = self.scanner.peek()?;
        let (event, state) = match token {
            Token::Alias(name) if bare => (Event::Alias(name), None),
            Token::BlockEntry if place == Place::BlockValue => {
                (Event::SequenceStart, Some(State::IndentlessSequenceEntry))
            }
            Token::Scalar { .. } => return self.scalar(anchor, tag),
            Token::FlowSequenceStart => (Event::SequenceStart, Some(State::FlowSequenceEntry { first: true })),
            Token::FlowMappingStart => (Event::MappingStart, Some(State::FlowMappingKey { first: true })),
            Token::BlockSequenceStart if place != Place::Flow => {
                (Event::SequenceStart, Some(State::BlockSequenceEntry))
            }
            Token::BlockMappingStart if place != Place::Flow => (Event::MappingStart, Some(State::BlockMappingKey)),
            _ if bare => return Err(Error::yaml(span, "no value where one is expected")),
            // An anchor or a tag alone stands for an empty scalar.
            _ => {
                self.state = self.enclosing();
                let event = Event::Scalar { value: Cow::Borrowed(""), plain: true };
                return Ok(Node { event, anchor, tag, span: Span { end: self.scanner.end(), ..first } });
            }
        };
        match state {
            None => {
                self.scanner.next()?;
                self.state = self.enclosing();
            }
            Some(state) => {
                // Only the entries of an indentless sequence have no token before them.
                if !matches!(state, State::IndentlessSequenceEntry) {
                    self.scanner.next()?;
                    self.starts.push(span.line);
                }
                self.state = state;
            }
        }
        Ok(Node { event, anchor, tag, span })
    }

    /// An anchor and a tag, in any order.
    fn properties(&mut self) -> Result<(Option<&'a str>, Option<Tag>), Error> {
        let mut anchor = None;
        let mut tag = None;
        loop {
            match self.scanner.peek()?.0 {
                Token::Anchor(_) if anchor.is_none() => {
                    if let (Token::Anchor(name), _) = self.scanner.next()? {
                        anchor = Some(name);
                    }
                }
                Token::Tag { .. } if tag.is_none() => {
                    if let (Token::Tag { handle, suffix }, span) = self.scanner.next()? {
                        tag = Some(self.tag(handle, &suffix, span)?);
                    }
                }
                _ => return Ok((anchor, tag)),
            }
        }
    }

    fn scalar(&mut self, anchor: Option<&'a str>, tag: Option<Tag>) -> Result<Node<'a>, Error> {
        self.state = self.enclosing();
        let (token, span) = self.scanner.next()?;
        let event = match token {
            Token::Scalar { value, plain } => Event::Scalar { value, plain },
            _ => Event::Scalar { value: Cow::Borrowed(""), plain: true },
        };
        Ok(Node { event, anchor, tag, span })
    }

    fn tag(&self, handle: &str, suffix: &str, span: Span) -> Result<Tag, Error> {
        if handle.is_empty() {
            return Ok(Tag::named(suffix));
        }
        if let Some(prefix) = self.handles.get(handle) {
            return Ok(Tag::named(&format!("{prefix}{suffix}")));
        }
        let (start, rest) = cut(handle);
        let what = "that no %TAG defines; put a value with ! into quotes";
        Err(Error::yaml(span, format!("the tag handle {start}{rest} {what}")))
    }

    /// The end of a collection that has a token of its own.
    pub(super) fn end(&mut self) -> Result<Node<'a>, Error> {
        self.starts.pop();
        self.state = self.enclosing();
        self.scanner.next()?;
        Ok(bare(Event::End, self.scanner.behind()))
    }

    /// What was found instead of the next part of a collection.
    pub(super) fn unexpected(&mut self, expected: &str, collection: &str, span: Span) -> Error {
        let start = self.starts.last().copied().unwrap_or(span.line);
        Error::yaml(span, format!("no {expected} where one is expected, in the {collection} from line {start}"))
    }
}

/// An event without anchor and tag.
pub(super) fn bare(event: Event<'_>, span: Span) -> Node<'_> {
    Node { event, anchor: None, tag: None, span }
}
