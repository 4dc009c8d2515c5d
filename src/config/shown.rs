//! Texts from the file, as messages show them.

use std::fmt;

/// A text in quotes with its control characters escaped, and cut off where it is too long for a message.
pub(super) struct Quoted<'a>(pub(super) &'a str);

/// A text without quotes, cut off where it is too long for a message.
pub(super) struct Bare<'a>(pub(super) &'a str);

/// The characters of a text that a message shows.
const MAX_SHOWN: usize = 80;

/// The start of the text, and what stands for the rest.
fn cut(text: &str) -> (&str, &'static str) {
    match text.char_indices().nth(MAX_SHOWN) {
        None => (text, ""),
        Some((end, _)) => (text.get(..end).unwrap_or_default(), "…"),
    }
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, rest) = cut(self.0);
        write!(f, "{start:?}{rest}")
    }
}

impl fmt::Display for Bare<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, rest) = cut(self.0);
        write!(f, "{start}{rest}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_off_and_a_short_one_is_not() {
        let long = "é".repeat(81);
        let start = "é".repeat(80);
        assert_eq!(Quoted("a\n").to_string(), r#""a\n""#);
        assert_eq!(Quoted(&long).to_string(), format!("\"{start}\"…"));
        assert_eq!(Bare(&start).to_string(), start);
        assert_eq!(Bare(&long).to_string(), format!("{start}…"));
    }
}
