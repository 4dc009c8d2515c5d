//! How numbers are put into words.

use std::fmt;

/// A number with its noun, such as "1 change" and "2 changes".
#[must_use]
pub fn counted(count: usize, thing: &'static str) -> impl fmt::Display {
    Counted { count, thing }
}

struct Counted {
    count: usize,
    thing: &'static str,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, thing } = self;
        write!(f, "{count} {thing}{}", if *count == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_one_and_all_other_numbers_are_many() {
        for (count, words) in [(0, "0 changes"), (1, "1 change"), (2, "2 changes"), (11, "11 changes")] {
            assert_eq!(counted(count, "change").to_string(), words);
        }
    }
}
