//! The agent's way from the bytes of a configuration to the bytes of a transaction, without the kernel.

use anyhow::Result;
use ip_masq_agent::config::{self, Config, Context};
use ip_masq_agent::netlink::{Batch, Transaction};
use ip_masq_agent::policy::{Flags, Policy};
use ip_masq_agent::ruleset::{Generation, Observed, Plan, Ruleset, compile, plan};

use crate::agent::Backend;

/// Reads a configuration.
pub fn parse(text: &str) -> Result<Config> {
    Ok(config::parse(text.as_bytes(), &Context::default())?.config)
}

/// Decides.
#[must_use]
pub fn policy(config: &Config) -> Policy {
    Policy::new(config, &Flags::default())
}

/// Makes rules of the decisions, in the shape of a backend; `None` if the library does not have that yet.
#[must_use]
pub fn ruleset(policy: &Policy, backend: Backend) -> Option<Ruleset> {
    match backend {
        Backend::Native => None,
        Backend::Compat => Some(compile(policy)),
    }
}

/// Plans how the rules get into an empty namespace.
pub fn plan_from_nothing(ruleset: &Ruleset) -> Result<Plan> {
    Ok(plan(ruleset, &Observed::default())?)
}

/// Writes a plan down as the one datagram that the kernel is sent.
pub fn encode(plan: &Plan, generation: Option<Generation>) -> Result<Batch> {
    let mut transaction = Transaction::begin(generation);
    for change in &plan.changes {
        transaction.push(change);
    }
    Ok(transaction.seal()?)
}
