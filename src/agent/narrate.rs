//! What the agent says of its passes: each thing once, when it is new.

use std::path::Path;

use tracing::{debug, error, info, warn};

use super::pass::{ConfigNews, Instead, Pass};
use crate::backend::{ConntrackError, FitError, Fixed, Outcome};
use crate::config::Config;
use crate::render::plan_lines;
use crate::ruleset::{Rivalry, Shape};

/// A change of the rules is told line by line up to so many lines; more are for `-v=4`.
const LINES_TOLD: usize = 100;

/// Tells of passes, and remembers the last failure so that it is told once.
#[derive(Debug, Default)]
pub(super) struct Narrator {
    failure: Option<String>,
    rivalries: Vec<Rivalry>,
    shape: Option<Shape>,
    flows_failure: Option<String>,
}

impl Narrator {
    /// Tells what is new in a pass; `config` is what is in force after it.
    pub(super) fn tell(&mut self, pass: &Pass, path: &Path, config: &Config) {
        if let Some(news) = &pass.config {
            tell_config(news, path, config);
        }
        match &pass.rules {
            Ok(None) => debug!("nobody has changed any rule"),
            Ok(Some(fitted)) => {
                if self.failure.take().is_some() {
                    info!("the rules can be written again");
                }
                for refusal in &fitted.refused {
                    warn!("backend: {refusal}");
                }
                if self.shape.replace(fitted.shape) != Some(fitted.shape) {
                    info!("backend: {}, which the kernel takes", fitted.shape);
                }
                tell_outcome(&fitted.result);
                self.tell_rivalries(&fitted.result.rivalries);
            }
            Err(failure) => self.tell_failure(failure, config),
        }
        if let Some(flows) = &pass.flows {
            self.tell_flows(flows, config);
        }
    }

    fn tell_flows(&mut self, flows: &Result<Fixed, ConntrackError>, config: &Config) {
        let failure = match flows {
            Ok(fixed) => {
                info!("{fixed}");
                None
            }
            Err(error) => Some(error.to_string()),
        };
        match &failure {
            Some(text) if self.flows_failure.as_ref() == Some(text) => debug!("still: {text}"),
            Some(text) => {
                let interval = config.resync_interval.value;
                warn!(
                    "the rules are in force, but flows that began before keep the source that they have: {text}; the \
                     next attempt is in {interval} or when the file changes"
                );
            }
            None => {}
        }
        self.flows_failure = failure;
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
        if self.failure.as_ref() == Some(&text) {
            debug!("still: {text}");
            return;
        }
        error!("the rules are not in force: {text}; the next attempt is in {interval} or when the file changes");
        self.failure = Some(text);
    }
}

fn tell_config(news: &ConfigNews, path: &Path, config: &Config) {
    let file = path.display();
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
        ConfigNews::Refused { error, instead: Instead::Defaults } => {
            error!(
                "{error}; there has been no valid configuration since the start, so until that is mended the flags' \
                 defaults are in force: {}",
                summary(config)
            );
        }
    }
}

fn tell_outcome(outcome: &Outcome) {
    if let Some(interference) = outcome.interference() {
        info!("{interference}");
    }
    if outcome.plan.is_empty() {
        debug!("the rules are as they shall be");
        return;
    }
    let changes = outcome.plan.changes.len();
    info!("the rules were changed and read back: {changes} changes");
    for (index, line) in plan_lines(&outcome.plan).enumerate() {
        if index < LINES_TOLD {
            info!("  {line}");
        } else {
            debug!("  {line}");
        }
    }
    if changes > LINES_TOLD {
        info!("  … and {} more (all of them with -v=4)", changes - LINES_TOLD);
    }
    for undone in outcome.left_undone() {
        warn!("{undone}");
    }
}

fn summary(config: &Config) -> String {
    let link_local = |masqueraded: bool| if masqueraded { "masqueraded" } else { "exempt" };
    format!(
        "{} ranges exempt, link-local {} (IPv6 {}), resync every {}",
        config.non_masquerade_cidrs.len(),
        link_local(config.masq_link_local.value),
        link_local(config.masq_link_local_ipv6.value),
        config.resync_interval.value
    )
}
