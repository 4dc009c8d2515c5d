//! New rules of long chains, as the kernel sends them back right after it has committed them (`NLM_F_ECHO`; `netlink(7)`).
//! With these, a long chain that was known before a commit is known after it as well, and need not be listed.

use std::collections::{BTreeMap, BTreeSet};

use super::codec::rule;
use super::{Action, Change, Handle, LONG, Observed, ObservedRule, Plan, Rules, decode};
use crate::netlink::{Attributes, nfnetlink};
use crate::rules::{TableId, TableName};

/// How many rules a commit adds at most to long chains if they are to be sent back: with more, listing the chain costs less than
/// what is committed.
const MOST: usize = 64;
/// The bytes of the receive buffer that are taken to be needed for each rule and for the rest. The kernel queues several rules, of
/// less than 1 KiB each, in a buffer of 8 KiB (`nft_commit_notify`), and counts a little more for that. The acknowledgement comes
/// behind them, and would be lost first. A socket has 208 KiB, unless an administrator chose another default
/// (`net.core.rmem_default`).
const ROOM_FOR_EACH: usize = 2 << 10;
const ROOM_FOR_THE_REST: usize = 32 << 10;

/// What the kernel is asked to send back of one commit, and what of that came.
#[derive(Debug, Default)]
pub(super) struct Echoes {
    /// The long chains in which the plan adds or removes single rules.
    chains: BTreeSet<(TableId, String)>,
    /// The new rules, by the number of the change that adds them.
    came: BTreeMap<usize, ObservedRule>,
    /// Whether anything came that could not be read, or came twice.
    is_unclear: bool,
}

impl Echoes {
    /// What a plan wants sent back that is made from these rules. Nothing, if some of these were only assumed, or if more
    /// rules are added than there is surely room for in the receive buffer.
    pub(super) fn wanted(plan: &Plan, on: &Observed, receive_buffer: impl FnOnce() -> usize) -> Self {
        let is_long = |(table, name): &(TableId, String)| {
            let chain = on.table(*table).and_then(|table| table.chain(name));
            table.name == TableName::Nat && chain.is_some_and(|chain| chain.base.is_none() && chain.rules.len() >= LONG)
        };
        let of = |table: &TableId, chain: &str| (*table, chain.to_owned());
        let (mut chains, mut replaced) = (BTreeSet::new(), BTreeSet::new());
        for Change { table, action } in &plan.changes {
            match action {
                Action::Append { chain, .. } | Action::Insert { chain, .. } | Action::Delete { chain, .. } => {
                    chains.insert(of(table, chain));
                }
                Action::CreateChain { chain, .. } | Action::Flush { chain } | Action::DeleteChain { chain } => {
                    replaced.insert(of(table, chain));
                }
                Action::DeleteTable => return Self::default(),
                _ => {}
            }
        }
        chains.retain(|chain| !on.is_partly_assumed && is_long(chain) && !replaced.contains(chain));
        let echoes = Self { chains, ..Self::default() };
        let count = plan.changes.iter().filter(|change| echoes.wants(change)).count();
        let has_room = || ROOM_FOR_THE_REST + count * ROOM_FOR_EACH <= receive_buffer();
        if count == 0 || count <= MOST && has_room() { echoes } else { Self::default() }
    }

    /// Whether the kernel is asked to send back what this change adds.
    pub(super) fn wants(&self, Change { table, action }: &Change) -> bool {
        let (Action::Append { chain, .. } | Action::Insert { chain, .. }) = action else { return false };
        self.chains.contains(&(*table, chain.clone()))
    }

    /// Takes what the kernel sent back of the change with this number.
    pub(super) fn take(&mut self, plan: &Plan, number: usize, payload: &[u8]) {
        let echoed = plan.changes.get(number).filter(|change| self.wants(change)).and_then(|change| {
            let (table, chain) = (change.table, chain_of(&change.action)?);
            let attributes: Attributes<'_> = nfnetlink::attributes(payload).ok()?;
            let info = rule::parse(attributes, table.name.as_str(), chain).ok()??;
            Some(ObservedRule { handle: info.handle, rule: decode(table, &info) })
        });
        let is_new = echoed.is_some_and(|rule| self.came.insert(number, rule).is_none());
        self.is_unclear |= !is_new;
    }

    /// The long chains after the commit of the plan, as far as what came tells, with how many uses each has now. They are
    /// taken from `before`, so that their rules are changed in place.
    pub(super) fn chains_after(
        self,
        plan: &Plan,
        before: &mut BTreeMap<(TableId, String), (u32, Rules)>,
    ) -> BTreeMap<(TableId, String), (u32, Rules)> {
        if self.is_unclear {
            return BTreeMap::new();
        }
        let Self { chains, came, .. } = self;
        let after = |of: (TableId, String)| {
            let (uses, rules) = before.remove(&of)?;
            let others = uses.checked_sub(u32::try_from(rules.len()).ok()?)?;
            let now = changed(plan, &of, rules, &came)?;
            let uses = others.checked_add(u32::try_from(now.len()).ok()?)?;
            Some((of, (uses, now)))
        };
        chains.into_iter().filter_map(after).collect()
    }
}

fn chain_of(action: &Action) -> Option<&str> {
    match action {
        Action::Append { chain, .. } | Action::Insert { chain, .. } | Action::Delete { chain, .. } => Some(chain),
        _ => None,
    }
}

/// The rules of a chain after a plan; `None` if a new rule did not come, or if it is unclear where it stands.
fn changed(
    plan: &Plan,
    (table, name): &(TableId, String),
    mut rules: Rules,
    came: &BTreeMap<usize, ObservedRule>,
) -> Option<Rules> {
    let here = |(_, change): &(usize, &Change)| change.table == *table && chain_of(&change.action) == Some(name);
    let mut removed: BTreeSet<Handle> = BTreeSet::new();
    for (number, change) in plan.changes.iter().enumerate().filter(here) {
        match &change.action {
            Action::Append { .. } => rules.push(came.get(&number)?.clone()),
            Action::Insert { before, .. } => {
                let at = rules.iter().position(|rule| rule.handle == *before && !removed.contains(before))?;
                rules.insert(at, came.get(&number)?.clone());
            }
            Action::Delete { was, .. } => {
                removed.insert(was.handle);
            }
            _ => return None,
        }
    }
    let count = rules.len();
    if !removed.is_empty() {
        rules.retain(|rule| !removed.contains(&rule.handle));
    }
    (count - rules.len() == removed.len()).then_some(rules)
}

#[cfg(test)]
#[path = "echo_tests.rs"]
mod tests;
