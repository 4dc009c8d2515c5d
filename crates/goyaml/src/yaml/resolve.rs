//! What a scalar means in YAML 1.1, as go-yaml understands it.

use std::borrow::Cow;

use crate::error::cut;

/// The meaning of a scalar.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// A whole number that only 64 bits without a sign hold.
    Uint(u64),
    Float(f64),
    Text(Cow<'a, str>),
}

/// What a tag says about a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    Null,
    Bool,
    Int,
    Float,
    Binary,
    /// A text; the text `<<` is the key whose map is merged into the one around it.
    Merge,
    /// A text, a point in time, or an unknown tag.
    Text,
}

/// What stands before all tags of YAML's own.
const YAML_TAG: &str = "tag:yaml.org,2002:";

impl Tag {
    /// The tag of that name in full, such as `tag:yaml.org,2002:str`.
    pub(crate) fn named(name: &str) -> Self {
        match name.strip_prefix(YAML_TAG) {
            Some("null") => Self::Null,
            Some("bool") => Self::Bool,
            Some("int") => Self::Int,
            Some("float") => Self::Float,
            Some("binary") => Self::Binary,
            Some("merge") => Self::Merge,
            None if name == "!" => Self::Merge,
            _ => Self::Text,
        }
    }
}

/// Whether this is the key whose map is merged into the one around it.
pub(crate) fn is_merge_key(value: &str, plain: bool, tag: Option<Tag>) -> bool {
    value == "<<" && tag.map_or(plain, |tag| tag == Tag::Merge)
}

/// The meaning of `value`; or what it is instead of what its tag says.
pub(crate) fn resolve(value: &str, plain: bool, tag: Option<Tag>) -> Result<Scalar<'_>, String> {
    let wrong = |tag: &str| {
        let (start, rest) = cut(value);
        Err(format!("{start:?}{rest} is not what its tag !!{tag} says"))
    };
    match tag {
        None if plain => Ok(implicit(value)),
        None | Some(Tag::Merge | Tag::Text) => Ok(Scalar::Text(Cow::Borrowed(value))),
        Some(Tag::Null) => match implicit(value) {
            Scalar::Null => Ok(Scalar::Null),
            _ => wrong("null"),
        },
        Some(Tag::Bool) => match implicit(value) {
            scalar @ Scalar::Bool(_) => Ok(scalar),
            _ => wrong("bool"),
        },
        Some(Tag::Int) => match implicit(value) {
            scalar @ (Scalar::Int(_) | Scalar::Uint(_)) => Ok(scalar),
            _ => wrong("int"),
        },
        Some(Tag::Float) => match implicit(value) {
            scalar @ Scalar::Float(_) => Ok(scalar),
            #[allow(clippy::cast_precision_loss)]
            Scalar::Int(whole) => Ok(Scalar::Float(whole as f64)),
            _ => wrong("float"),
        },
        Some(Tag::Binary) => base64(value).map(|text| Scalar::Text(Cow::Owned(text))).ok_or_else(|| {
            "a value with the tag !!binary that is not base64; write the value out, without the tag".to_owned()
        }),
    }
}

/// The meaning of a plain scalar without a tag.
fn implicit(value: &str) -> Scalar<'_> {
    let meaning = match value.as_bytes().first() {
        None | Some(b'~' | b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O') => word(value),
        Some(b'.') => infinity(value).or_else(|| float(value)),
        // No number has a slash; a range has one, near its end.
        Some(b'+' | b'-' | b'0'..=b'9') if value.bytes().rev().all(|byte| byte != b'/') => {
            let digits = value.replace('_', "");
            infinity(value).or_else(|| int(&digits)).or_else(|| float(&digits))
        }
        _ => None,
    };
    meaning.unwrap_or(Scalar::Text(Cow::Borrowed(value)))
}

fn word(value: &str) -> Option<Scalar<'_>> {
    Some(match value {
        "" | "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Scalar::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Scalar::Bool(false),
        _ => return None,
    })
}

fn infinity(value: &str) -> Option<Scalar<'_>> {
    Some(Scalar::Float(match value {
        ".nan" | ".NaN" | ".NAN" => f64::NAN,
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => f64::INFINITY,
        "-.inf" | "-.Inf" | "-.INF" => f64::NEG_INFINITY,
        _ => return None,
    }))
}

/// A whole number as Go's `strconv` reads it with base 0: `10`, `0x1f`, `0b11`, `0o17`, `017`.
fn int<'a>(text: &str) -> Option<Scalar<'a>> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower = unsigned.to_ascii_lowercase();
    let (digits, radix) = match lower.as_bytes() {
        [b'0', b'x', _, ..] => (lower.get(2..)?, 16),
        [b'0', b'b', _, ..] => (lower.get(2..)?, 2),
        [b'0', b'o', _, ..] => (lower.get(2..)?, 8),
        [b'0', _, ..] => (lower.get(1..)?, 8),
        _ => (lower.as_str(), 10),
    };
    if digits.starts_with(['+', '-']) {
        // go-yaml alone reads a sign after 0b.
        return text.strip_prefix("0b").and_then(|digits| i64::from_str_radix(digits, 2).ok()).map(Scalar::Int);
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if text.starts_with('-') {
        return 0_i64.checked_sub_unsigned(magnitude).map(Scalar::Int);
    }
    i64::try_from(magnitude).ok().map(Scalar::Int).or((text == unsigned).then_some(Scalar::Uint(magnitude)))
}

