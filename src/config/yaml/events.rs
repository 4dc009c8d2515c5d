//! Text to events, by a port of libyaml, from which go-yaml descends too: a file has the structure here that it had for
//! upstream, with tabs, odd indentation and all.

use libyaml_safer::{Error, Event as Parsed, EventData, Mark, Parser, ScalarStyle, VersionDirective};

use crate::config::{ConfigError, Line};

/// One step through the structure of a document.
#[derive(Debug, PartialEq)]
pub(super) enum Event {
    Scalar {
        value: String,
        plain: bool,
    },
    SequenceStart,
    MappingStart,
    /// The end of the innermost sequence or mapping.
    End,
    Alias(String),
    DocumentEnd,
}

/// An event with what stands before the value, and its line.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) event: Event,
    pub(super) anchor: Option<String>,
    /// The tag in full, such as `tag:yaml.org,2002:str`.
    pub(super) tag: Option<String>,
    pub(super) line: Line,
}

/// The events of a text's first document, one at a time.
pub(super) struct Events<'a> {
    parser: Parser<&'a [u8]>,
}

impl<'a> Events<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let mut parser = Parser::new();
        parser.set_input(text.as_bytes());
        Self { parser }
    }

    pub(super) fn next(&mut self) -> Result<Node, ConfigError> {
        loop {
            let parsed = self.parser.parse().map_err(|error| told(&error))?;
            let line = line(parsed.start_mark);
            let (event, anchor, tag) = match parsed.data {
                EventData::StreamStart { .. } => continue,
                EventData::DocumentStart { version_directive, .. } => {
                    refuse_other_versions(version_directive, line)?;
                    continue;
                }
                EventData::Scalar { anchor, tag, value, style, .. } => {
                    (Event::Scalar { value, plain: style == ScalarStyle::Plain }, anchor, tag)
                }
                EventData::SequenceStart { anchor, tag, .. } => (Event::SequenceStart, anchor, tag),
                EventData::MappingStart { anchor, tag, .. } => (Event::MappingStart, anchor, tag),
                EventData::SequenceEnd | EventData::MappingEnd => (Event::End, None, None),
                EventData::Alias { anchor } => (Event::Alias(anchor), None, None),
                EventData::DocumentEnd { .. } | EventData::StreamEnd => (Event::DocumentEnd, None, None),
            };
            return Ok(Node { event, anchor, tag, line });
        }
    }

    /// The line of what follows the first document, if anything does. What that is, nobody reads.
    pub(super) fn rest(&mut self) -> Option<Line> {
        match self.parser.parse() {
            Ok(Parsed { data: EventData::StreamEnd, .. }) => None,
            Ok(next) => Some(line(next.start_mark)),
            Err(error) => error.problem_mark().map(line),
        }
    }
}

/// libyaml takes `%YAML 1.2` as well; go-yaml v2 does not.
fn refuse_other_versions(version: Option<VersionDirective>, line: Line) -> Result<(), ConfigError> {
    match version {
        Some(version) if (version.major, version.minor) != (1, 1) => Err(ConfigError::yaml(
            line,
            format!(
                "the directive %YAML {}.{} is not supported; write %YAML 1.1, or no directive",
                version.major, version.minor
            ),
        )),
        _ => Ok(()),
    }
}

/// libyaml's own words, which are go-yaml's as well.
fn told(error: &Error) -> ConfigError {
    let mut words = error.problem().to_owned();
    if let Some(context) = error.context() {
        words = format!("{words} ({context}");
        if let Some(mark) = error.context_mark() {
            words = format!("{words} that starts on line {}", line(mark).0);
        }
        words.push(')');
    }
    ConfigError::yaml(error.problem_mark().map_or(Line(1), line), words)
}

/// libyaml counts lines from 0.
fn line(mark: Mark) -> Line {
    Line(u32::try_from(mark.line).unwrap_or(u32::MAX).saturating_add(1))
}
