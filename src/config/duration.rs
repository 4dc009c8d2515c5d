//! Spans of time in Go's syntax.

use std::fmt;
use std::str::FromStr;

use crate::text::{Bare, Message, Quoted};

/// A span of time as Go's `time.Duration` holds it: signed, in nanoseconds.
///
/// Reads what `time.ParseDuration` reads (`60s`, `1h30m`, `1.5s`, `-5m`, `0`) and prints what `Duration.String` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(i64);

/// Why a text is no [`Duration`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DurationError {
    /// No sequence of numbers and units.
    Syntax,
    /// A number without its unit.
    MissingUnit(String),
    /// A unit that Go does not know, such as days.
    UnknownUnit(String),
    /// More than 2^63 nanoseconds.
    Overflow,
}

/// The magnitude of the most negative duration, in nanoseconds.
const MOST: u64 = 1 << 63;

impl DurationError {
    /// What is wrong with the text, as what follows it in a sentence, and what to write instead.
    #[must_use]
    pub fn message(&self) -> Message {
        match self {
            Self::Syntax => {
                Message::new("is not a duration").with_help("expected a number and a unit, such as 60s, 5m or 1h30m")
            }
            Self::MissingUnit(number) => {
                Message::new("has no unit").with_help(format!("write {}s for seconds", Bare(number)))
            }
            Self::UnknownUnit(unit) => Message::new(format!("has the unknown unit {}", Quoted(unit)))
                .with_help("expected ns, us, ms, s, m or h, such as 24h for a day"),
            Self::Overflow => Message::new("is longer than 292 years").with_help("write a shorter one, such as 60s"),
        }
    }
}

impl std::error::Error for DurationError {}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message().fmt(f)
    }
}

impl Duration {
    /// A duration of `seconds` s.
    #[must_use]
    pub const fn from_secs(seconds: u32) -> Self {
        Self(seconds as i64 * 1_000_000_000)
    }

    /// A duration of `nanoseconds` ns.
    #[must_use]
    pub const fn from_nanos(nanoseconds: i64) -> Self {
        Self(nanoseconds)
    }

    /// The nanoseconds.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }
}

/// The duration for timers; a negative one is over at once.
impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        Self::from_nanos(u64::try_from(duration.0).unwrap_or(0))
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        if unsigned == "0" {
            return Ok(Self(0));
        }
        if unsigned.is_empty() {
            return Err(DurationError::Syntax);
        }
        let mut rest = unsigned;
        let mut sum: u64 = 0;
        while !rest.is_empty() {
            let (term, behind) = term(rest)?;
            sum = sum.checked_add(term).filter(|sum| *sum <= MOST).ok_or(DurationError::Overflow)?;
            rest = behind;
        }
        if text.starts_with('-') {
            return Ok(Self(0_i64.wrapping_sub_unsigned(sum)));
        }
        i64::try_from(sum).map(Self).map_err(|_| DurationError::Overflow)
    }
}

/// One number with its unit in nanoseconds, and the text after it.
fn term(text: &str) -> Result<(u64, &str), DurationError> {
    let (whole, rest) = split_digits(text);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), split_digits);
    if whole.is_empty() && fraction.is_empty() {
        return Err(DurationError::Syntax);
    }
    let unit_len = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_len);
    if unit.is_empty() {
        let number = text.strip_suffix(rest).unwrap_or(text);
        return Err(DurationError::MissingUnit(number.to_owned()));
    }
    let unit = nanoseconds(unit).ok_or_else(|| DurationError::UnknownUnit(unit.to_owned()))?;
    let whole = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| DurationError::Overflow)? };
    let sum = unit.checked_mul(whole).and_then(|whole| whole.checked_add(part(fraction, unit)));
    sum.filter(|sum| *sum <= MOST).map(|sum| (sum, rest)).ok_or(DurationError::Overflow)
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn nanoseconds(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        // U+00B5, the micro sign, and U+03BC, the Greek letter mu.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// The digits after the point, in nanoseconds. Go calculates with binary floating point here, and so do we, so that the
/// last digit is the same; digits that no 64 bits hold are cut off.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn part(digits: &str, unit: u64) -> u64 {
    let mut value: u64 = 0;
    let mut scale = 1.0_f64;
    for digit in digits.bytes() {
        let longer = value.checked_mul(10).and_then(|value| value.checked_add(u64::from(digit - b'0')));
        let Some(longer) = longer.filter(|value| *value <= MOST) else { break };
        value = longer;
        scale *= 10.0;
    }
    (value as f64 * (unit as f64 / scale)) as u64
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        match nanoseconds {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{nanoseconds}ns"),
            1_000..1_000_000 => write!(f, "{}µs", decimal(nanoseconds, 3)),
            1_000_000..1_000_000_000 => write!(f, "{}ms", decimal(nanoseconds, 6)),
            _ => {
                let minutes = nanoseconds / 60_000_000_000;
                if minutes >= 60 {
                    write!(f, "{}h", minutes / 60)?;
                }
                if minutes > 0 {
                    write!(f, "{}m", minutes % 60)?;
                }
                write!(f, "{}s", decimal(nanoseconds % 60_000_000_000, 9))
            }
        }
    }
}

