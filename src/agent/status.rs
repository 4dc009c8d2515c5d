//! How things are, in a line: for the service manager, and as the part of log messages that says what is known.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{ConfigNews, Pass};
use crate::backend::SelectError;
use crate::config::Config;
use crate::last_good::Holding;
use crate::text::counted;

/// When the rules were last read and found in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LastLook {
    at: Option<SystemTime>,
    /// Has the configuration changed since?
    is_of_another: bool,
}

impl LastLook {
    /// Takes note of a pass that ended `now`.
    pub(super) fn learn(&mut self, pass: &Pass, now: SystemTime) {
        if pass.rules.is_ok() {
            *self = Self { at: Some(now), is_of_another: false };
        } else {
            self.is_of_another |= pass.config.as_ref().is_some_and(ConfigNews::changes_the_rules);
        }
    }

    /// What a failure says of the rules, as far as anything is known.
    pub(super) fn known(self, failure: &SelectError) -> String {
        if !failure.is_of_looking() {
            // Where a family is not affected, there is one conflict.
            let one = failure.partial().filter(|partial| !partial.others.is_empty());
            return match one.and_then(|partial| partial.conflicts.first()) {
                Some(conflict) => format!("the {} rules are not in force: {failure}", conflict.family().human()),
                None => format!("the rules are not in force: {failure}"),
            };
        }
        match self {
            Self { at: None, .. } => format!("{failure}; whether any rules are in force is not known"),
            Self { at: Some(at), is_of_another: false } => {
                format!("{failure}; at {} they were in force", time_of_day(at))
            }
            Self { at: Some(at), is_of_another: true } => {
                format!("{failure}; at {} those of the configuration before were in force", time_of_day(at))
            }
        }
    }

    /// How things are after a pass, in one line.
    pub(super) fn status(self, pass: &Pass, config: &Config) -> String {
        match (&pass.rules, &pass.holding) {
            (Err(failure), _) => self.known(failure),
            (Ok(_), Some(holding)) if holding.is_degraded() => degraded(holding, config),
            (Ok(_), _) => summary(config),
        }
    }
}

/// What holds while the configuration file cannot be used.
pub(super) fn degraded(holding: &Holding, config: &Config) -> String {
    if holding.is_of_the_kernel_alone() {
        "degraded: the configuration file cannot be used; the rules that stood before the start are kept, their origin is \
         unknown"
            .to_owned()
    } else {
        format!("degraded: the configuration file cannot be used; in force: {holding} ({})", summary(config))
    }
}

/// What is in force, in short.
pub(super) fn summary(config: &Config) -> String {
    let link_local = |masqueraded: bool| if masqueraded { "masqueraded" } else { "exempt" };
    format!(
        "{} exempt, link-local {} (IPv6 {}), resync every {}",
        counted(config.non_masquerade_cidrs.len(), "range"),
        link_local(config.masq_link_local.value),
        link_local(config.masq_link_local_ipv6.value),
        config.resync_interval.value
    )
}

fn time_of_day(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    format!("{:02}:{:02}:{:02} UTC", seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_is_told_as_clocks_show_it() {
        for (seconds, told) in [(0, "00:00:00 UTC"), (86_399, "23:59:59 UTC"), (1_795_281_731, "17:22:11 UTC")] {
            assert_eq!(time_of_day(UNIX_EPOCH + Duration::from_secs(seconds)), told);
        }
    }
}
