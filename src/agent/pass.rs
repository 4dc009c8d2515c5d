//! One pass of the agent: the file read, the policy made, the rules brought in line, and what there is to say of it.

use std::path::PathBuf;
use std::time::Duration;

use crate::backend::{Backend, Outcome, ReconcileError, reconcile};
use crate::config::{self, Config, Context, ReadError, Reading, Warning};
use crate::policy::{Flags, Policy};
use crate::ruleset::{Ruleset, Shape, compile};

/// The agent's memory between two passes.
#[derive(Debug)]
pub struct Agent<B> {
    backend: B,
    flags: Flags,
    path: PathBuf,
    in_force: InForce,
    /// The last answer to reading the file, so that each is told once.
    told: Option<Told>,
}

/// What one pass found and did.
#[derive(Debug)]
pub struct Pass {
    /// What is new about the file; `None` if it says what it said before.
    pub config: Option<ConfigNews>,
    /// What was done to the rules.
    pub rules: Result<Outcome, ReconcileError>,
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

#[derive(Debug)]
struct InForce {
    config: Config,
    ruleset: Ruleset,
    /// Has the file, or its absence, been the source since the start?
    chosen: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Valid(Reading),
    Missing,
    Refused(String),
}

impl<B: Backend> Agent<B> {
    /// An agent that has not looked at its file yet: the flags' defaults would be in force.
    pub fn new(backend: B, flags: Flags, path: PathBuf) -> Self {
        let in_force = InForce::new(Config::defaults(&Context::from(&flags)), &flags, false);
        Self { backend, flags, path, in_force, told: None }
    }

    /// The way to the kernel.
    pub const fn backend(&self) -> &B {
        &self.backend
    }

    /// The time until the next pass, if nothing happens before.
    #[must_use]
    pub fn resync_interval(&self) -> Duration {
        self.in_force.config.resync_interval.value.into()
    }

    /// The configuration in force.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.in_force.config
    }

    /// Reads the file and brings the rules in line with it, or with what holds instead.
    pub fn pass(&mut self) -> Pass {
        let config = self.read();
        let rules = reconcile(&mut self.backend, &self.in_force.ruleset);
        Pass { config, rules }
    }

    fn read(&mut self) -> Option<ConfigNews> {
        let context = Context::from(&self.flags);
        let read = config::read(&self.path, &context);
        let now = match &read {
            Ok(reading) => Told::Valid(reading.clone()),
            Err(ReadError::Missing { .. }) => Told::Missing,
            Err(error) => Told::Refused(error.to_string()),
        };
        if self.told.as_ref() == Some(&now) {
            return None;
        }
        self.told = Some(now);
        Some(match read {
            Ok(Reading { config, warnings }) => {
                self.in_force = InForce::new(config, &self.flags, true);
                ConfigNews::Valid(warnings)
            }
            Err(ReadError::Missing { .. }) => {
                self.in_force = InForce::new(Config::defaults(&context), &self.flags, true);
                ConfigNews::Missing
            }
            Err(error) => {
                let instead = if self.in_force.chosen { Instead::LastValid } else { Instead::Defaults };
                ConfigNews::Refused { error, instead }
            }
        })
    }
}

impl InForce {
    fn new(config: Config, flags: &Flags, chosen: bool) -> Self {
        let ruleset = compile(&Policy::new(&config, flags), Shape::Compat);
        Self { config, ruleset, chosen }
    }
}
