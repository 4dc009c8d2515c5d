//! What has to change, so that what is there becomes what shall be there.

mod own;
mod shared;

pub use shared::our_jump;

use thiserror::Error;

use super::{Action, Chain, Change, Observed, ObservedChain, ObservedTable, Plan, Ruleset, TableId};
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

/// The changes that turn `observed` into `desired`. Rules and elements that already stand are left alone, with their
/// counters. New rules come before old ones go, should a table be left for another.
///
/// Where one transaction could let an address through that neither the old nor the new rules let through, the plan is the
/// first of two: what is missing comes, and the next plan takes what is too much.
///
/// # Errors
///
/// A [`Conflict`], if something of somebody else would have to go first.
pub fn plan(desired: &Ruleset, observed: &Observed) -> Result<Plan, Conflict> {
    let mut plan = Plan::default();
    for family in Family::ALL {
        let (own, nat) = (TableId::own(family), TableId::nat(family));
        let differ = |changes| Differ { table: own, observed: observed.table(own), changes };
        differ(&mut plan.changes).own_table(desired.table(own), desired.hold);
        let mut differ = Differ { table: nat, observed: observed.table(nat), changes: &mut plan.changes };
        differ.shared_table(&desired.chain, desired.table(nat))?;
    }
    Ok(plan)
}

/// What differs in one table.
struct Differ<'a> {
    table: TableId,
    observed: Option<&'a ObservedTable>,
    changes: &'a mut Vec<Change>,
}

impl<'a> Differ<'a> {
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

    fn chain(&self, name: &str) -> Option<&'a ObservedChain> {
        self.observed.and_then(|table| table.chain(name))
    }

    fn push(&mut self, action: Action) {
        self.changes.push(Change { table: self.table, action });
    }
}
