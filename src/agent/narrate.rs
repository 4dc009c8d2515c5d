//! What the agent says of its passes: each thing once, when it is new.

use std::path::Path;

use tracing::{debug, error, info, warn};

use super::Counters;
use super::complaint::Complaint;
use super::pass::{ConfigNews, Pass};
use super::patience::{News, Quarrel};
use crate::backend::{ConntrackError, FitError, Fixed, Outcome};
use crate::config::Config;
use crate::netlink::{Heard, Process};
use crate::render::plan_lines;
use crate::ruleset::{Rivalry, Shape};
use crate::shown::Shown;
use crate::state::{Holding, Instead, SaveError};

/// A change of the rules is told line by line up to so many lines; more are for `-v=4`.
const LINES_TOLD: usize = 100;

/// Tells of passes, and remembers the last failure so that it is told once.
#[derive(Debug, Default)]
pub(super) struct Narrator {
    failure: Complaint,
    rivalries: Vec<Rivalry>,
    shape: Option<Shape>,
    /// Are the rules being undone again and again? Then repairs are told briefly.
    quarrel: bool,
    holding: Option<Holding>,
    unkept: Complaint,
    unfixed: Complaint,
}

impl Narrator {
    /// Tells what is new in a pass, before which others were heard; `config` is what is in force after it.
    pub(super) fn tell(&mut self, pass: &Pass, heard: &Heard, path: &Path, config: &Config) {
        if let Some(news) = &pass.config {
            tell_config(news, path, config);
        }
        match &pass.rules {
            Ok(None) => debug!("nobody has changed any rule"),
            Ok(Some(fitted)) => {
                if self.failure.ends() {
                    info!("the rules can be written again");
                }
                for refusal in &fitted.refused {
                    warn!("backend: {refusal}");
                }
                // Where all was left alone, the kernel was not asked to take anything.
                let asked = fitted.result.kept.is_empty() || !fitted.result.plan.is_empty();
                if asked && self.shape.replace(fitted.shape) != Some(fitted.shape) {
                    info!("{}", fitted.choice());
                }
                if pass.repaired {
                    info!("somebody changed our rules, and they were repaired; {}", suspicion(&heard.processes));
                }
                tell_outcome(&fitted.result, if self.quarrel && pass.repaired { 0 } else { LINES_TOLD });
                self.tell_rivalries(&fitted.result.rivalries);
            }
            Err(failure) => self.tell_failure(failure, config),
        }
        if let Some(holding) = &pass.holding {
            self.tell_holding(holding, config);
        }
        if let Some(kept) = &pass.kept {
            self.tell_kept(kept);
        }
        if let Some(flows) = &pass.flows {
            self.tell_flows(flows, config);
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

    fn tell_kept(&mut self, kept: &Result<bool, SaveError>) {
        match kept {
            Ok(written) => {
                if self.unkept.ends() {
                    info!("the configuration is kept for the next start again");
                } else if *written {
                    debug!("the configuration is kept for the next start");
                }
            }
            Err(error) => {
                let text = error.to_string();
                if self.unkept.is_new(&text) {
                    warn!(
                        "the configuration in force is not kept for the next start: {text}; that is tried again at every \
                         pass over the rules (look at --state-dir)"
                    );
                }
            }
        }
    }

    /// Tells that repairs begin to wait, or need not wait any more.
    pub(super) fn tell_news(&mut self, news: &News, config: &Config) {
        let interval = config.resync_interval.value;
        self.quarrel = matches!(news, News::Quarrel(_));
        match news {
            News::Quarrel(Quarrel { repairs, time, suspects }) => warn!(
                "our rules were undone and repaired {repairs} times in {time:.1?}; {}. Repairs wait from now on, longer each \
                 time, up to the resync interval ({interval}): find the program that removes them and stop it, or stop \
                 this one",
                suspicion(suspects)
            ),
            News::Peace => info!("nobody undoes our rules any more; from now on they are repaired at once again"),
        }
    }

    fn tell_flows(&mut self, flows: &Result<Fixed, ConntrackError>, config: &Config) {
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

    fn tell_rivalries(&mut self, rivalries: &[Rivalry]) {
        for new in rivalries.iter().filter(|rivalry| !self.rivalries.contains(rivalry)) {
            warn!("{new}");
        }
        self.rivalries = rivalries.to_vec();
    }

    fn tell_failure(&mut self, failure: &FitError, config: &Config) {
        let text = failure.to_string();
        let interval = config.resync_interval.value;
        if !self.failure.is_new(&text) {
            debug!("still: {text}");
            return;
        }
        error!(
            "the rules are not in force: {text}; it is tried again, at the latest after {interval}, or when the file or the \
             rules change"
        );
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

fn tell_config(news: &ConfigNews, path: &Path, config: &Config) {
    let file = Shown(path);
    match news {
        ConfigNews::Valid(warnings) => {
            info!("{file} is valid and in force: {}", summary(config));
            for warning in warnings {
                warn!("{}", warning.in_file(path));
            }
        }
        ConfigNews::Missing => info!("{file} does not exist: the flags' defaults are in force: {}", summary(config)),
        ConfigNews::Refused { error, instead: Instead::LastValid } => {
            error!("{error}; until that is mended, the last valid configuration stays in force: {}", summary(config));
        }
        ConfigNews::Refused { error, instead: Instead::OfBefore(notes) } => {
            error!("{error}{notes}; there has been no valid configuration since the start");
        }
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
    info!("the rules were changed and read back: {changes} changes");
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

/// What is in force, in short.
pub(super) fn summary(config: &Config) -> String {
    let link_local = |masqueraded: bool| if masqueraded { "masqueraded" } else { "exempt" };
    format!(
        "{} ranges exempt, link-local {} (IPv6 {}), resync every {}",
        config.non_masquerade_cidrs.len(),
        link_local(config.masq_link_local.value),
        link_local(config.masq_link_local_ipv6.value),
        config.resync_interval.value
    )
}
