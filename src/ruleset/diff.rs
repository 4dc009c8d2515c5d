//! What has to change, so that what is there becomes what shall be there.
//!
//! In a shared table three things are ours and nothing else: the chain of our name, a rule in POSTROUTING that equals
//! our jump, and a chain to which such a jump leads under an earlier name.

use std::collections::BTreeSet;

use thiserror::Error;

use super::{
    Action, BaseChain, Chain, Change, Observed, ObservedChain, ObservedTable, Plan, Protection, Rule, Ruleset, Table,
};
use super::{TableId, Verdict, jump};
use crate::net::{ChainName, Family};

/// Something of somebody else stands where ours would have to stand, and it is not ours to remove.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Conflict {
    /// POSTROUTING is there, but not as iptables registers it, so that a jump in it would not see the traffic.
    #[error(
        "chain POSTROUTING of table {table} is {found}, not iptables' base chain (type nat, hook postrouting, \
         priority 100); nothing was changed; find out who made it (`nft list chain {table} POSTROUTING`), and \
         delete or rename it"
    )]
    Postrouting {
        /// The table.
        table: TableId,
        /// What it is instead.
        found: String,
    },
    /// The chain of our name is a base chain: the kernel enters it by itself.
    #[error(
        "chain {chain} of table {table} is a base chain, not one of ours; nothing was changed; choose another name \
         with --masq-chain, or delete that chain"
    )]
    OurName {
        /// The table.
        table: TableId,
        /// The chain.
        chain: ChainName,
    },
}

/// The changes that turn `observed` into `desired`. Rules that already stand are left alone, with their counters.
///
/// # Errors
///
/// A [`Conflict`], if something of somebody else would have to go first.
pub fn plan(desired: &Ruleset, observed: &Observed) -> Result<Plan, Conflict> {
    let mut plan = Plan::default();
    for id in Family::ALL.map(TableId::nat) {
        let mut differ = Differ { table: id, observed: observed.table(id), changes: &mut plan.changes };
        differ.shared_table(&desired.chain, desired.table(id))?;
    }
    Ok(plan)
}

struct Differ<'a> {
    table: TableId,
    observed: Option<&'a ObservedTable>,
    changes: &'a mut Vec<Change>,
}

impl<'a> Differ<'a> {
    fn shared_table(&mut self, ours: &ChainName, desired: Option<&Table>) -> Result<(), Conflict> {
        self.refuse_conflicts(ours, desired.is_some())?;
        if desired.is_some() && self.observed.is_none() {
            self.push(Action::CreateTable { protection: Protection::Off });
        }
        let chains = desired.map_or(&[][..], |table| &table.chains);
        // Chains first, so that a jump never names one that is not there.
        for chain in chains {
            if self.chain(&chain.name).is_none() {
                self.push(Action::CreateChain { chain: chain.name.clone(), base: chain.base.clone() });
            }
        }
        for chain in chains.iter().filter(|chain| chain.base.is_none()) {
            self.own_chain(chain);
        }
        let wanted = chains.iter().filter(|chain| chain.base.is_some()).flat_map(|chain| &chain.rules);
        let abandoned = self.jumps(&wanted.collect::<Vec<_>>(), ours);
        for chain in abandoned.into_iter().filter(|name| !chains.iter().any(|chain| chain.name == *name)) {
            self.remove_chain(&chain);
        }
        Ok(())
    }

    fn refuse_conflicts(&self, ours: &ChainName, wanted: bool) -> Result<(), Conflict> {
        if self.chain(ours.as_str()).is_some_and(|chain| chain.base.is_some()) {
            return Err(Conflict::OurName { table: self.table, chain: ours.clone() });
        }
        match self.chain(BaseChain::POSTROUTING) {
            Some(chain) if wanted && chain.base != Some(BaseChain::IPTABLES_POSTROUTING) => {
                let found = chain.base.as_ref().map_or_else(
                    || "a plain chain that only jumps lead to".to_owned(),
                    |base| format!("a base chain ({base})"),
                );
                Err(Conflict::Postrouting { table: self.table, found })
            }
            _ => Ok(()),
        }
    }

    /// A chain whose rules are all ours: what stands at its head and at its tail as desired stays, the middle is
    /// replaced.
    fn own_chain(&mut self, desired: &Chain) {
        let present = self.chain(&desired.name).map_or(&[][..], |chain| &chain.rules);
        let head = present.iter().zip(&desired.rules).take_while(|(is, wanted)| is.is(wanted)).count();
        let (present, wanted) =
            (present.get(head..).unwrap_or_default(), desired.rules.get(head..).unwrap_or_default());
        let tail = present.iter().rev().zip(wanted.iter().rev()).take_while(|(is, wanted)| is.is(wanted)).count();
        let (replaced, kept) = present.split_at(present.len() - tail);
        let (added, _) = wanted.split_at(wanted.len() - tail);
        for was in replaced {
            self.push(Action::Delete { chain: desired.name.clone(), was: was.clone() });
        }
        for rule in added {
            let (chain, rule) = (desired.name.clone(), rule.clone());
            self.push(match kept.first() {
                Some(next) => Action::Insert { chain, rule, before: next.handle },
                None => Action::Append { chain, rule },
            });
        }
    }

    /// Each wanted jump stands once in POSTROUTING, and no other jump of ours. Returns the chains of ours to which
    /// nothing of ours leads any more.
    fn jumps(&mut self, wanted: &[&Rule], ours: &ChainName) -> BTreeSet<String> {
        let mut abandoned = BTreeSet::new();
        if self.chain(ours.as_str()).is_some() {
            abandoned.insert(ours.to_string());
        }
        let mut standing: Vec<&Rule> = Vec::new();
        let postrouting = BaseChain::POSTROUTING;
        for present in self.chain(postrouting).map_or(&[][..], |chain| &chain.rules) {
            let Some((rule, target)) = present.rule.as_ref().ok().and_then(|rule| Some((rule, our_jump(rule)?))) else {
                continue;
            };
            if wanted.contains(&rule) && !standing.contains(&rule) {
                standing.push(rule);
                continue;
            }
            self.push(Action::Delete { chain: postrouting.to_owned(), was: present.clone() });
            if self.chain(target.as_str()).is_some_and(|chain| chain.base.is_none()) {
                abandoned.insert(target.to_string());
            }
        }
        for rule in wanted.iter().filter(|rule| !standing.contains(*rule)) {
            self.push(Action::Append { chain: postrouting.to_owned(), rule: (*rule).clone() });
        }
        abandoned
    }

    fn remove_chain(&mut self, chain: &str) {
        if self.chain(chain).is_some_and(|chain| !chain.rules.is_empty()) {
            self.push(Action::Flush { chain: chain.to_owned() });
        }
        self.push(Action::DeleteChain { chain: chain.to_owned() });
    }

    fn chain(&self, name: &str) -> Option<&'a ObservedChain> {
        self.observed.and_then(|table| table.chain(name))
    }

    fn push(&mut self, action: Action) {
        self.changes.push(Change { table: self.table, action });
    }
}

/// The chain to which a rule jumps, if the rule is the jump that we make for this chain. Such a rule is ours, also under
/// a chain name that is no longer in use.
#[must_use]
pub fn our_jump(rule: &Rule) -> Option<ChainName> {
    let Verdict::Jump(target) = rule.verdict() else { return None };
    target.parse().ok().filter(|chain| *rule == jump(chain))
}
