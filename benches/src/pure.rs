//! The agent's way from the bytes of a configuration to the bytes of a transaction, without the kernel.

use anyhow::Result;
use ip_masq_agent::backend::nftables::{Batch, Transaction};
use ip_masq_agent::backend::nftables::{Cache, Generation, Observed, Plan, plan};
use ip_masq_agent::config::{self, Config, Context};
use ip_masq_agent::policy::{Flags, Policy};
use ip_masq_agent::rules::{Layout, Protection, Ruleset, compile};

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

/// The layout of a backend's rules, without protection of tables.
#[must_use]
pub const fn layout(backend: Backend) -> Layout {
    match backend {
        Backend::Native => Layout::OwnTable(Protection::Off),
        Backend::Compat => Layout::IptablesNat,
    }
}

/// Makes rules of a configuration's text.
pub fn ruleset(text: &str, layout: Layout) -> Result<Ruleset> {
    Ok(compile(&policy(&parse(text)?), layout))
}

/// Plans how the rules get into an empty namespace.
pub fn plan_from_nothing(ruleset: &Ruleset) -> Result<Plan> {
    Ok(plan(ruleset, &Observed::default(), &Cache::default())?)
}

/// Writes a plan down as the one datagram that the kernel is sent.
pub fn encode(plan: &Plan, generation: Option<Generation>) -> Result<Batch> {
    let mut transaction = Transaction::begin(generation);
    for change in &plan.changes {
        transaction.push(change);
    }
    Ok(transaction.seal()?)
}
