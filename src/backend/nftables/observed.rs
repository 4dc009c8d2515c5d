//! What was read of the kernel.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::NatChain;
use crate::net::Family;
use crate::rules::{BaseChain, Elements, Protection, Rule, SetKind, TableId, Verdict};

/// The part of the kernel's rules that concerns us, read in one generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The generation of the whole ruleset at the time of reading.
    pub generation: Generation,
    /// The tables that exist, IPv4 before IPv6.
    pub tables: Vec<ObservedTable>,
    /// All base chains of type nat at the postrouting hook that the kernel enters, ours among them.
    pub nat_chains: Vec<NatChain>,
    /// The families of which iptables-legacy has a `nat` table.
    pub legacy: Vec<Family>,
    /// Whether long lists were not read, but assumed to be what they were before another process committed.
    pub is_partly_assumed: bool,
}

/// A table that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedTable {
    /// Which table.
    pub id: TableId,
    /// Who may change it, or why it cannot be as ours would be.
    pub protection: Result<Protection, Unrecognised>,
    /// Whether it is switched off (`flags dormant`). The kernel then enters none of its chains.
    pub dormant: bool,
    /// Whose open socket owns it; only that may change it.
    pub owner: Option<Owner>,
    /// All its sets, if the table is our own.
    pub sets: Vec<ObservedSet>,
    /// The foreign objects in it, if the table is our own.
    pub foreign_objects: Vec<ForeignObject>,
    /// All its chains. In the shared table rules are read only of POSTROUTING, of the chain with our name, and of chains to
    /// which a jump of ours leads; in a table of our own, of all chains.
    pub chains: Vec<ObservedChain>,
}

/// A chain that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedChain {
    /// The name.
    pub name: String,
    /// Where the kernel enters it, if it does.
    pub base: Option<BaseChain>,
    /// Whether it is a base chain that drops what none of its rules decides (`policy drop`).
    pub drops: bool,
    /// The number of its rules and of the jumps to it, together (`NFTA_CHAIN_USE`); 0 if the kernel does not say.
    pub uses: u32,
    /// The rules, in order.
    pub rules: Rules,
}

/// Rules that were read. Copies share them, as our chain can have tens of thousands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(Arc<Vec<ObservedRule>>);

/// Whose open socket owns a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Ours.
    Us,
    /// That of another process, with this port id (`NFTA_TABLE_OWNER`).
    Other(u32),
}

/// A set that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedSet {
    /// The name.
    pub name: String,
    /// How the kernel stores it, or why it cannot be one of ours.
    pub kind: Result<SetKind, Unrecognised>,
    /// The elements.
    pub elements: Elements,
}

/// A foreign object: anything in a table but sets, chains and rules. The agent makes none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignObject {
    /// The name.
    pub name: String,
    /// What it is.
    pub kind: ForeignKind,
}

/// What can be in a table beside sets, chains and rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignKind {
    /// A stateful object of this type (`NFT_OBJECT_*`, `linux/netfilter/nf_tables.h`), such as a named counter.
    Object(u32),
    /// A flowtable.
    Flowtable,
}

/// A rule that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedRule {
    /// The number by which the kernel knows it, within its table.
    pub handle: Handle,
    /// The rule, or why it cannot be one of ours.
    pub rule: Result<Rule, Unrecognised>,
}

/// The number of a rule in its table, given by the kernel, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(pub u64);

/// The number of a state of the whole ruleset of a network namespace; every commit makes a new one (`NFTA_GEN_ID`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generation(pub u32);

/// Why an object of the kernel cannot be expressed in our types. Such an object is never one of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unrecognised(pub String);

impl Generation {
    /// The generation that the next commit makes; the kernel passes over 0 (`nft_base_seq_inc`).
    #[must_use]
    pub const fn next(self) -> Self {
        match self.0.wrapping_add(1) {
            0 => Self(1),
            next => Self(next),
        }
    }
}

impl Observed {
    /// The table of this name and family, if it exists.
    #[must_use]
    pub fn table(&self, id: TableId) -> Option<&ObservedTable> {
        self.tables.iter().find(|table| table.id == id)
    }
}

impl ObservedTable {
    /// The chain of this name, if it exists.
    #[must_use]
    pub fn chain(&self, name: &str) -> Option<&ObservedChain> {
        self.chains.iter().find(|chain| chain.name == name)
    }

    /// The set of this name, if it exists.
    #[must_use]
    pub fn set(&self, name: &str) -> Option<&ObservedSet> {
        self.sets.iter().find(|set| set.name == name)
    }
}

impl ObservedTable {
    /// The uses of a chain ([`ObservedChain::uses`]) without the jumps to it in POSTROUTING.
    #[must_use]
    pub fn uses_but_for_our_jump(&self, chain: &ObservedChain) -> u32 {
        let rules = self.chain(BaseChain::POSTROUTING).map_or(&[][..], |postrouting| &postrouting.rules);
        let leads_there = |rule: &&ObservedRule| {
            rule.rule.as_ref().is_ok_and(|rule| matches!(rule.verdict(), Verdict::Jump(to) if *to == chain.name))
        };
        chain.uses.saturating_sub(u32::try_from(rules.iter().filter(leads_there).count()).unwrap_or(u32::MAX))
    }
}

impl Deref for Rules {
    type Target = Vec<ObservedRule>;

    fn deref(&self) -> &Vec<ObservedRule> {
        &self.0
    }
}

impl DerefMut for Rules {
    /// Gives access to change them. Other copies stay as they are.
    fn deref_mut(&mut self) -> &mut Vec<ObservedRule> {
        Arc::make_mut(&mut self.0)
    }
}

impl From<Vec<ObservedRule>> for Rules {
    fn from(rules: Vec<ObservedRule>) -> Self {
        Self(Arc::new(rules))
    }
}

impl FromIterator<ObservedRule> for Rules {
    fn from_iter<I: IntoIterator<Item = ObservedRule>>(rules: I) -> Self {
        rules.into_iter().collect::<Vec<_>>().into()
    }
}

impl IntoIterator for Rules {
    type Item = ObservedRule;
    type IntoIter = std::vec::IntoIter<ObservedRule>;

    fn into_iter(self) -> Self::IntoIter {
        Arc::unwrap_or_clone(self.0).into_iter()
    }
}

impl<'a> IntoIterator for &'a Rules {
    type Item = &'a ObservedRule;
    type IntoIter = std::slice::Iter<'a, ObservedRule>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl ObservedRule {
    /// Whether this is the rule `wanted`.
    #[must_use]
    pub fn is(&self, wanted: &Rule) -> bool {
        self.rule.as_ref() == Ok(wanted)
    }
}

impl fmt::Display for ForeignObject {
    /// As `nft` names it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ForeignKind::Flowtable => "flowtable",
            ForeignKind::Object(1) => "counter",
            ForeignKind::Object(2) => "quota",
            ForeignKind::Object(3) => "ct helper",
            ForeignKind::Object(4) => "limit",
            ForeignKind::Object(7) => "ct timeout",
            ForeignKind::Object(8) => "secmark",
            ForeignKind::Object(9) => "ct expectation",
            ForeignKind::Object(10) => "synproxy",
            ForeignKind::Object(number) => return write!(f, "object {} of type {number}", self.name),
        };
        write!(f, "{kind} {}", self.name)
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Unrecognised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
