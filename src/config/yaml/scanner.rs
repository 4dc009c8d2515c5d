//! Text to tokens: the indentation, made visible.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::cursor::{Cursor, Mark};
use super::{scalar, tag};
use crate::config::ConfigError;

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
    tokens: VecDeque<(Token<'a>, u32)>,
    /// The number of tokens already handed out; adding a place in `tokens` gives a token's number.
    taken: usize,
    /// The column of the innermost block collection; -1 outside of all.
    indent: i64,
    indents: Vec<i64>,
    /// Open brackets and braces. Inside of them, indentation means nothing.
    flow_level: usize,
    simple_key_allowed: bool,
    /// At most one for each flow level, outermost first, so that their token numbers ascend.
    simple_keys: VecDeque<SimpleKey>,
    /// Is it known that no `Key` comes before the first token?
    ready: bool,
    ended: bool,
}

/// Where a key may have begun that no `?` announces.
#[derive(Clone, Copy, Debug)]
struct SimpleKey {
    flow_level: usize,
    token: usize,
    mark: Mark,
    /// At this column only a key can stand.
    required: bool,
}

/// The most characters between the start of a key and its colon.
const MAX_SIMPLE_KEY: i64 = 1024;

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            cursor: Cursor::new(text),
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

    /// The next token and its line. Behind the end of the text, always the end.
    pub(super) fn peek(&mut self) -> Result<(&Token<'a>, u32), ConfigError> {
        if !self.ready {
            self.make_ready()?;
        }
        let line = self.cursor.line();
        Ok(self.tokens.front().map_or((&Token::StreamEnd, line), |(token, line)| (token, *line)))
    }

    /// Takes the next token away.
    pub(super) fn next(&mut self) -> Result<(Token<'a>, u32), ConfigError> {
        if !self.ready {
            self.make_ready()?;
        }
        self.ready = false;
        self.taken += 1;
        Ok(self.tokens.pop_front().unwrap_or((Token::StreamEnd, self.cursor.line())))
    }

    /// The word and the line of a list entry, if it is no more than a plain word on a line of its own, and the next
    /// entry of the same list follows on the next line. Nearly all lines of a long list have this form, and their
    /// tokens would say nothing else. To be asked only where the entry of a block sequence can stand.
    pub(super) fn take_word_entry(&mut self) -> Option<(&'a str, u32)> {
        let line = self.cursor.line();
        let at_entry = self.tokens.is_empty() && self.simple_key_allowed && self.cursor.column() == self.indent;
        let word = if at_entry { self.cursor.take_word_entry(usize::try_from(self.indent).ok()?) } else { None };
        Some((word?, line))
    }

    fn make_ready(&mut self) -> Result<(), ConfigError> {
        while !self.ended && (self.tokens.is_empty() || self.first_may_be_key()?) {
            self.fetch()?;
        }
        self.ready = true;
        Ok(())
    }

    /// Could the first token in the queue still turn out to be a key?
    fn first_may_be_key(&mut self) -> Result<bool, ConfigError> {
        let Some(key) = self.simple_keys.front().copied().filter(|key| key.token == self.taken) else {
            return Ok(false);
        };
        let possible = self.is_still_possible(&key)?;
        if !possible {
            self.simple_keys.pop_front();
        }
        Ok(possible)
    }

    /// A key ends on its line, and within 1024 characters.
    fn is_still_possible(&self, key: &SimpleKey) -> Result<bool, ConfigError> {
        let possible = key.mark.line == self.cursor.line() && self.cursor.column() <= key.mark.column + MAX_SIMPLE_KEY;
        if !possible && key.required { Err(missing_colon(key)) } else { Ok(possible) }
    }

    fn fetch(&mut self) -> Result<(), ConfigError> {
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
            // Inside of brackets `?` and `:` are taken above, so these start a word such as `:a` or `-a`.
            _ => self.fetch_plain_scalar(),
        }
    }

    fn no_token(&self) -> ConfigError {
        self.cursor.fault(match self.cursor.byte() {
            b'\t' => "a tab stands where the indentation is; write spaces".to_owned(),
            byte => format!("no value can start with {:?}; put it into quotes", char::from(byte)),
        })
    }

    /// Moves on behind spaces, comments and line breaks. A tab is a space only where no key can start, so that it
    /// never counts as indentation.
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

    fn push(&mut self, token: Token<'a>, line: u32) {
        self.tokens.push_back((token, line));
    }

    /// Adds a token before the one of that number, or as the last.
    fn insert(&mut self, number: usize, token: Token<'a>, line: u32) {
        let place = number.saturating_sub(self.taken).min(self.tokens.len());
        self.tokens.insert(place, (token, line));
    }

    /// Adds a token that is `length` characters long.
    fn push_and_skip(&mut self, token: Token<'a>, length: usize) {
        self.push(token, self.cursor.line());
        for _ in 0..length {
            self.cursor.skip();
        }
    }

    /// Remembers that a key may begin here.
    fn save_simple_key(&mut self) -> Result<(), ConfigError> {
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

    /// Nothing at this flow level was a key after all.
    fn remove_simple_key(&mut self) -> Result<(), ConfigError> {
        match self.simple_keys.back().copied().filter(|key| key.flow_level == self.flow_level) {
            Some(key) if key.required => Err(missing_colon(&key)),
            Some(_) => {
                self.simple_keys.pop_back();
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Opens a block collection at `column`, if it is indented deeper than the innermost one; before the token of
    /// that number, or as the last.
    fn roll_indent(&mut self, column: i64, token: Token<'a>, before: Option<usize>, line: u32) {
        if self.flow_level == 0 && self.indent < column {
            self.indents.push(self.indent);
            self.indent = column;
            self.insert(before.unwrap_or(usize::MAX), token, line);
        }
    }

    /// Closes the block collections that are indented deeper than `column`.
    fn unroll_indent(&mut self, column: i64) {
        while self.flow_level == 0 && self.indent > column {
            self.push(Token::BlockEnd, self.cursor.line());
            self.indent = self.indents.pop().unwrap_or(-1);
        }
    }

    fn fetch_end(&mut self) -> Result<(), ConfigError> {
        self.unroll_indent(-1);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        self.push(Token::StreamEnd, self.cursor.line());
        self.ended = true;
        Ok(())
    }

    fn fetch_directive(&mut self) -> Result<(), ConfigError> {
        self.unroll_indent(-1);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        let line = self.cursor.line();
        let token = tag::directive(&mut self.cursor)?;
        self.push(token, line);
        Ok(())
    }

    fn fetch_document_indicator(&mut self, byte: u8) -> Result<(), ConfigError> {
        self.unroll_indent(-1);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        self.push_and_skip(if byte == b'-' { Token::DocumentStart } else { Token::DocumentEnd }, 3);
        Ok(())
    }

    fn fetch_flow_start(&mut self, token: Token<'a>) -> Result<(), ConfigError> {
        self.save_simple_key()?;
        self.flow_level += 1;
        self.simple_key_allowed = true;
        self.push_and_skip(token, 1);
        Ok(())
    }

    fn fetch_flow_end(&mut self, token: Token<'a>) -> Result<(), ConfigError> {
        self.remove_simple_key()?;
        self.flow_level = self.flow_level.saturating_sub(1);
        self.simple_key_allowed = false;
        self.push_and_skip(token, 1);
        Ok(())
    }

    fn fetch_flow_entry(&mut self) -> Result<(), ConfigError> {
        self.remove_simple_key()?;
        self.simple_key_allowed = true;
        self.push_and_skip(Token::FlowEntry, 1);
        Ok(())
    }

    fn fetch_block_entry(&mut self) -> Result<(), ConfigError> {
        self.start_block(Token::BlockSequenceStart, "a list entry cannot start here; put it on a line of its own")?;
        self.remove_simple_key()?;
        self.simple_key_allowed = true;
        self.push_and_skip(Token::BlockEntry, 1);
        Ok(())
    }

    fn fetch_key(&mut self) -> Result<(), ConfigError> {
        self.start_block(Token::BlockMappingStart, "a key cannot start here; put it on a line of its own")?;
        self.remove_simple_key()?;
        self.simple_key_allowed = self.flow_level == 0;
        self.push_and_skip(Token::Key, 1);
        Ok(())
    }

    fn fetch_value(&mut self) -> Result<(), ConfigError> {
        let candidate = self.simple_keys.back().copied().filter(|key| key.flow_level == self.flow_level);
        let key = match candidate {
            Some(key) if self.is_still_possible(&key)? => Some(key),
            _ => None,
        };
        if candidate.is_some() {
            self.simple_keys.pop_back();
        }
        if let Some(key) = key {
            self.insert(key.token, Token::Key, key.mark.line);
            self.roll_indent(key.mark.column, Token::BlockMappingStart, Some(key.token), key.mark.line);
            self.simple_key_allowed = false;
        } else {
            self.start_block(Token::BlockMappingStart, "a colon that belongs to no key; write one `key: value` on each line, indented alike, and put a value with `: ` into quotes")?;
            self.simple_key_allowed = self.flow_level == 0;
        }
        self.push_and_skip(Token::Value, 1);
        Ok(())
    }

    /// Opens the block collection to which an entry, key or value at this place belongs.
    fn start_block(&mut self, token: Token<'a>, complaint: &str) -> Result<(), ConfigError> {
        if self.flow_level == 0 && !self.simple_key_allowed {
            return Err(self.cursor.fault(complaint));
        }
        let mark = self.cursor.mark();
        self.roll_indent(mark.column, token, None, mark.line);
        Ok(())
    }

    fn fetch_property(&mut self) -> Result<(), ConfigError> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let line = self.cursor.line();
        let token = tag::property(&mut self.cursor)?;
        self.push(token, line);
        Ok(())
    }

    fn fetch_block_scalar(&mut self) -> Result<(), ConfigError> {
        self.remove_simple_key()?;
        self.simple_key_allowed = true;
        let line = self.cursor.line();
        let value = scalar::block(&mut self.cursor, self.indent)?;
        self.push(Token::Scalar { value: value.into(), plain: false }, line);
        Ok(())
    }

    fn fetch_quoted_scalar(&mut self) -> Result<(), ConfigError> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let line = self.cursor.line();
        let value = scalar::quoted(&mut self.cursor)?;
        self.push(Token::Scalar { value, plain: false }, line);
        Ok(())
    }

    fn fetch_plain_scalar(&mut self) -> Result<(), ConfigError> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let line = self.cursor.line();
        let (value, ends_line) = scalar::plain(&mut self.cursor, self.indent, self.flow_level > 0)?;
        if ends_line {
            self.simple_key_allowed = true;
        }
        self.push(Token::Scalar { value, plain: true }, line);
        Ok(())
    }
}

fn missing_colon(key: &SimpleKey) -> ConfigError {
    ConfigError::yaml(key.mark.line, "a key without a colon behind it; write `key: value`, with a space")
}
