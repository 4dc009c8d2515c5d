//! Texts from outside, as messages show them: none of their characters ends a line, moves a cursor or is invisible.
//!
//! What comes from outside is the configuration file, arguments, paths, the names of chains, tables and processes, and
//! what the kernel says. Each goes into a message through one of these types; the log, the plans and the status for the
//! service manager go through [`Visible`] as a whole besides.

use std::fmt::{self, Write};
use std::path::Path;

/// A text or path with its hidden characters escaped.
pub struct Shown<'a, T: ?Sized>(pub &'a T);

/// A text in quotes, hidden characters escaped, cut off where it is too long for a message.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

/// A text without quotes, hidden characters escaped, cut off where it is too long for a message.
pub(crate) struct Bare<'a>(pub(crate) &'a str);

/// What is written through this comes out with its hidden characters escaped.
pub struct Visible<W>(pub W);

/// How many characters of a text a message shows.
const MAX_SHOWN: usize = 80;

/// Whether a terminal interprets or skips this character instead of showing it: controls (C0, C1), line and paragraph
/// separators, marks for the direction of writing, and characters without width.
#[must_use]
pub fn is_hidden(character: char) -> bool {
    // Quickly, as the plan of a long list is megabytes of ASCII.
    if character.is_ascii() {
        return character.is_ascii_control();
    }
    character.is_control()
        || matches!(character,
            '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

impl<W: Write> Write for Visible<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(is_hidden) {
            let (plain, hidden) = rest.split_at(at);
            self.0.write_str(plain)?;
            let mut characters = hidden.chars();
            for character in characters.by_ref().take(1) {
                write!(self.0, "{}", character.escape_default())?;
            }
            rest = characters.as_str();
        }
        self.0.write_str(rest)
    }
}

/// The text with its hidden characters escaped.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    // Writing to a string never fails.
    let _ = Visible(&mut shown).write_str(text);
    shown
}

/// As much of a text as a message can show of it, for callers that store it.
pub(crate) fn excerpt(text: &str) -> String {
    text.chars().take(MAX_SHOWN + 1).collect()
}

/// The start of the text, and what stands for the rest.
fn cut(text: &str) -> (&str, &'static str) {
    match text.char_indices().nth(MAX_SHOWN) {
        None => (text, ""),
        Some((end, _)) => (text.get(..end).unwrap_or_default(), "…"),
    }
}

impl fmt::Display for Shown<'_, Path> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Visible(f), "{}", self.0.display())
    }
}

impl fmt::Display for Shown<'_, str> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Visible(f).write_str(self.0)
    }
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, rest) = cut(self.0);
        write!(Visible(f), "{start:?}{rest}")
    }
}

impl fmt::Display for Bare<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, rest) = cut(self.0);
        write!(Visible(f), "{start}{rest}")
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_long_text_is_cut_off_and_a_short_one_is_not() {
        let long = "é".repeat(81);
        let start = "é".repeat(80);
        assert_eq!(Quoted("a\n").to_string(), r#""a\n""#);
        assert_eq!(Quoted(&long).to_string(), format!("\"{start}\"…"));
        assert_eq!(Bare(&start).to_string(), start);
        assert_eq!(Bare(&long).to_string(), format!("{start}…"));
        let longer = "é".repeat(1000);
        assert_eq!(Quoted(&excerpt(&longer)).to_string(), Quoted(&longer).to_string());
    }

    #[test]
    fn what_would_be_obeyed_is_escaped_and_all_else_stays() {
        for (text, shown) in [
            ("a\nb\tc\r", r"a\nb\tc\r"),
            ("\u{1b}[2J\u{9b}1m\u{7f}", r"\u{1b}[2J\u{9b}1m\u{7f}"),
            ("\u{202e}\u{2066}\u{200f}\u{61c}", r"\u{202e}\u{2066}\u{200f}\u{61c}"),
            ("\u{2028}\u{2029}\u{85}\u{feff}\u{200b}", r"\u{2028}\u{2029}\u{85}\u{feff}\u{200b}"),
            ("é 日本 😀 e\u{301} \\ \" \u{a0}", "é 日本 😀 e\u{301} \\ \" \u{a0}"),
        ] {
            assert_eq!(visible(text), shown);
            assert_eq!(Shown(text).to_string(), shown);
        }
        let path = Path::new(OsStr::from_bytes(b"/etc/\n\xff"));
        assert_eq!(Shown(path).to_string(), "/etc/\\n\u{fffd}");
    }

    proptest! {
        #[test]
        fn no_text_and_no_path_brings_a_hidden_character_into_a_message(
            text in any::<String>(),
            bytes in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let path = Path::new(OsStr::from_bytes(&bytes));
            let message = format!("{} {} {} {}", Shown(&*text), Quoted(&text), Bare(&text), Shown(path));
            prop_assert!(!message.contains(is_hidden), "{message:?}");
        }
    }
}
