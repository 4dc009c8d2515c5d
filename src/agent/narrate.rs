//! What the agent says of its passes: each thing once, when it is new.

use std::collections::BTreeSet;
use std::time::SystemTime;

use tracing::{debug, error, info, warn};

use super::Counters;
use super::back_off::{ConflictNews, PassResult};
use super::complaint::Complaint;
use super::pass::{ConfigNews, Pass, outcome};
use super::state_writes::StateNews;
use super::status::{LastLook, summary};
use crate::backend::nftables::plan_lines;
use crate::backend::nftables::{Heard, Process};
use crate::backend::{Outcome, SelectError, Selected};
use crate::config::{Config, SourcePaths};
use crate::conntrack::{ConntrackError, Fixed};
use crate::last_good::{Holding, Instead};
use crate::rules::Layout;
use crate::text::counted;

/// A change of the rules is told line by line up to so many lines; more are for `-v=4`.
const LINES_TOLD: usize = 100;

/// So many worries are remembered. Somebody who makes chains under ever new names shall not fill the memory.
const WORRIES_REMEMBERED: usize = 256;

/// Tells of passes, and remembers what it has told.
#[derive(Debug, Default)]
pub(super) struct Narrator {
    failure: Complaint,
    worries: BTreeSet<String>,
    layout: Option<Layout>,
    /// Are the rules being undone again and again? Then repairs are told briefly.
    conflict: bool,
    holding: Option<Holding>,
    unkept: Complaint,
    unfixed: Complaint,
    /// The choice that is not in force yet.
    pending: Option<Choice>,
    last_look: LastLook,
}

/// What the rules shall follow.
#[derive(Clone, Copy, Debug)]
enum Choice {
    File,
    NoFile,
}

impl Narrator {
    /// Tells what is new in a pass, before which others were heard; `config` is what the rules shall follow after it.
    pub(super) fn tell(
        &mut self,
        pass: &Pass,
        result: PassResult,
        heard: &Heard,
        paths: &SourcePaths,
        config: &Config,
    ) {
        self.last_look.learn(pass, SystemTime::now());
        let chosen = pass.config.as_ref().and_then(|news| tell_news_of_the_file(news, pass, paths, config));
        if pass.config.is_some() {
            self.pending = chosen;
        }
        match &pass.rules {
            Ok(rules) => {
                if self.failure.ends() {
                    info!("the failure is over: the rules are in force");
                }
                if let Some(choice) = self.pending.take() {
                    info!("{}: {}", choice.in_force(paths), summary(config));
                }
                match rules {
                    None => debug!("nobody has changed any rule"),
                    Some(selected) => self.tell_fitted(selected),
                }
            }
            Err(failure) => self.tell_failure(failure, result, chosen, paths, config),
        }
        if pass.repaired {
            info!("somebody changed our rules, and they were repaired; {}", suspicion(&heard.processes));
        }
        if let Some(outcome) = outcome(&pass.rules) {
            tell_outcome(outcome, if self.conflict && pass.repaired { 0 } else { LINES_TOLD });
            self.tell_worries(outcome);
        }
        if let Some(holding) = &pass.holding {
            self.tell_holding(holding, config);
        }
    }

    /// How things are after that pass, in one line.
    pub(super) fn status(&self, pass: &Pass, config: &Config) -> String {
        self.last_look.status(pass, config)
    }

    fn tell_fitted(&mut self, selected: &Selected<Outcome>) {
        for refusal in &selected.refused {
            warn!("backend: {refusal}");
        }
        // Where all was left alone, the kernel was not asked to take anything.
        let asked = selected.result.kept.is_empty() || !selected.result.plan.is_empty();
        if asked && self.layout.replace(selected.layout) != Some(selected.layout) {
            info!("{}", selected.choice());
        }
    }

    /// What holds is told where it is something of before the start; anything else the news of the file tell.
    fn tell_holding(&mut self, holding: &Holding, config: &Config) {
        if self.holding.replace(holding.clone()).as_ref() == Some(holding) || !holding.is_of_before() {
            return;
        }
        let degraded = "degraded until the configuration file can be used";
        if holding.is_of_the_kernel_alone() {
            warn!("{degraded}; in force: {holding}");
        } else {
            warn!("{degraded}; in force: {holding} ({})", summary(config));
        }
    }

