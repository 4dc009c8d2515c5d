//! What the log says of reports: each thing once, when it is new.
//!
//! Each event of the log has its name in the field `event` and what it says in further fields; its sentence is made from
//! them, in the same place. Logs in words show the sentence alone.

mod config;
mod rules;

use std::collections::BTreeSet;

use tracing::field::display;
use tracing::{debug, error, info, warn};

use super::status::{known_of_rules, summary, time_of_day};
use super::{
    BackendReport, Cause, ConflictNews, Counters, Failure, Observer, PassReport, PassResult, Report, RulesReport,
    SaveReport,
};
use crate::backend::Process;
use crate::config::{Duration, SourcePaths};
use crate::conntrack::{ConntrackError, Fixed};
use crate::net::Family;
use crate::rules::Layout;
use config::{Chosen, file_status, unanswered, unchanged};
use rules::{changes, next_attempt};

/// A change of the rules is told line by line up to so many lines; more are for `-v=4`.
const LINES_TOLD: usize = RulesReport::LINES;

/// So many warnings are remembered. A program that makes chains under ever new names shall not fill the memory.
const WARNINGS_REMEMBERED: usize = 256;

/// Writes reports to the log, and remembers what it has logged.
#[derive(Debug)]
pub struct LogReporter {
    /// The configuration files.
    paths: SourcePaths,
    failure: LogOnce,
    warnings: BTreeSet<String>,
    layout: Option<Layout>,
    /// Whether a conflict is under way: repairs are logged briefly then.
    is_conflict: bool,
    degraded: LogOnce,
    not_saved: LogOnce,
    flows_failed: LogOnce,
    /// What was chosen and is not in force yet.
    pending: Option<Chosen>,
}

/// Has a text logged once for as long as it stays the same.
#[derive(Debug, Default)]
pub(crate) struct LogOnce(Option<String>);

impl LogOnce {
    /// Nothing was logged.
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// Takes note of a text, and returns whether it is to be logged: whether it differs from the last one.
    pub(crate) fn is_new(&mut self, text: &str) -> bool {
        let is_new = self.0.as_deref() != Some(text);
        if is_new {
            self.0 = Some(text.to_owned());
        }
        is_new
    }

    /// Takes note that there is no text any more, and returns whether there was one.
    pub(crate) fn ends(&mut self) -> bool {
        self.0.take().is_some()
    }
}

impl Observer for LogReporter {
    fn observe(&mut self, report: &Report, _: u64) {
        match report {
            Report::Pass(report) => self.passed(report),
            Report::Flows { result, interval } => self.flows(result.as_ref(), *interval),
            Report::Save(report) => self.saved(report),
            Report::Reloaded { is_answered: false } => unanswered(&self.paths),
            Report::Reloading | Report::Reloaded { is_answered: true } => {}
            Report::Stopping(counters) => stopping(counters),
        }
    }
}

impl LogReporter {
    /// Nothing was logged so far. The configuration files are at these paths.
    #[must_use]
    pub const fn new(paths: SourcePaths) -> Self {
        Self {
            paths,
            failure: LogOnce::new(),
            warnings: BTreeSet::new(),
            layout: None,
            is_conflict: false,
            degraded: LogOnce::new(),
            not_saved: LogOnce::new(),
            flows_failed: LogOnce::new(),
            pending: None,
        }
    }

    fn passed(&mut self, report: &PassReport) {
        let policy_fingerprint = report.fingerprint.map(display);
        let chosen = report.file.as_ref().and_then(|status| file_status(status, report, &self.paths));
        if report.file.is_some() {
            self.pending = chosen;
        }
        let rules = &report.rules;
        match &rules.failure {
            None => self.in_force(report),
            Some(failure) => self.failed(failure, report, chosen),
        }
        if !report.repaired.is_empty() {
            let (by, families) = (suspects(&report.heard.processes), names(&report.repaired));
            info!(
                event = "rules_repaired",
                families,
                by,
                policy_fingerprint,
                "somebody changed our rules, and they were repaired; {}",
                suspicion(&by)
            );
        }
        if rules.was_read {
            let briefly = self.is_conflict && !report.repaired.is_empty();
            changes(rules, if briefly { 0 } else { LINES_TOLD });
            self.warn_once(&rules.warnings);
        }
        if report.is_in_force() {
            self.degraded(report);
        }
        if report.cause == Cause::FileUnchanged {
            unchanged(report, &self.paths);
        }
        if let Some(news) = &report.conflict {
            self.conflict(news, report);
        }
    }

