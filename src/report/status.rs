//! How things are, in a line: for the service manager, and as the part of log messages that says what is known.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{Failure, LastInForce, PassReport};
use crate::config::{Config, ReadError};
use crate::text::counted;

/// How things are after a pass; and what is wrong with the file.
pub(super) fn status(report: &PassReport, problem: Option<&str>) -> String {
    let cannot = match problem {
        Some(problem) => format!("the configuration file cannot be used ({problem})"),
        None => "the configuration file cannot be used".to_owned(),
    };
    let (active, config) = (&report.active, report.active.config());
    match &report.rules.failure {
        Some(failure) => known_of_rules(failure, report.last_in_force),
        None if active.is_kernel_rules_alone() => {
            format!("degraded: {cannot}; the rules that stood before the start stay, their origin is unknown")
        }
        None if active.is_degraded() => {
            format!("degraded: {cannot}; in force: {active} ({})", summary(config))
        }
        None => summary(config),
    }
}

/// The first thing that is wrong with a file, and how many more there are.
pub(super) fn first_problem(error: &ReadError) -> String {
    let problems = error.problems();
    let first = problems.first().map(|(_, problem)| problem.clone()).unwrap_or_default();
    match problems.len() {
        0 | 1 => first,
        count => format!("{first}; and {}", counted(count - 1, "more problem")),
    }
}

/// What is known of the rules after a failure.
pub(super) fn known_of_rules(failure: &Failure, last_in_force: Option<LastInForce>) -> String {
    let text = &failure.text;
    if !failure.is_of_reading {
        // Where a family is not affected, there is one conflict.
        return match failure.in_conflict.first().filter(|_| !failure.unaffected.is_empty()) {
            Some(family) => format!("the {} rules are not in force: {text}", family.human()),
            None => format!("the rules are not in force: {text}"),
        };
    }
    match last_in_force {
        None => format!("{text}; whether any rules are in force is not known"),
        Some(LastInForce { at, was_another_config: false }) => {
            format!("{text}; at {} they were in force", time_of_day(at))
        }
        Some(LastInForce { at, was_another_config: true }) => {
            format!("{text}; at {} those of the configuration before were in force", time_of_day(at))
        }
    }
}

/// A configuration, in short.
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

pub(super) fn time_of_day(at: SystemTime) -> String {
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
