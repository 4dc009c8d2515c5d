//! The `nat` table that all programs share. Only three things in it are ours: the chain with our name, a rule in
//! POSTROUTING that equals our jump, and a chain with an earlier name to which such a jump leads.

use std::collections::BTreeSet;

use super::{Conflict, Differ};
use crate::backend::nftables::{Action, Handle, ObservedRule};
use crate::net::ChainName;
use crate::rules::{BaseChain, Protection, Rule, Table, Verdict, jump};

impl Differ<'_> {
    /// `preceding` are the rules of others behind which our jump stood when it was last looked at.
    pub(super) fn shared_table(
        &mut self,
        ours: &ChainName,
        desired: Option<&Table>,
        preceding: &[Handle],
    ) -> Result<(), Conflict> {
        if desired.is_some() {
            self.refuse_conflicts(ours)?;
        }
        if desired.is_some() && self.observed.is_none() {
            self.push(Action::CreateTable { protection: Protection::Off });
        }
        let chains = desired.map_or(&[][..], |table| &table.chains);
        // The chains are created first, so that a jump never names one that is not there.
        for chain in chains {
            if self.chain(&chain.name).is_none() {
                self.push(Action::CreateChain { chain: chain.name.clone(), base: chain.base.clone() });
            }
        }
        for chain in chains.iter().filter(|chain| chain.base.is_none()) {
            self.own_chain(chain);
        }
        let wanted = chains.iter().filter(|chain| chain.base.is_some()).flat_map(|chain| &chain.rules);
        let abandoned = self.jumps(&wanted.collect::<Vec<_>>(), ours, preceding);
        for chain in abandoned.into_iter().filter(|name| !chains.iter().any(|chain| chain.name == *name)) {
            self.remove_chain(&chain);
        }
        Ok(())
    }

    fn refuse_conflicts(&self, ours: &ChainName) -> Result<(), Conflict> {
        if self.observed.is_some_and(|table| table.dormant) {
            return Err(Conflict::Dormant(self.table));
        }
        if self.chain(ours.as_str()).is_some_and(|chain| chain.base.is_some()) {
            return Err(Conflict::OurName { table: self.table, chain: ours.clone() });
        }
        match self.chain(BaseChain::POSTROUTING) {
            Some(chain) if chain.base != Some(BaseChain::IPTABLES_POSTROUTING) => {
                let found = chain.base.as_ref().map_or_else(
                    || "a plain chain that only jumps lead to".to_owned(),
                    |base| format!("a base chain ({base})"),
                );
                Err(Conflict::Postrouting { table: self.table, found })
            }
            _ => Ok(()),
        }
    }

    /// Puts each wanted jump into POSTROUTING once, behind all rules behind which it stood before, and removes all other
    /// jumps of ours. Returns the chains of ours to which no rule of ours leads any more.
    fn jumps(&mut self, wanted: &[&Rule], ours: &ChainName, preceding: &[Handle]) -> BTreeSet<String> {
        let mut abandoned = BTreeSet::new();
        // A base chain with that name belongs to another program.
        if self.chain(ours.as_str()).is_some_and(|chain| chain.base.is_none()) {
            abandoned.insert(ours.to_string());
        }
        let mut standing: Vec<&Rule> = Vec::new();
        let postrouting = BaseChain::POSTROUTING;
        let present = self.chain(postrouting).map_or(&[][..], |chain| &chain.rules);
        let place = present.iter().rposition(|rule| preceding.contains(&rule.handle)).map_or(0, |last| last + 1);
        for (index, rule) in present.iter().enumerate() {
            let Some((jump, target)) = as_our_jump(rule) else { continue };
            if wanted.contains(&jump) && !standing.contains(&jump) && index >= place {
                standing.push(jump);
                continue;
            }
            self.push(Action::Delete { chain: postrouting.to_owned(), was: rule.clone() });
            if self.chain(target.as_str()).is_some_and(|chain| chain.base.is_none()) {
                abandoned.insert(target.to_string());
            }
        }
        // The jump is added at the end; if another process moved it, it is put back where it was.
        let was_moved = present.iter().take(place).any(|rule| as_our_jump(rule).is_some());
        let next = present.iter().skip(place).find(|rule| was_moved && as_our_jump(rule).is_none());
        for rule in wanted.iter().filter(|rule| !standing.contains(*rule)) {
            let (chain, rule) = (postrouting.to_owned(), (*rule).clone());
            self.push(match next {
                Some(next) => Action::Insert { chain, rule, before: next.handle },
                None => Action::Append { chain, rule },
            });
        }
        abandoned
    }

    fn remove_chain(&mut self, chain: &str) {
        if self.chain(chain).is_some_and(|chain| !chain.rules.is_empty()) {
            self.push(Action::Flush { chain: chain.to_owned() });
        }
        self.push(Action::DeleteChain { chain: chain.to_owned() });
    }
}

fn as_our_jump(rule: &ObservedRule) -> Option<(&Rule, ChainName)> {
    let rule = rule.rule.as_ref().ok()?;
    Some((rule, our_jump(rule)?))
}

/// The chain to which a rule jumps, if the rule is the jump that the agent makes for this chain. Such a rule is ours, even
/// if the chain has an earlier name.
#[must_use]
pub fn our_jump(rule: &Rule) -> Option<ChainName> {
    let Verdict::Jump(target) = rule.verdict() else { return None };
    target.parse().ok().filter(|chain| *rule == jump(chain))
}