    /// Tells whether the configuration is kept for the next start.
    pub(super) fn tell_state(&mut self, news: &StateNews) {
        let (text, then) = match news {
            StateNews::Ended(Ok(written)) => {
                if self.unkept.ends() {
                    info!("the configuration is kept for the next start again");
                } else if *written {
                    debug!("the configuration is kept for the next start");
                }
                return;
            }
            StateNews::Ended(Err(error)) => (error.to_string(), "; that is tried again, at the latest after a minute"),
            StateNews::Slow(slow) => (slow.to_string(), ""),
        };
        if self.unkept.is_new(&text) {
            warn!("the configuration in force is not kept for the next start: {text}{then} (look at --state-dir)");
        }
    }

    /// Tells that repairs begin to wait, or need not wait any more.
    pub(super) fn tell_conflict(&mut self, news: &ConflictNews, config: &Config) {
        let interval = config.resync_interval.value;
        self.conflict = matches!(news, ConflictNews::Started { .. });
        match news {
            ConflictNews::Started { repairs, time, suspects } => warn!(
                "our rules were undone and repaired {repairs} times in {time:.1?}; {}. Repairs wait from now on, longer each \
                 time, up to the resync interval ({interval}): find the program that removes them and stop it, or stop \
                 this one",
                suspicion(suspects)
            ),
            ConflictNews::Ended => {
                info!("nobody undoes our rules any more; from now on they are repaired at once again");
            }
        }
    }

    /// Tells what became of the flows that began under another policy.
    pub(super) fn tell_flows(&mut self, flows: &Result<Fixed, ConntrackError>, config: &Config) {
        match flows.as_ref().map_err(ToString::to_string) {
            Ok(fixed) => {
                self.unfixed.ends();
                info!("{fixed}");
            }
            Err(text) if self.unfixed.is_new(&text) => {
                let interval = config.resync_interval.value;
                warn!(
                    "the rules are in force, but flows that began before keep the source that they have: {text}; it is \
                     tried again at the next pass, at the latest after {interval}"
                );
            }
            Err(text) => debug!("still: {text}"),
        }
    }

    /// What comes and goes again and again is told when it first comes.
    fn tell_worries(&mut self, outcome: &Outcome) {
        for worry in outcome.worries() {
            if self.worries.len() >= WORRIES_REMEMBERED {
                self.worries.clear();
            }
            if self.worries.insert(worry.clone()) {
                warn!("{worry}");
            }
        }
    }

    /// Tells a failure once; but that what was just chosen is not in force is told whatever has been told before.
    fn tell_failure(
        &mut self,
        failure: &SelectError,
        result: PassResult,
        chosen: Option<Choice>,
        paths: &SourcePaths,
        config: &Config,
    ) {
        let text = failure.to_string();
        if !self.failure.is_new(&text) && chosen.is_none() {
            debug!("still: {text}");
            return;
        }
        let (known, next) = (self.last_look.known(failure), next_attempt(result, config));
        let told = match chosen {
            Some(choice) if failure.is_of_looking() => format!("{}: {known}; {next}", choice.perhaps_in_force(paths)),
            Some(choice) => format!("{}: {failure}; {next}", choice.not_in_force(paths)),
            None => format!("{known}; {next}"),
        };
        if result == PassResult::Overtaken {
            warn!("{told}");
        } else {
            error!("{told}");
        }
    }
}

impl Choice {
    fn in_force(self, paths: &SourcePaths) -> String {
        match self {
            Self::File => format!("{paths} is valid and in force"),
            Self::NoFile => format!("{paths} does not exist: the flags' defaults are in force"),
        }
    }

    fn not_in_force(self, paths: &SourcePaths) -> String {
        match self {
            Self::File => format!("{paths} is valid, but not in force"),
            Self::NoFile => format!("{paths} does not exist, and the flags' defaults are not in force"),
        }
    }