/// A decimal number with a point or an exponent, or one too long for a whole number.
fn float<'a>(text: &str) -> Option<Scalar<'a>> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let no_digit = exponent.is_empty() || whole.is_empty() && fraction.is_empty();
    if no_digit || !digits(whole) || !digits(fraction) || !digits(exponent) {
        return None;
    }
    text.parse().ok().filter(|value: &f64| value.is_finite()).map(Scalar::Float)
}

/// The text that base64 stands for (RFC 4648 §4, with padding; line breaks do not count). What is not UTF-8 becomes
/// U+FFFD, as in Go's JSON.
fn base64(text: &str) -> Option<String> {
    let text: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let digits = text.get(..text.len() - padding)?;
    if !text.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let mut bits: u32 = 0;
    for (place, digit) in digits.iter().enumerate() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        if place % 4 != 0 {
            let [.., byte] = (bits >> (6 - 2 * (place % 4))).to_be_bytes();
            bytes.push(byte);
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_scalar_means_what_it_means_to_go_yaml() {
        let text = |text| Scalar::Text(Cow::Borrowed(text));
        let cases = [
            ("", Scalar::Null),
            ("~", Scalar::Null),
            ("NULL", Scalar::Null),
            ("nULL", text("nULL")),
            ("on", Scalar::Bool(true)),
            ("Y", Scalar::Bool(true)),
            ("off", Scalar::Bool(false)),
            ("tRue", text("tRue")),
            ("0", Scalar::Int(0)),
            ("+5", Scalar::Int(5)),
            ("-5", Scalar::Int(-5)),
            ("1_000", Scalar::Int(1000)),
            ("_1", text("_1")),
            ("0x1F", Scalar::Int(31)),
            ("-0X1f", Scalar::Int(-31)),
            ("0b11", Scalar::Int(3)),
            ("0b-1", Scalar::Int(-1)),
            ("0o17", Scalar::Int(15)),
            ("017", Scalar::Int(15)),
            ("08", Scalar::Float(8.0)),
            ("0x", text("0x")),
            ("9223372036854775807", Scalar::Int(i64::MAX)),
            ("-9223372036854775808", Scalar::Int(i64::MIN)),
            ("9223372036854775808", Scalar::Uint(1 << 63)),
            ("18446744073709551616", Scalar::Float(18_446_744_073_709_551_616.0)),
            ("1e2", Scalar::Float(100.0)),
            ("1.", Scalar::Float(1.0)),
            (".5e1", Scalar::Float(5.0)),
            ("._5", text("._5")),
            ("1e400", text("1e400")),
            (".", text(".")),
            ("1:30", text("1:30")),
            ("2001-01-01", text("2001-01-01")),
            ("-.INF", Scalar::Float(f64::NEG_INFINITY)),
            ("60s", text("60s")),
        ];
        for (value, meaning) in cases {
            assert_eq!(resolve(value, true, None), Ok(meaning), "{value:?}");
        }
        assert_eq!(resolve("true", false, None), Ok(text("true")), "quotes make a text");
    }

    #[test]
    fn a_tag_decides_what_a_scalar_means_or_refuses_it() {
        let resolve = |name: &str, value| resolve(value, false, Some(Tag::named(&format!("{YAML_TAG}{name}"))));
        let text = |text: &'static str| Ok(Scalar::Text(Cow::Borrowed(text)));
        assert_eq!(resolve("str", "10"), text("10"));
        assert_eq!(resolve("int", "10"), Ok(Scalar::Int(10)));
        assert_eq!(resolve("float", "10"), Ok(Scalar::Float(10.0)));
        assert_eq!(resolve("bool", "yes"), Ok(Scalar::Bool(true)));
        assert_eq!(resolve("null", ""), Ok(Scalar::Null));
        assert_eq!(resolve("binary", "MTAuMC4wLjAvOA=="), text("10.0.0.0/8"));
        assert_eq!(resolve("foo", "true"), text("true"));
        for (tag, value) in [("int", "ten"), ("float", "x"), ("bool", "1"), ("null", "0")] {
            assert_eq!(resolve(tag, value), Err(format!("{value:?} is not what its tag !!{tag} says")));
        }
        for value in ["*", "A", "AA=", "====", "AAA=A"] {
            assert!(resolve("binary", value).is_err_and(|error| error.contains("not base64")), "{value:?}");
        }
    }
}
