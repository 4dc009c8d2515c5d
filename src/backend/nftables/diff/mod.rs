//! The difference: what has to change so that the observed rules become the desired ones.

mod bridge;
mod conflict;
mod own;
mod parts;
mod shared;
mod step;

pub use conflict::Conflict;
#[cfg(test)]
pub(super) use parts::PART;
pub(super) use parts::most_parts;
pub use shared::our_jump;

use super::{Action, Cache, Change, Observed, ObservedChain, ObservedTable, Owner, Plan};
use crate::net::Family;
use crate::rules::{Chain, Ruleset, TableId, TableName};

/// What can be done, and what stands in the way of the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    /// The changes in the families without a conflict.
    pub plan: Plan,
    /// Why nothing is planned for other families that have desired rules, or for any family if no rules are desired at all.
    pub conflicts: Vec<Conflict>,
    /// Why what is left of our rules stays in families that are switched off.
    pub leftovers: Vec<Conflict>,
}

/// The changes that turn `observed` into `desired`. Rules and elements that already stand are left alone, with their
/// counters.
///
/// If a packet on its way could get an answer that neither the old nor the new rules give, were all committed at once, the
/// plan is the first of several: it adds what is missing, and the next plan, made from a new reading, removes what is not
/// desired. The same holds where one table replaces another: the old rules are removed only after the new ones stand.
///
/// The `cache` of the last look shows whether another process has moved our jump since.
///
/// # Errors
///
/// The first [`Conflict`], if an object of others is in the way.
pub fn plan(desired: &Ruleset, observed: &Observed, cache: &Cache) -> Result<Plan, Conflict> {
    let Planned { plan, conflicts, .. } = plan_for(&Family::ALL, desired, observed, cache, false);
    conflicts.into_iter().next().map_or(Ok(plan), Err)
}

/// The same for some families, each by itself: a conflict in one does not keep the others from being changed. Families that
/// are not named are left alone. With `hold`, this process becomes the owner of its protected tables.
#[must_use]
pub fn plan_for(families: &[Family], desired: &Ruleset, observed: &Observed, cache: &Cache, hold: bool) -> Planned {
    let mut planned = Planned::default();
    for family in families.iter().copied() {
        let is_off = !desired.tables.is_empty() && desired.tables.iter().all(|table| table.id.family != family);
        match plan_family(family, desired, observed, cache, hold) {
            Ok(mut plan) => {
                planned.plan.changes.append(&mut plan.changes);
                planned.plan.more |= plan.more;
            }
            Err(conflict) if is_off => planned.leftovers.push(conflict),
            Err(conflict) => planned.conflicts.push(conflict),
        }
    }
    planned
}

fn plan_family(
    family: Family,
    desired: &Ruleset,
    observed: &Observed,
    cache: &Cache,
    hold: bool,
) -> Result<Plan, Conflict> {
    let (own, nat) = (TableId::own(family), TableId::nat(family));
    let (mut of_own, mut of_nat) = (Vec::new(), Vec::new());
    let mut differ = Differ { table: own, observed: observed.table(own), changes: &mut of_own, more: false };
    differ.own_table(desired.table(own), hold);
    let mut more = differ.more;
    let mut differ = Differ { table: nat, observed: observed.table(nat), changes: &mut of_nat, more: false };
    differ.shared_table(&desired.chain, desired.table(nat), cache.preceding(nat))?;
    for (table, changes) in [(own, &of_own), (nat, &of_nat)] {
        let owner = observed.table(table).and_then(|table| table.owner);
        if !changes.is_empty() && matches!(owner, Some(Owner::Other(_))) {
            return Err(Conflict::Owned(table));
        }
    }
    let (mut first, mut then) = match (desired.table(own), desired.table(nat)) {
        (Some(_), None) => (of_own, of_nat),
        (None, Some(_)) => (of_nat, of_own),
        _ => {
            of_own.append(&mut of_nat);
            (of_own, Vec::new())
        }
    };
    if first.is_empty() {
        std::mem::swap(&mut first, &mut then);
    }
    more |= !then.is_empty();
    Ok(Plan { changes: first, more })
}

/// The deletion of tables of our own that were begun and not completed: they have no rules, so they decide about no packet.
#[must_use]
pub(super) fn unfinished(observed: &Observed) -> Plan {
    let own = observed.tables.iter().filter(|table| table.id.name == TableName::Own);
    let ours_to_take = own.filter(|table| !matches!(table.owner, Some(Owner::Other(_))));
    let unfinished = ours_to_take.filter(|table| table.chains.iter().all(|chain| chain.rules.is_empty()));
    let changes = unfinished.map(|table| Change { table: table.id, action: Action::DeleteTable }).collect();
    Plan { changes, more: false }
}

/// What differs in one table.
struct Differ<'a> {
    table: TableId,
    observed: Option<&'a ObservedTable>,
    changes: &'a mut Vec<Change>,
    /// Whether another commit has to follow.
    more: bool,
}

impl<'a> Differ<'a> {
    /// A chain whose rules are all ours: the rules at its head and at its tail that are as desired stay, and those between
    /// them are replaced.
    fn own_chain(&mut self, desired: &Chain) {
        let present = self.chain(&desired.name).map_or(&[][..], |chain| &chain.rules);
        let head = present.iter().zip(&desired.rules).take_while(|(is, wanted)| is.is(wanted)).count();
        let (present, wanted) =
            (present.get(head..).unwrap_or_default(), desired.rules.get(head..).unwrap_or_default());
        let tail = present.iter().rev().zip(wanted.iter().rev()).take_while(|(is, wanted)| is.is(wanted)).count();
        let (replaced, following) = present.split_at(present.len() - tail);
        let (added, _) = wanted.split_at(wanted.len() - tail);
        if is_cheaper_anew(head + tail, replaced.len() + added.len(), head + present.len()) {
            self.push(Action::Flush { chain: desired.name.clone() });
            for rule in &desired.rules {
                self.push(Action::Append { chain: desired.name.clone(), rule: rule.clone() });
            }
            return;
        }
        for was in replaced {
            self.push(Action::Delete { chain: desired.name.clone(), was: was.clone() });
        }
        for rule in added {
            let (chain, rule) = (desired.name.clone(), rule.clone());
            self.push(match following.first() {
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

/// Whether it is cheaper to make a chain anew than to change single rules in it. For each rule that is changed by its
/// handle the kernel walks the chain (6 ns for each rule in it); for each rule that is made anew it takes 10 µs, which a
/// rule that stays spares.
const fn is_cheaper_anew(staying: usize, touched: usize, chain: usize) -> bool {
    const STEPS_PER_RULE: usize = 1_600;
    staying.saturating_mul(STEPS_PER_RULE) < touched.saturating_mul(chain)
}

#[cfg(test)]
mod any;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod thresholds;