    fn perhaps_in_force(self, paths: &SourcePaths) -> String {
        match self {
            Self::File => format!("{paths} is valid, but it is not known whether it is in force"),
            Self::NoFile => {
                format!("{paths} does not exist, and it is not known whether the flags' defaults are in force")
            }
        }
    }
}

/// What comes after a failure.
fn next_attempt(result: PassResult, config: &Config) -> String {
    let interval = config.resync_interval.value;
    match result {
        PassResult::Failed => format!(
            "it is tried again after a pause that doubles each time, at the latest after {interval}, and at once when the \
             file or the rules change"
        ),
        PassResult::Undone | PassResult::Overtaken => format!("it is tried again soon, at the latest after {interval}"),
        PassResult::Owned(_) => {
            "it is tried again at once when that process has ended, which is looked for four times a \
                                 second, or when the file or the rules change"
                .to_owned()
        }
        PassResult::InForce | PassResult::Repaired | PassResult::Stuck => {
            format!("it is tried again when the file or the rules change, at the latest after {interval}")
        }
    }
}

/// Who may have done it: whoever committed since the last look.
fn suspicion(processes: &[Process]) -> String {
    let names: Vec<String> = processes.iter().map(ToString::to_string).collect();
    if names.is_empty() {
        "the kernel did not say who did it".to_owned()
    } else {
        format!("before that committed: {}", names.join(", "))
    }
}

/// The last words.
pub(super) fn tell_end(counters: &Counters) {
    debug!("{counters:?}");
    info!("ending, as SIGTERM or SIGINT asks; the rules stay in force (`ip-masq-agent cleanup` takes them out)");
}

/// Tells what the file has to say, but for what is only true once the rules are in force: that is returned.
fn tell_news_of_the_file(news: &ConfigNews, pass: &Pass, paths: &SourcePaths, config: &Config) -> Option<Choice> {
    match news {
        ConfigNews::Valid(warnings) => {
            for warning in warnings {
                warn!("{}", warning.in_files(paths));
            }
            Some(Choice::File)
        }
        ConfigNews::Missing => Some(Choice::NoFile),
        ConfigNews::Refused { error, instead: Instead::LastValid } => {
            let holds = if pass.rules.is_ok() { "stays in force" } else { "is what the rules shall follow" };
            let instead = format!("the last valid configuration {holds}: {}", summary(config));
            tell_errors(&format!("{error}; until that is mended, {instead}"));
            None
        }
        ConfigNews::Refused { error, instead: Instead::OfBefore(notes) } => {
            tell_errors(&format!("{error}{notes}; there has been no valid configuration since the start"));
            None
        }
    }
}

/// Everything that is wrong with a file is a line of its own.
fn tell_errors(errors: &str) {
    for line in errors.lines() {
        error!("{line}");
    }
}

/// SIGHUP, after which the file says what it said. All else is told as it is after any event.
pub(super) fn tell_unchanged(pass: &Pass, paths: &SourcePaths) {
    match &pass.holding {
        None => info!("{paths} is unchanged; the rules were looked at again, and are still not in force"),
        Some(holding) if holding.is_degraded() => {
            warn!(
                "{paths} is unchanged, and still cannot be used; the rules were looked at again; in force: {holding}"
            );
        }
        Some(_) => info!("{paths} is unchanged; the rules were looked at again"),
    }
}

fn tell_outcome(outcome: &Outcome, most_lines: usize) {
    for mishap in outcome.mishaps() {
        info!("{mishap}");
    }
    if outcome.plan.is_empty() {
        debug!("the rules are as they shall be");
        return;
    }
    let changes = outcome.plan.changes.len();
    info!("the rules were changed and read back: {}", counted(changes, "change"));
    for (index, line) in plan_lines(&outcome.plan).enumerate() {
        if index < most_lines {
            info!("  {line}");
        } else {
            debug!("  {line}");
        }
    }
    if changes > most_lines && most_lines > 0 {
        info!("  … and {} more (all of them with -v=4)", changes - most_lines);
    }
    for undone in outcome.left_undone() {
        warn!("{undone}");
    }
}

#[cfg(test)]
#[path = "narrate_tests.rs"]
mod tests;
