//! `--watch-rules`.

use std::fmt;
use std::str::FromStr;
use std::time;

use thiserror::Error;

use crate::config::{Duration, DurationError};
use crate::text::Quoted;

/// `--watch-rules`: how commits of others are noticed between two passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WatchRules {
    /// The kernel announces each of them, with the name of the process.
    #[default]
    Notify,
    /// The agent asks at this interval whether there were any.
    Poll(PollInterval),
    /// Not at all.
    Off,
}

/// How often the agent asks: every 10 ms at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollInterval(Duration);

/// Why a text is no [`WatchRules`]. The messages end on what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WatchRulesError {
    /// None of the three words.
    #[error("expected notify, poll=DURATION or off, such as poll=1s")]
    Word,
    /// `poll` without a duration.
    #[error("poll needs a duration; write poll=1s to look every second")]
    NoInterval,
    /// The duration cannot be read.
    #[error("the duration {} {error}", Quoted(.text))]
    Duration {
        /// What stands there.
        text: String,
        /// What is wrong with it.
        error: DurationError,
    },
    /// The duration is zero, negative or very short.
    #[error(
        "poll={0} is shorter than poll=10ms, the shortest interval; to look at the resync interval only, write off"
    )]
    TooShort(Duration),
}

impl PollInterval {
    const SHORTEST: Duration = Duration::from_nanos(10_000_000);
}

impl From<PollInterval> for time::Duration {
    fn from(interval: PollInterval) -> Self {
        interval.0.into()
    }
}

impl TryFrom<Duration> for PollInterval {
    type Error = WatchRulesError;

    fn try_from(interval: Duration) -> Result<Self, WatchRulesError> {
        if interval >= Self::SHORTEST { Ok(Self(interval)) } else { Err(WatchRulesError::TooShort(interval)) }
    }
}

impl FromStr for WatchRules {
    type Err = WatchRulesError;

    fn from_str(text: &str) -> Result<Self, WatchRulesError> {
        match text.split_once('=') {
            None if text == "notify" => Ok(Self::Notify),
            None if text == "off" => Ok(Self::Off),
            None if text == "poll" => Err(WatchRulesError::NoInterval),
            Some(("poll", "")) => Err(WatchRulesError::NoInterval),
            Some(("poll", interval)) => match interval.parse::<Duration>() {
                Ok(interval) => interval.try_into().map(Self::Poll),
                Err(error) => Err(WatchRulesError::Duration { text: interval.to_owned(), error }),
            },
            _ => Err(WatchRulesError::Word),
        }
    }
}

impl fmt::Display for WatchRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Notify => f.write_str("notify"),
            Self::Poll(PollInterval(interval)) => write!(f, "poll={interval}"),
            Self::Off => f.write_str("off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_is_printed_as_it_can_be_read_again() {
        for (text, printed) in [
            ("notify", "notify"),
            ("off", "off"),
            ("poll=10ms", "poll=10ms"),
            ("poll=1500ms", "poll=1.5s"),
            ("poll=1h", "poll=1h0m0s"),
        ] {
            let how: WatchRules = text.parse().unwrap();
            assert_eq!(how.to_string(), printed);
            assert_eq!(printed.parse(), Ok(how));
        }
        assert_eq!(WatchRules::default().to_string(), "notify");
    }

    #[test]
    fn what_is_refused_is_answered_with_what_to_write() {
        for (text, told) in [
            ("", "expected notify, poll=DURATION or off, such as poll=1s"),
            ("Notify", "expected notify, poll=DURATION or off, such as poll=1s"),
            ("off=1s", "expected notify, poll=DURATION or off, such as poll=1s"),
            ("poll", "poll needs a duration; write poll=1s to look every second"),
            ("poll=", "poll needs a duration; write poll=1s to look every second"),
            ("poll=5", "the duration \"5\" has no unit; write 5s for seconds"),
            ("poll=x", "the duration \"x\" is not a duration; expected a number and a unit, such as 60s, 5m or 1h30m"),
        ] {
            assert_eq!(text.parse::<WatchRules>().unwrap_err().to_string(), told, "{text}");
        }
        for (text, shown) in [("poll=0", "0s"), ("poll=-1s", "-1s"), ("poll=9.999ms", "9.999ms")] {
            let told = format!(
                "poll={shown} is shorter than poll=10ms, the shortest interval; to look at the resync interval only, write off"
            );
            assert_eq!(text.parse::<WatchRules>().unwrap_err().to_string(), told);
        }
    }
}