/// `value` with its decimal point moved `places` to the left, without trailing zeros.
fn decimal(value: u64, places: u32) -> String {
    let unit = 10_u64.pow(places);
    let fraction = format!("{:0width$}", value % unit, width = places as usize);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { (value / unit).to_string() } else { format!("{}.{fraction}", value / unit) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NS: i64 = 1;
    const US: i64 = 1_000;
    const MS: i64 = 1_000_000;
    const S: i64 = 1_000_000_000;
    const M: i64 = 60 * S;
    const H: i64 = 60 * M;

    /// The cases of Go's own test of `time.ParseDuration`.
    #[test]
    fn what_go_reads_is_read_to_the_same_nanosecond() {
        let cases = [
            ("0", 0),
            ("5s", 5 * S),
            ("30s", 30 * S),
            ("1478s", 1478 * S),
            ("-5s", -5 * S),
            ("+5s", 5 * S),
            ("-0", 0),
            ("+0", 0),
            ("5.0s", 5 * S),
            ("5.6s", 5 * S + 600 * MS),
            ("5.s", 5 * S),
            (".5s", 500 * MS),
            ("1.0s", S),
            ("1.00s", S),
            ("1.004s", S + 4 * MS),
            ("1.0040s", S + 4 * MS),
            ("100.00100s", 100 * S + MS),
            ("10ns", 10 * NS),
            ("11us", 11 * US),
            ("12\u{b5}s", 12 * US),
            ("12\u{3bc}s", 12 * US),
            ("13ms", 13 * MS),
            ("14s", 14 * S),
            ("15m", 15 * M),
            ("16h", 16 * H),
            ("3h30m", 3 * H + 30 * M),
            ("10.5s4m", 4 * M + 10 * S + 500 * MS),
            ("-2m3.4s", -(2 * M + 3 * S + 400 * MS)),
            ("1h2m3s4ms5us6ns", H + 2 * M + 3 * S + 4 * MS + 5 * US + 6 * NS),
            ("39h9m14.425s", 39 * H + 9 * M + 14 * S + 425 * MS),
            ("52763797000ns", 52_763_797_000),
            ("0.3333333333333333333h", 20 * M),
            ("9007199254740993ns", (1 << 53) + 1),
            ("9223372036854775807ns", i64::MAX),
            ("9223372036854775.807us", i64::MAX),
            ("9223372036s854ms775us807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
            ("-9223372036854775.808us", i64::MIN),
            ("-9223372036s854ms775us808ns", i64::MIN),
            ("-2562047h47m16.854775808s", i64::MIN),
            ("0.100000000000000000000h", 6 * M),
            ("0.830103483285477580700h", 49 * M + 48 * S + 372_539_827),
            (".00000000000000000001h", 0),
            ("0.9223372036854775807h", 55 * M + 20 * S + 413_933_267),
            ("0.9223372036854775808h", 55 * M + 20 * S + 413_933_267),
            ("9007199254.740993ms", ((1 << 53) + 1) * NS),
        ];
        for (text, nanoseconds) in cases {
            assert_eq!(text.parse(), Ok(Duration(nanoseconds)), "{text:?}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused_with_its_own_reason() {
        let unit = |unit: &str| DurationError::UnknownUnit(unit.to_owned());
        let missing = |text: &str| DurationError::MissingUnit(text.to_owned());
        let cases = [
            ("", DurationError::Syntax),
            ("-", DurationError::Syntax),
            ("s", DurationError::Syntax),
            (".", DurationError::Syntax),
            ("-.", DurationError::Syntax),
            (".s", DurationError::Syntax),
            ("+.s", DurationError::Syntax),
            ("--5s", DurationError::Syntax),
            (" 5s", DurationError::Syntax),
            ("3", missing("3")),
            ("60", missing("60")),
            ("1h5", missing("5")),
            ("1.5.5s", missing("1.5")),
            ("1d", unit("d")),
            ("5s ", unit("s ")),
            ("5 s", unit(" s")),
            ("5S", unit("S")),
            ("1e3s", unit("e")),
            ("\u{85}85", DurationError::Syntax),
            ("1\u{ffff}", unit("\u{ffff}")),
            ("hello \u{ffff} world", DurationError::Syntax),
            ("9223372036854775810ns", DurationError::Overflow),
            ("9223372036854775808ns", DurationError::Overflow),
            ("-9223372036854775809ns", DurationError::Overflow),
            ("9223372036854776us", DurationError::Overflow),
            ("3000000h", DurationError::Overflow),
            ("9223372036854775.808us", DurationError::Overflow),
            ("9223372036854ms775us808ns", DurationError::Overflow),
            ("99999999999999999999s", DurationError::Overflow),
        ];
        for (text, reason) in cases {
            assert_eq!(text.parse::<Duration>(), Err(reason), "{text:?}");
        }
    }

    #[test]
    fn a_duration_prints_as_go_prints_it_and_reads_back_the_same() {
        let cases = [
            ("0s", 0),
            ("1ns", 1),
            ("1.1µs", 1100),
            ("2.2ms", 2_200_000),
            ("3.3s", 3300 * MS),
            ("500ms", 500 * MS),
            ("1.5s", 1500 * MS),
            ("1m0s", 60 * S),
            ("4m5s", 4 * M + 5 * S),
            ("4m5.001s", 4 * M + 5001 * MS),
            ("5h6m7.001s", 5 * H + 6 * M + 7001 * MS),
            ("1h0m0s", H),
            ("8m0.000000001s", 8 * M + 1),
            ("-5s", -5 * S),
            ("2562047h47m16.854775807s", i64::MAX),
            ("-2562047h47m16.854775808s", i64::MIN),
        ];
        for (text, nanoseconds) in cases {
            assert_eq!(Duration(nanoseconds).to_string(), text);
            assert_eq!(text.parse(), Ok(Duration(nanoseconds)));
        }
    }

    #[test]
    fn a_negative_duration_is_over_at_once() {
        assert_eq!(std::time::Duration::from(Duration(-1)), std::time::Duration::ZERO);
        assert_eq!(std::time::Duration::from(Duration::from_secs(60)), std::time::Duration::from_secs(60));
    }
}