    fn in_force(&mut self, report: &PassReport) {
        if self.failure.ends() {
            let policy_fingerprint = report.fingerprint.map(display);
            info!(event = "failure_over", policy_fingerprint, "the failure is over: the rules are in force");
        }
        let config = report.active.config();
        if let Some(chosen) = self.pending.take() {
            info!(
                event = "config_in_force",
                file = %self.paths,
                active = report.active.name(),
                ranges = config.non_masquerade_cidrs.len(),
                masquerades_link_local = config.masq_link_local.value,
                masquerades_link_local_ipv6 = config.masq_link_local_ipv6.value,
                resync_interval = %config.resync_interval.value,
                policy_fingerprint = report.fingerprint.map(display),
                "{}: {}",
                chosen.in_force(&self.paths),
                summary(config)
            );
        }
        match &report.rules.backend {
            None => debug!(event = "rules_not_read", "nobody has changed any rule"),
            Some(backend) => self.backend(backend),
        }
    }

    fn backend(&mut self, BackendReport { layout, text, was_asked, refused }: &BackendReport) {
        for refusal in refused {
            warn!(event = "backend_refused", refusal, "backend: {refusal}");
        }
        if *was_asked && self.layout.replace(*layout) != Some(*layout) {
            info!(event = "backend_selected", layout = %layout, "{text}");
        }
    }

    /// Logs what is active if that dates from before the start. Everything else is logged with the news of the file.
    fn degraded(&mut self, report: &PassReport) {
        let active = &report.active;
        if !active.is_from_before_the_start() {
            self.degraded.ends();
        } else if self.degraded.is_new(&active.to_string()) {
            let config = active.config();
            // No configuration says what the kernel held.
            let (ranges, more) = if active.is_kernel_rules_alone() {
                (None, String::new())
            } else {
                (Some(config.non_masquerade_cidrs.len()), format!(" ({})", summary(config)))
            };
            warn!(
                event = "degraded",
                active = active.name(),
                ranges,
                masquerades_link_local = ranges.map(|_| config.masq_link_local.value),
                masquerades_link_local_ipv6 = ranges.map(|_| config.masq_link_local_ipv6.value),
                resync_interval = %config.resync_interval.value,
                in_force = %active,
                policy_fingerprint = report.fingerprint.map(display),
                "degraded until the configuration file can be used; in force: {active}{more}"
            );
        }
    }

    fn saved(&mut self, report: &SaveReport) {
        let (error, then) = match report {
            SaveReport::Ended(Ok(written)) => {
                if self.not_saved.ends() {
                    info!(event = "config_saved", written, "the configuration is saved for the next start again");
                } else if *written {
                    debug!(event = "config_saved", written, "the configuration is saved for the next start");
                }
                return;
            }
            SaveReport::Ended(Err(error)) => (error, "; that is tried again, at the latest after a minute"),
            SaveReport::Slow(error) => (error, ""),
        };
        let error = error.to_string();
        if self.not_saved.is_new(&error) {
            let is_slow = matches!(report, SaveReport::Slow(_));
            warn!(
                event = "config_not_saved",
                error,
                is_slow,
                "the configuration in force is not saved for the next start: {error}{then} (look at --state-dir)"
            );
        }
    }

    /// Logs that a conflict has started or ended.
    fn conflict(&mut self, news: &ConflictNews, report: &PassReport) {
        let interval = report.active.config().resync_interval.value;
        let policy_fingerprint = report.fingerprint.map(display);
        self.is_conflict = matches!(news, ConflictNews::Started { .. });
        match news {
            ConflictNews::Started { repairs, time, suspects: by } => {
                let by = suspects(by);
                warn!(
                    event = "conflict_started",
                    repairs,
                    time = format_args!("{time:.1?}"),
                    by,
                    resync_interval = %interval,
                    policy_fingerprint,
                    "our rules were undone and repaired {repairs} times in {time:.1?}; {}. Repairs wait from now on, longer \
                     each time, up to the resync interval ({interval}): find the program that removes them and stop it, or \
                     stop this one",
                    suspicion(&by)
                );
            }
            ConflictNews::Ended => info!(
                event = "conflict_ended",
                policy_fingerprint, "nobody undoes our rules any more; from now on they are repaired at once again"
            ),
        }
    }

