//! Collections by indentation.

use std::borrow::Cow;

use super::parser::{Event, Node, Parser, Place, State, bare};
use super::scanner::Token;
use crate::Error;

impl<'a> Parser<'a> {
    /// An entry that is one plain word, in one step.
    fn word_entry(&mut self) -> Option<Node<'a>> {
        let (word, span) = self.scanner.take_word_entry()?;
        Some(bare(Event::Scalar { value: Cow::Borrowed(word), plain: true }, span))
    }

    pub(super) fn block_sequence_entry(&mut self) -> Result<Node<'a>, Error> {
        if let Some(entry) = self.word_entry() {
            return Ok(entry);
        }
        match self.scanner.peek()? {
            (Token::BlockEntry, _) => {
                self.scanner.next()?;
                match self.scanner.peek()?.0 {
                    Token::BlockEntry | Token::BlockEnd => Ok(self.empty(State::BlockSequenceEntry)),
                    _ => self.node_then(State::BlockSequenceEntry, Place::Block),
                }
            }
            (Token::BlockEnd, _) => self.end(),
            (_, span) => Err(self.unexpected("`- `", "list", span)),
        }
    }

    pub(super) fn indentless_sequence_entry(&mut self) -> Result<Node<'a>, Error> {
        if let Some(entry) = self.word_entry() {
            return Ok(entry);
        }
        if *self.scanner.peek()?.0 != Token::BlockEntry {
            self.state = self.enclosing();
            return Ok(bare(Event::End, self.scanner.behind()));
        }
        self.scanner.next()?;
        match self.scanner.peek()?.0 {
            Token::BlockEntry | Token::Key | Token::Value | Token::BlockEnd => {
                Ok(self.empty(State::IndentlessSequenceEntry))
            }
            _ => self.node_then(State::IndentlessSequenceEntry, Place::Block),
        }
    }

    pub(super) fn block_mapping_key(&mut self) -> Result<Node<'a>, Error> {
        match self.scanner.peek()? {
            (Token::Key, _) => {
                self.scanner.next()?;
                self.block_mapping_node(State::BlockMappingValue)
            }
            (Token::BlockEnd, _) => self.end(),
            (_, span) => Err(self.unexpected("key", "mapping", span)),
        }
    }

    pub(super) fn block_mapping_value(&mut self) -> Result<Node<'a>, Error> {
        if *self.scanner.peek()?.0 != Token::Value {
            return Ok(self.empty(State::BlockMappingKey));
        }
        self.scanner.next()?;
        self.block_mapping_node(State::BlockMappingKey)
    }

    /// A key or a value of a block mapping; an empty one, if the next key or value follows at once.
    fn block_mapping_node(&mut self, state: State) -> Result<Node<'a>, Error> {
        match self.scanner.peek()?.0 {
            Token::Key | Token::Value | Token::BlockEnd => Ok(self.empty(state)),
            _ => self.node_then(state, Place::BlockValue),
        }
    }
}
