//! A text inside of a text: where each of its characters is written.

use goyaml::Span;

/// A scalar as it is written, and what it means.
pub(super) struct Scalar<'t> {
    /// The text that it stands in.
    pub(super) raw: &'t str,
    /// Where it is written in it, with its quotes or its `|`.
    pub(super) span: Span,
    /// What it means.
    pub(super) value: &'t str,
}

impl Scalar<'_> {
    /// For each byte of the value, and for its end, where it is written.
    ///
    /// The value and what is written are walked through side by side. They differ in escapes (`\n` in double quotes, `''` in single
    /// ones), and in white space: indentation, and line breaks that are folded. What is not found to correspond, such as a value
    /// behind an alias, is placed where the walk has come to, which is never outside of what is written.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> {
        let (start, end) = (self.span.start as usize, self.span.end as usize);
        let written = self.raw.get(start..end).unwrap_or_default();
        let style = Style::of(written);
        let mut at = style.begin(written);
        let mut places = Vec::with_capacity(self.value.len() + 1);
        let mut value = self.value.chars();
        while let Some(character) = value.next() {
            let (from, length) = style.find(written, at, character);
            places.extend((0..character.len_utf8()).map(|_| start + from));
            at = from + length;
            if style == Style::Block && character == '\n' {
                at = skip_indentation(written, at, value.as_str());
            }
        }
        // A block's last line ends with it, and whatever blank lines follow.
        let end = if style == Style::Block && self.value.ends_with('\n') { written.len() } else { at };
        places.push(start + end.min(written.len()));
        places.into_iter()
    }
}

/// The place behind a block scalar's indentation, where the next line of the value begins.
fn skip_indentation(written: &str, at: usize, rest: &str) -> usize {
    let line = |text: &str| text.split('\n').next().unwrap_or_default().len();
    let (here, next) = (written.get(at..).unwrap_or_default(), line(rest));
    if rest.is_empty() { at } else { at + line(here).saturating_sub(next) }
}

/// How a scalar is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// `|` and `>`
    Block,
    DoubleQuoted,
    SingleQuoted,
    Plain,
}

impl Style {
    fn of(written: &str) -> Self {
        match written.as_bytes().first() {
            Some(b'|' | b'>') => Self::Block,
            Some(b'"') => Self::DoubleQuoted,
            Some(b'\'') => Self::SingleQuoted,
            _ => Self::Plain,
        }
    }

    /// Where what is written for the value begins.
    fn begin(self, written: &str) -> usize {
        match self {
            Self::Plain => 0,
            Self::DoubleQuoted | Self::SingleQuoted => 1,
            Self::Block => {
                let header = written.find('\n').map_or(written.len(), |line_feed| line_feed + 1);
                let content = written.get(header..).unwrap_or_default();
                header + content.len() - content.trim_start_matches(' ').len()
            }
        }
    }

    /// Where `character` is written, at `at` or behind white space that follows, and in how many bytes.
    fn find(self, written: &str, at: usize, character: char) -> (usize, usize) {
        let at = at + if self == Self::DoubleQuoted { continuation(written.get(at..).unwrap_or_default()) } else { 0 };
        let rest = written.get(at..).unwrap_or_default();
        let exact = |rest: &str| rest.starts_with(character).then(|| character.len_utf8());
        let here = match self {
            Self::DoubleQuoted if rest.starts_with('\\') => Some(escape_length(rest)),
            Self::SingleQuoted if rest.starts_with("''") && character == '\'' => Some(2),
            _ => exact(rest),
        };
        if let Some(length) = here {
            return (at, length);
        }
        let blank = rest.len() - rest.trim_start().len();
        let behind = rest.get(blank..).unwrap_or_default();
        match exact(behind) {
            Some(length) if !character.is_whitespace() => (at + blank, length),
            // A folded line break: the white space up to the next word stands for it.
            _ if character.is_whitespace() && blank > 0 => (at, blank),
            _ => (at, 0),
        }
    }
}

/// How many bytes an escaped line break has, with the indentation behind it: it stands for nothing.
fn continuation(rest: &str) -> usize {
    let Some(behind) = rest.strip_prefix("\\\n").or_else(|| rest.strip_prefix("\\\r\n")) else { return 0 };
    rest.len() - behind.trim_start_matches([' ', '\t']).len()
}

/// How many bytes the escape at the start of `rest` has: `\n`, `\x41`, `\u0041`, `\U00000041`, and of JSON's surrogates both.
fn escape_length(rest: &str) -> usize {
    let digits = match rest.as_bytes().get(1) {
        Some(b'x') => 2,
        Some(b'u') => 4,
        Some(b'U') => 8,
        _ => 0,
    };
    let length = 2 + digits;
    let is_high = |escape: &str| {
        escape
            .get(2..)
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .is_some_and(|unit| (0xd800..0xdc00).contains(&unit))
    };
    let is_pair = digits == 4
        && rest.get(..length).is_some_and(is_high)
        && rest.get(length..).is_some_and(|behind| behind.starts_with("\\u"));
    let length = if is_pair { 2 * length } else { length };
    // An escaped character of several bytes, such as `\é`, is no escape of YAML's; it is not reached.
    length.min(rest.len())
}
