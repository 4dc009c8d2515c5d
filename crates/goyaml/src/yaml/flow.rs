//! Collections in brackets and braces.

use super::parser::{Event, Node, Parser, Place, State, bare};
use super::scanner::Token;
use crate::Error;

impl<'a> Parser<'a> {
    pub(super) fn flow_sequence_entry(&mut self, first: bool) -> Result<Node<'a>, Error> {
        if !first {
            match self.scanner.peek()? {
                (Token::FlowSequenceEnd, _) => return self.end(),
                (Token::FlowEntry, _) => self.scanner.next()?,
                (_, span) => return Err(self.unexpected("`,` or `]`", "list", span)),
            };
        }
        match self.scanner.peek()? {
            (Token::FlowSequenceEnd, _) => self.end(),
            // `[a: b]` is a list with a mapping of one pair.
            (Token::Key, span) => {
                self.scanner.next()?;
                self.state = State::FlowPairKey;
                Ok(bare(Event::MappingStart, span))
            }
            _ => self.node_then(State::FlowSequenceEntry { first: false }, Place::Flow),
        }
    }

    pub(super) fn flow_pair_key(&mut self) -> Result<Node<'a>, Error> {
        match self.scanner.peek()?.0 {
            Token::Value | Token::FlowEntry | Token::FlowSequenceEnd => {
                let key = self.empty(State::FlowPairValue);
                // libyaml takes this token away, and so does every parser that descends from it.
                self.scanner.next()?;
                Ok(key)
            }
            _ => self.node_then(State::FlowPairValue, Place::Flow),
        }
    }

    pub(super) fn flow_pair_value(&mut self) -> Result<Node<'a>, Error> {
        self.flow_value(State::FlowPairEnd, &Token::FlowSequenceEnd)
    }

    pub(super) fn flow_mapping_key(&mut self, first: bool) -> Result<Node<'a>, Error> {
        if !first {
            match self.scanner.peek()? {
                (Token::FlowMappingEnd, _) => return self.end(),
                (Token::FlowEntry, _) => self.scanner.next()?,
                (_, span) => return Err(self.unexpected("`,` or `}`", "mapping", span)),
            };
        }
        match self.scanner.peek()?.0 {
            Token::FlowMappingEnd => self.end(),
            Token::Key => {
                self.scanner.next()?;
                match self.scanner.peek()?.0 {
                    Token::Value | Token::FlowEntry | Token::FlowMappingEnd => Ok(self.empty(State::FlowMappingValue)),
                    _ => self.node_then(State::FlowMappingValue, Place::Flow),
                }
            }
            _ => self.node_then(State::FlowMappingNoValue, Place::Flow),
        }
    }

    pub(super) fn flow_mapping_value(&mut self) -> Result<Node<'a>, Error> {
        self.flow_value(State::FlowMappingKey { first: false }, &Token::FlowMappingEnd)
    }

    /// The value after a colon, if there is a colon and a value.
    fn flow_value(&mut self, state: State, end: &Token<'_>) -> Result<Node<'a>, Error> {
        if *self.scanner.peek()?.0 == Token::Value {
            self.scanner.next()?;
            let token = self.scanner.peek()?.0;
            if *token != Token::FlowEntry && token != end {
                return self.node_then(state, Place::Flow);
            }
        }
        Ok(self.empty(state))
    }
}
