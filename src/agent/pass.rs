//! One pass of the agent: the file read, the policy made, the rules brought in line, and what there is to say of it.

use std::path::PathBuf;
use std::time::Duration;

use super::flows::EarlierFlows;
use crate::backend::{Backend, ConntrackError, FitError, Fitted, Fitting, FixFlows, Fixed, Outcome, Protect, Wanted};
use crate::config::{self, Config, Context, ReadError, Reading, Warning};
use crate::flows::Decisions;
use crate::policy::{Flags, Policy};
use crate::ruleset::{Generation, Ruleset, Shape, compile};

/// The agent's memory between two passes.
#[derive(Debug)]
pub struct Agent<B> {
    backend: B,
    flags: Flags,
    path: PathBuf,
    /// The configuration in force, and the rules that follow from it.
    config: Config,
    fitting: Fitting,
    /// Was the configuration in force chosen by the file, or its absence, since the start?
    chosen: bool,
    /// What the file held when it was last looked at, or why it could not be read; so that each thing is told once.
    found: Option<Result<Vec<u8>, String>>,
    /// The generation in which the rules were last seen to be as they shall be.
    settled: Option<Generation>,
    /// What follows the policy beside the rules; `None` if flows keep what they began with.
    flows: Option<EarlierFlows>,
}

/// What one pass found and did.
#[derive(Debug)]
pub struct Pass {
    /// What is new about the file; `None` if it says what it said before.
    pub config: Option<ConfigNews>,
    /// What was done to the rules; `None` if they were not even looked at, because nobody has changed any.
    pub rules: Result<Option<Fitted<Outcome>>, FitError>,
    /// What was done to flows that began under another policy; `None` if there was nothing to do.
    pub flows: Option<Result<Fixed, ConntrackError>>,
}

/// What is new about the configuration file.
#[derive(Debug)]
pub enum ConfigNews {
    /// It is valid, and in force from this pass on.
    Valid(Vec<Warning>),
    /// There is no file: the flags' defaults are in force, as upstream has it.
    Missing,
    /// It cannot be used.
    Refused {
        /// Why.
        error: ReadError,
        /// What holds instead.
        instead: Instead,
    },
}

/// What holds while the file cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    /// The configuration that was valid last.
    LastValid,
    /// The flags' defaults: there has been no valid one since the start.
    Defaults,
}

impl<B: Backend> Agent<B> {
    /// An agent that has not looked at its file yet: the flags' defaults would be in force.
    pub fn new(backend: B, wanted: Wanted, protect: Protect, flags: Flags, path: PathBuf) -> Self {
        let config = Config::defaults(&Context::from(&flags));
        let fitting = Fitting::new(wanted, protect, &|shape| ruleset(&config, &flags, shape));
        Self { backend, flags, path, config, fitting, chosen: false, found: None, settled: None, flows: None }
    }

    /// The same agent, which has flows that began under another policy begin anew.
    #[must_use]
    pub fn with_flows(mut self, fixer: Box<dyn FixFlows>) -> Self {
        self.flows = Some(EarlierFlows::new(fixer));
        self
    }

    /// The time until the next pass, if nothing happens before.
    #[must_use]
    pub fn resync_interval(&self) -> Duration {
        self.config.resync_interval.value.into()
    }

    /// The configuration in force.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Reads the file and brings the rules in line with it, or with what holds instead. If the file says what it said, and
    /// nobody has changed any rule since they were as they shall be, nothing more is read.
    pub fn pass(&mut self) -> Pass {
        let config = self.read();
        if config.is_some() {
            self.settled = None;
        }
        let rules = match self.settled {
            Some(settled) if self.backend.generation().is_ok_and(|now| now == settled) => Ok(None),
            _ => {
                let compile = |shape| ruleset(&self.config, &self.flags, shape);
                let rules = self.fitting.reconcile(&mut self.backend, &compile);
                self.settled = rules.as_ref().ok().map(|fitted| fitted.result.generation);
                rules.map(Some)
            }
        };
        let flows = self.follow(config.is_some(), &rules);
        Pass { config, rules, flows }
    }

    /// After the rules, the flows that began before them.
    fn follow(
        &mut self,
        is_renewed: bool,
        rules: &Result<Option<Fitted<Outcome>>, FitError>,
    ) -> Option<Result<Fixed, ConntrackError>> {
        let flows = self.flows.as_mut()?;
        let renewed = is_renewed.then(|| Decisions::of(&Policy::new(&self.config, &self.flags)));
        flows.follow(renewed, rules)
    }

    /// What is new about the file. A valid one is in force from here on, and so is its absence.
    fn read(&mut self) -> Option<ConfigNews> {
        let context = Context::from(&self.flags);
        let read = match config::load(&self.path) {
            Ok(bytes) if matches!(&self.found, Some(Ok(before)) if *before == bytes) => return None,
            Ok(bytes) => {
                let read = config::understand(&self.path, &bytes, &context);
                self.found = Some(Ok(bytes));
                read
            }
            Err(error) => {
                let found = Some(Err(error.to_string()));
                if self.found == found {
                    return None;
                }
                self.found = found;
                Err(error)
            }
        };
        Some(match read {
            Ok(Reading { config, warnings }) => {
                self.choose(config);
                ConfigNews::Valid(warnings)
            }
            Err(ReadError::Missing(_)) => {
                self.choose(Config::defaults(&context));
                ConfigNews::Missing
            }
            Err(error) => {
                let instead = if self.chosen { Instead::LastValid } else { Instead::Defaults };
                ConfigNews::Refused { error, instead }
            }
        })
    }

    fn choose(&mut self, config: Config) {
        self.fitting.renew(&|shape| ruleset(&config, &self.flags, shape));
        self.config = config;
        self.chosen = true;
    }
}

/// What shall be in the kernel, and be ours while we live.
fn ruleset(config: &Config, flags: &Flags, shape: Shape) -> Ruleset {
    Ruleset { hold: true, ..compile(&Policy::new(config, flags), shape) }
}