    /// Logs the result for the flows that began under another policy.
    fn flows(&mut self, flows: Result<&Fixed, &ConntrackError>, interval: Duration) {
        match flows.map_err(ToString::to_string) {
            Ok(fixed) => {
                self.flows_failed.ends();
                let Fixed { looked_at, exempt, masqueraded, vanished, in_doubt, refused } = fixed;
                let deleted = fixed.deleted();
                info!(
                    event = "flows_deleted",
                    looked_at, deleted, exempt, masqueraded, vanished, in_doubt, refused, "{fixed}"
                );
            }
            Err(error) if self.flows_failed.is_new(&error) => warn!(
                event = "flows_not_deleted",
                error,
                resync_interval = %interval,
                "the rules are in force, but flows that began before keep the source that they have: {error}; it is tried \
                 again at the next pass, at the latest after {interval}"
            ),
            Err(error) => debug!(event = "flows_not_deleted", error, "still: {error}"),
        }
    }

    /// Logs each warning once, even if its cause is removed and added again and again.
    fn warn_once(&mut self, warnings: &[String]) {
        for warning in warnings {
            if self.warnings.len() >= WARNINGS_REMEMBERED {
                self.warnings.clear();
            }
            if self.warnings.insert(warning.clone()) {
                warn!(event = "foreign_rules", warning, "{warning}");
            }
        }
    }

    /// Logs a failure once; but if a configuration was just chosen, that it is not in force is logged in any case.
    fn failed(&mut self, failure: &Failure, report: &PassReport, chosen: Option<Chosen>) {
        let (error, result) = (&failure.text, report.result.name());
        if !self.failure.is_new(error) && chosen.is_none() {
            debug!(event = "rules_not_in_force", result, error, "still: {error}");
            return;
        }
        let config = report.active.config();
        let known = known_of_rules(failure, report.last_in_force);
        let told = match chosen {
            Some(chosen) if failure.is_of_reading => format!("{}: {known}", chosen.perhaps_in_force(&self.paths)),
            Some(chosen) => format!("{}: {error}", chosen.not_in_force(&self.paths)),
            None => known,
        };
        let next = next_attempt(report.result, config);
        let (unaffected, resync_interval) = (names(&failure.unaffected), &config.resync_interval.value);
        let last_in_force = report.last_in_force.map(|last| display(time_of_day(last.at)));
        let policy_fingerprint = report.fingerprint.map(display);
        macro_rules! tell {
            ($level:ident) => {
                $level!(
                    event = "rules_not_in_force",
                    file = chosen.map(|_| display(&self.paths)),
                    result,
                    error,
                    unaffected,
                    last_in_force,
                    resync_interval = %resync_interval,
                    policy_fingerprint,
                    "{told}; {next}"
                )
            };
        }
        if report.result == PassResult::Overtaken {
            tell!(warn);
        } else {
            tell!(error);
        }
    }
}

fn suspects(processes: &[Process]) -> String {
    processes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Who may have done it: whoever committed since the last look.
fn suspicion(by: &str) -> String {
    if by.is_empty() {
        "who did it is not known, as the kernel names a process only to those who listen while it commits \
         (--watch-rules=notify)"
            .to_owned()
    } else {
        format!("before that committed: {by}")
    }
}

fn names(families: &[Family]) -> String {
    families.iter().map(|family| family.human()).collect::<Vec<_>>().join(", ")
}

fn stopping(counters: &Counters) {
    let Counters { passes, repairs, failures, failed_looks, foreign_commits, conflicts } = counters;
    debug!(event = "counters", passes, repairs, failures, failed_looks, foreign_commits, conflicts, "{counters:?}");
    info!(
        event = "stopping",
        "ending, as SIGTERM or SIGINT asks; the rules stay in force (`ip-masq-agent cleanup` takes them out)"
    );
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
