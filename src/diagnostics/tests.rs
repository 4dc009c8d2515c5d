//! The codes as scripts rely on them.

use super::*;

#[test]
fn codes_and_names_are_unique_and_in_their_order_and_are_found_by_either() {
    let ids: Vec<&str> = Code::ALL.iter().map(|code| code.id()).collect();
    assert!(ids.is_sorted(), "{ids:?}");
    let mut names: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Code::ALL.len());
    for code in Code::ALL {
        assert_eq!(code.id().parse(), Ok(*code));
        assert_eq!(code.name().to_uppercase().parse(), Ok(*code));
        assert!(code.explanation().lines().all(|line| line.len() <= 130));
    }
}

#[test]
fn lines_break_between_words_and_never_within_one() {
    for (text, width, expected) in [
        ("a bc def", 4, "a bc\ndef"),
        ("a bc def", 3, "a\nbc\ndef"),
        ("longer a", 3, "longer\na"),
        ("", 3, ""),
        ("é é é", 3, "é é\né"),
    ] {
        assert_eq!(wrapped(text, width), expected, "{text:?} {width}");
    }
}
