//! Text to tokens: the indentation, made visible.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::cursor::{Cursor, Mark};
use super::scalar::{self, Scalar};
use super::simple_key::{SimpleKey, missing_colon};
use super::tag;
use crate::{Error, Span};

/// A word of YAML's grammar.
#[derive(Debug, PartialEq)]
pub(super) enum Token<'a> {
    StreamEnd,
    VersionDirective { supported: bool },
    TagDirective { handle: &'a str, prefix: String },
    DocumentStart,
    DocumentEnd,
    BlockSequenceStart,
    BlockMappingStart,
    BlockEnd,
    FlowSequenceStart,
    FlowSequenceEnd,
    FlowMappingStart,
    FlowMappingEnd,
    BlockEntry,
    FlowEntry,
    Key,
    Value,
    Alias(&'a str),
    Anchor(&'a str),
    Tag { handle: &'a str, suffix: String },
    Scalar { value: Cow<'a, str>, plain: bool },
}

/// The tokens of a text, found as they are asked for, never further ahead than the grammar needs.
///
/// The two difficulties are those of every YAML scanner. Indentation opens and closes block collections without any
/// character saying so: `indents` holds the columns of the open ones. And that `a` in `a: b` is a key is known only at
/// the colon: `simple_keys` holds where a key may have begun, and the `Key` token is put before it afterwards.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    pub(super) cursor: Cursor<'a>,
    tokens: VecDeque<(Token<'a>, Span)>,
    /// The number of tokens already handed out; adding a place in `tokens` gives a token's number.
    taken: usize,
    /// Where the last token is that was handed out and is written: not only implied by what is around it.
    last_written: Span,
    /// The column of the innermost block collection; -1 outside all.
    indent: i64,
    indents: Vec<i64>,
    /// Open brackets and braces. Inside them, indentation means nothing.
    flow_level: usize,
    simple_key_allowed: bool,
    /// At most one for each flow level, outermost first, so that their token numbers ascend.
    simple_keys: VecDeque<SimpleKey>,
    /// Whether it is known that no `Key` comes before the first token.
    ready: bool,
    ended: bool,
}

impl<'a> Scanner<'a> {
    /// The tokens of the text after the byte at `start`.
    pub(super) fn new(text: &'a str, start: usize) -> Self {
        let cursor = Cursor::new(text, start);
        Self {
            last_written: cursor.point(),
            cursor,
            tokens: VecDeque::new(),
            taken: 0,
            indent: -1,
            indents: Vec::new(),
            flow_level: 0,
            simple_key_allowed: true,
            simple_keys: VecDeque::new(),
            ready: false,
            ended: false,
        }
    }

    /// The next token and where it is. After the end of the text, always the end.
    pub(super) fn peek(&mut self) -> Result<(&Token<'a>, Span), Error> {
        if !self.ready {
            self.make_ready()?;
        }
        let end = self.cursor.point();
        Ok(self.tokens.front().map_or((&Token::StreamEnd, end), |(token, span)| (token, *span)))
    }

    /// Takes the next token away.
    pub(super) fn next(&mut self) -> Result<(Token<'a>, Span), Error> {
        if !self.ready {
            self.make_ready()?;
        }
        self.ready = false;
        self.taken += 1;
        let (token, span) = self.tokens.pop_front().unwrap_or((Token::StreamEnd, self.cursor.point()));
        if span.start < span.end {
            self.last_written = span;
        }
        Ok((token, span))
    }

    /// The empty span after all tokens that were handed out.
    pub(super) fn behind(&mut self) -> Span {
        // Remembered, as the same long token may be asked about for every collection that ends with it.
        self.last_written = self.cursor.behind(self.last_written);
        self.last_written
    }

    /// The place after all tokens that were handed out.
    pub(super) fn end(&self) -> u32 {
        self.last_written.end
    }

    /// The word of a list entry and where it is, if that is no more than a plain word on a line of its own, and the next
    /// entry of the same list follows on the next line. Nearly all lines of a long list have this form, and their
    /// tokens would say nothing else. To be asked only where the entry of a block sequence can stand.
    pub(super) fn take_word_entry(&mut self) -> Option<(&'a str, Span)> {
        let at_entry = self.tokens.is_empty() && self.simple_key_allowed && self.cursor.column() == self.indent;
        if !at_entry {
            return None;
        }
        let (word, span) = self.cursor.take_word_entry(usize::try_from(self.indent).ok()?)?;
        // Of an entry without a word, only the dash is written.
        let is_empty = u32::from(word.is_empty());
        self.last_written = Span { start: span.start.saturating_sub(is_empty), ..span };
        Some((word, span))
    }

    fn make_ready(&mut self) -> Result<(), Error> {
        while !self.ended && (self.tokens.is_empty() || self.first_may_be_key()?) {
            self.fetch()?;
        }
        self.ready = true;
        Ok(())
    }

    /// Whether the first token in the queue could still turn out to be a key.
    fn first_may_be_key(&mut self) -> Result<bool, Error> {
        let Some(key) = self.simple_keys.front().copied().filter(|key| key.token == self.taken) else {
            return Ok(false);
        };
        let possible = key.is_still_possible(&self.cursor)?;
        if !possible {
            self.simple_keys.pop_front();
        }
        Ok(possible)
    }

    fn fetch(&mut self) -> Result<(), Error> {
        self.skip_to_token();
        self.unroll_indent(self.cursor.column());
        let flow = self.flow_level > 0;
        let spaced = self.cursor.is_space_at(1);
        match self.cursor.byte() {
            _ if self.cursor.is_end() => self.fetch_end(),
            b'%' if self.cursor.column() == 0 => self.fetch_directive(),
            byte @ (b'-' | b'.') if self.cursor.is_document_indicator() => self.fetch_document_indicator(byte),
            b'[' => self.fetch_flow_start(Token::FlowSequenceStart),
            b'{' => self.fetch_flow_start(Token::FlowMappingStart),
            b']' => self.fetch_flow_end(Token::FlowSequenceEnd),
            b'}' => self.fetch_flow_end(Token::FlowMappingEnd),
            b',' => self.fetch_flow_entry(),
            b'-' if spaced => self.fetch_block_entry(),
            b'?' if flow || spaced => self.fetch_key(),
            b':' if flow || spaced => self.fetch_value(),
            b'*' | b'&' | b'!' => self.fetch_property(),
            b'|' | b'>' if !flow => self.fetch_block_scalar(),
            b'\'' | b'"' => self.fetch_quoted_scalar(),
            b'|' | b'>' | b'%' | b'@' | b'`' | b'\t' => Err(self.no_token()),
            // Inside brackets `?` and `:` are taken above, so these start a word such as `:a` or `-a`.
            _ => self.fetch_plain_scalar(),
        }
    }

    fn no_token(&self) -> Error {
        self.cursor.fault(match self.cursor.byte() {
            b'\t' => "a tab stands where the indentation is; write spaces".to_owned(),
            byte => format!("no value can start with {:?}; put it into quotes", char::from(byte)),
        })
    }

    /// Moves past spaces, comments and line breaks. A tab is a space only where no key can start, so that it never
    /// counts as indentation.
    fn skip_to_token(&mut self) {
        loop {
            let tabs = self.flow_level > 0 || !self.simple_key_allowed;
            self.cursor.take_while(|byte| byte == b' ' || tabs && byte == b'\t');
            self.cursor.skip_comment();
            if self.cursor.take_break().is_empty() {
                return;
            }
            if self.flow_level == 0 {
                self.simple_key_allowed = true;
            }
        }
    }

    fn push(&mut self, token: Token<'a>, span: Span) {
        self.tokens.push_back((token, span));
    }

    /// Adds a token before the one of that number, or as the last.
    fn insert(&mut self, number: usize, token: Token<'a>, span: Span) {
        let place = number.saturating_sub(self.taken).min(self.tokens.len());
        self.tokens.insert(place, (token, span));
    }

    /// Adds a token that is `length` characters long.
    fn push_and_skip(&mut self, token: Token<'a>, length: usize) {
        let start = self.cursor.mark();
        for _ in 0..length {
            self.cursor.skip();
        }
        self.push(token, self.cursor.span_from(start));
    }

    /// Remembers that a key may begin here.
    fn save_simple_key(&mut self) -> Result<(), Error> {
        if self.simple_key_allowed {
            self.remove_simple_key()?;
            let mark = self.cursor.mark();
            self.simple_keys.push_back(SimpleKey {
                flow_level: self.flow_level,
                token: self.taken + self.tokens.len(),
                mark,
                required: self.flow_level == 0 && self.indent == mark.column,
            });
        }
        Ok(())
    }

    /// Forgets the possible key at this flow level, which was none after all.
    fn remove_simple_key(&mut self) -> Result<(), Error> {
        match self.simple_keys.back().copied().filter(|key| key.flow_level == self.flow_level) {
            Some(key) if key.required => Err(missing_colon(&key)),
            Some(_) => {
                self.simple_keys.pop_back();
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Opens a block collection at `mark`, if it is indented deeper than the innermost one; before the token of
    /// that number, or as the last.
    fn roll_indent(&mut self, token: Token<'a>, before: Option<usize>, mark: Mark) {
        if self.flow_level == 0 && self.indent < mark.column {
            self.indents.push(self.indent);
            self.indent = mark.column;
            self.insert(before.unwrap_or(usize::MAX), token, mark.point());
        }
    }

    /// Closes the block collections that are indented deeper than `column`.
    fn unroll_indent(&mut self, column: i64) {
        while self.flow_level == 0 && self.indent > column {
            self.push(Token::BlockEnd, self.cursor.point());
            self.indent = self.indents.pop().unwrap_or(-1);
        }
    }

    fn fetch_end(&mut self) -> Result<(), Error> {
        self.unroll_indent(-1);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        self.push(Token::StreamEnd, self.cursor.point());
        self.ended = true;
        Ok(())
    }

    fn fetch_directive(&mut self) -> Result<(), Error> {
        self.unroll_indent(-1);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        let start = self.cursor.mark();
        let token = tag::directive(&mut self.cursor)?;
        self.push(token, self.cursor.span_from(start));
        Ok(())
    }

    fn fetch_document_indicator(&mut self, byte: u8) -> Result<(), Error> {
        self.unroll_indent(-1);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        self.push_and_skip(if byte == b'-' { Token::DocumentStart } else { Token::DocumentEnd }, 3);
        Ok(())
    }

    fn fetch_flow_start(&mut self, token: Token<'a>) -> Result<(), Error> {
        self.save_simple_key()?;
        self.flow_level += 1;
        self.simple_key_allowed = true;
        self.push_and_skip(token, 1);
        Ok(())
    }

    fn fetch_flow_end(&mut self, token: Token<'a>) -> Result<(), Error> {
        self.remove_simple_key()?;
        self.flow_level = self.flow_level.saturating_sub(1);
        self.simple_key_allowed = false;
        self.push_and_skip(token, 1);
        Ok(())
    }

    fn fetch_flow_entry(&mut self) -> Result<(), Error> {
        self.remove_simple_key()?;
        self.simple_key_allowed = true;
        self.push_and_skip(Token::FlowEntry, 1);
        Ok(())
    }

    fn fetch_block_entry(&mut self) -> Result<(), Error> {
        self.start_block(Token::BlockSequenceStart, "a list entry cannot start here; put it on a line of its own")?;
        self.remove_simple_key()?;
        self.simple_key_allowed = true;
        self.push_and_skip(Token::BlockEntry, 1);
        Ok(())
    }

    fn fetch_key(&mut self) -> Result<(), Error> {
        self.start_block(Token::BlockMappingStart, "a key cannot start here; put it on a line of its own")?;
        self.remove_simple_key()?;
        self.simple_key_allowed = self.flow_level == 0;
        self.push_and_skip(Token::Key, 1);
        Ok(())
    }

    fn fetch_value(&mut self) -> Result<(), Error> {
        let candidate = self.simple_keys.back().copied().filter(|key| key.flow_level == self.flow_level);
        let key = match candidate {
            Some(key) if key.is_still_possible(&self.cursor)? => Some(key),
            _ => None,
        };
        if candidate.is_some() {
            self.simple_keys.pop_back();
        }
        if let Some(key) = key {
            self.insert(key.token, Token::Key, key.mark.point());
            self.roll_indent(Token::BlockMappingStart, Some(key.token), key.mark);
            self.simple_key_allowed = false;
        } else {
            self.start_block(Token::BlockMappingStart, "a colon that belongs to no key; write one `key: value` on each line, indented alike, and put a value with `: ` into quotes")?;
            self.simple_key_allowed = self.flow_level == 0;
        }
        self.push_and_skip(Token::Value, 1);
        Ok(())
    }

    /// Opens the block collection to which an entry, key or value at this place belongs.
    fn start_block(&mut self, token: Token<'a>, complaint: &str) -> Result<(), Error> {
        if self.flow_level == 0 && !self.simple_key_allowed {
            return Err(self.cursor.fault(complaint));
        }
        self.roll_indent(token, None, self.cursor.mark());
        Ok(())
    }

    fn fetch_property(&mut self) -> Result<(), Error> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let start = self.cursor.mark();
        let token = tag::property(&mut self.cursor)?;
        self.push(token, self.cursor.span_from(start));
        Ok(())
    }

    fn fetch_block_scalar(&mut self) -> Result<(), Error> {
        self.remove_simple_key()?;
        self.simple_key_allowed = true;
        let Scalar { value, span } = scalar::block(&mut self.cursor, self.indent)?;
        self.push(Token::Scalar { value, plain: false }, span);
        Ok(())
    }

    fn fetch_quoted_scalar(&mut self) -> Result<(), Error> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let Scalar { value, span } = scalar::quoted(&mut self.cursor)?;
        self.push(Token::Scalar { value, plain: false }, span);
        Ok(())
    }

    fn fetch_plain_scalar(&mut self) -> Result<(), Error> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let (Scalar { value, span }, ends_line) = scalar::plain(&mut self.cursor, self.indent, self.flow_level > 0)?;
        if ends_line {
            self.simple_key_allowed = true;
        }
        self.push(Token::Scalar { value, plain: true }, span);
        Ok(())
    }
}
