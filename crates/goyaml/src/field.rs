//! Which field of a Go struct `encoding/json` takes a key for.

/// Whether `encoding/json` decodes the key `name` into the field that is called `field`. Case does not matter to it.
#[must_use]
pub fn names_field(name: &str, field: &str) -> bool {
    fold(name).eq(fold(field))
}

/// The characters of a key without their case, as `encoding/json` compares keys: the Kelvin sign and the long s are letters to
/// Unicode's simple folding, and no other character beyond ASCII is one.
pub fn fold(name: &str) -> impl Iterator<Item = char> {
    name.chars().map(|character| match character {
        '\u{212a}' => 'k',
        '\u{17f}' => 's',
        _ => character.to_ascii_lowercase(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_a_field_in_any_case_and_never_in_part() {
        let cases = [
            ("masqLinkLocal", true),
            ("MASQLINKLOCAL", true),
            ("masqLin\u{212a}Local", true),
            ("ma\u{17f}qLinkLocal", true),
            ("masqLinkLocal ", false),
            ("masqLinkLoca", false),
            ("masqLinkLocalIPv6", false),
            ("", false),
        ];
        for (name, is_named) in cases {
            assert_eq!(names_field(name, "masqLinkLocal"), is_named, "{name:?}");
        }
    }
}
