//! A kernel in memory, for tests: the same atomicity, the same refusals, no privileges.

use nix::errno::Errno;

use super::{Backend, BackendError};
use crate::backend::nftables::{
    Action, Cache, Change, Generation, Handle, Observed, ObservedChain, ObservedRule, ObservedSet, ObservedTable,
    Owner, Plan, Rules,
};
use crate::net::ChainName;
use crate::netlink::NetlinkError;
use crate::rules::{Elements, Protection, Rule, SetKind, TableId, Verdict};

/// The rules of an imagined network namespace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) state: Observed,
    pub(crate) last_handle: u64,
    /// What somebody else does right before each of our next commits: the head of the list first.
    pub(crate) interference: Vec<fn(&mut Memory)>,
    /// How many of our next commits somebody else takes back, right after each.
    pub(crate) undoing: usize,
    /// The changes that it knows no way to make.
    pub(crate) refuses: Option<fn(&Change) -> bool>,
    /// How often the rules were read.
    pub(crate) readings: usize,
    /// The commits that changed something.
    pub(crate) commits: usize,
}

impl Memory {
    pub(crate) fn handle(&mut self) -> Handle {
        self.last_handle += 1;
        Handle(self.last_handle)
    }

    fn apply(&mut self, plan: &Plan) -> Result<(), BackendError> {
        for change in &plan.changes {
            let rejected = |why: &str| BackendError::Netlink {
                doing: format!("make the change {change:?}"),
                source: NetlinkError::Rejected { change: None, errno: Errno::ENOENT, text: Some(why.to_owned()) },
            };
            if self.refuses.is_some_and(|refuses| refuses(change)) {
                let (errno, text) = (Errno::ENOENT, Some("unknown expression".to_owned()));
                return Err(BackendError::of_change(
                    change,
                    errno,
                    NetlinkError::Rejected { change: None, errno, text },
                ));
            }
            if matches!(change.action, Action::CreateTable { .. }) && self.state.table(change.table).is_none() {
                self.state.tables.push(ObservedTable {
                    id: change.table,
                    protection: Ok(Protection::Off),
                    dormant: false,
                    owner: None,
                    sets: Vec::new(),
                    foreign_objects: Vec::new(),
                    chains: Vec::new(),
                });
                self.state.tables.sort_by_key(|table| table.id);
            }
            let handle = self.handle();
            let Some(table) = self.state.tables.iter_mut().find(|table| table.id == change.table) else {
                return Err(rejected("no such table"));
            };
            let jumped_to =
                |name: &str| table.chains.iter().flat_map(|chain| &chain.rules).any(|rule| jumps_to(rule, name));
            if let Action::DeleteChain { chain } = &change.action
                && jumped_to(chain)
            {
                return Err(BackendError::InUse(Box::new(change.clone())));
            }
            match &change.action {
                Action::CreateTable { protection } => table.protection = Ok(*protection),
                Action::DeleteTable => self.state.tables.retain(|table| table.id != change.table),
                action @ (Action::CreateSet { .. }
                | Action::DeleteSet { .. }
                | Action::AddElements { .. }
                | Action::DeleteElements { .. }) => change_sets(table, action).map_err(rejected)?,
                Action::DeleteForeignObject { foreign_object } => {
                    let at = table.foreign_objects.iter().position(|present| present == foreign_object);
                    table.foreign_objects.remove(at.ok_or_else(|| rejected("no such object"))?);
                }
                Action::CreateChain { chain, .. } if table.chain(chain).is_some() => {
                    table
                        .chains
                        .iter_mut()
                        .filter(|present| present.name == *chain)
                        .for_each(|chain| chain.drops = false);
                }
                Action::CreateChain { chain, base } => {
                    table.chains.push(ObservedChain {
                        name: chain.clone(),
                        base: base.clone(),
                        drops: false,
                        uses: 0,
                        rules: Rules::default(),
                    });
                }
                Action::DeleteChain { chain } => {
                    if table.chain(chain).is_none_or(|chain| !chain.rules.is_empty()) {
                        return Err(rejected("the chain is missing or has rules"));
                    }
                    table.chains.retain(|present| present.name != *chain);
                }
                Action::Append { chain, rule } => {
                    if rule.lookups().any(|lookup| table.set(lookup.set).is_none()) {
                        return Err(rejected("the rule looks up a set that is not there"));
                    }
                    if let Verdict::Jump(target) = rule.verdict()
                        && table.chain(target).is_none()
                    {
                        return Err(rejected("the jump leads nowhere"));
                    }
                    rules(table, chain).ok_or_else(|| rejected("no such chain"))?.push(present(handle, rule));
                }
                Action::Insert { chain, rule, before } => {
                    let rules = rules(table, chain).ok_or_else(|| rejected("no such chain"))?;
                    let at = rules.iter().position(|present| present.handle == *before);
                    rules.insert(at.ok_or_else(|| rejected("no such rule"))?, present(handle, rule));
                }
                Action::Delete { chain, was } => {
                    let rules = rules(table, chain).ok_or_else(|| rejected("no such chain"))?;
                    let at = rules.iter().position(|present| present.handle == was.handle);
                    rules.remove(at.ok_or_else(|| rejected("no such rule"))?);
                }
                Action::Flush { chain } => {
                    rules(table, chain).ok_or_else(|| rejected("no such chain"))?.clear();
                }
            }
        }
        Ok(())
    }
}

impl Backend for Memory {
    fn generation(&mut self) -> Result<Generation, BackendError> {
        Ok(self.state.generation)
    }

    fn observe(&mut self, _: &ChainName, _: &Cache) -> Result<Observed, BackendError> {
        self.readings += 1;
        Ok(self.state.clone())
    }

    fn is_owned_by_another(&mut self, table: TableId) -> Result<bool, BackendError> {
        let owner = self.state.table(table).and_then(|table| table.owner);
        Ok(matches!(owner, Some(Owner::Other(_))))
    }

    fn probe(&mut self, plan: &Plan) -> Result<(), BackendError> {
        self.clone().apply(plan)
    }

    fn commit(&mut self, plan: &Plan, generation: Generation) -> Result<(), BackendError> {
        if !self.interference.is_empty() {
            self.interference.remove(0)(self);
            self.state.generation.0 += 1;
        }
        if generation != self.state.generation {
            return Err(BackendError::Stale);
        }
        let mut after = self.clone();
        after.apply(plan)?;
        after.state.generation.0 += 1;
        after.commits += 1;
        if let Some(left) = after.undoing.checked_sub(1) {
            after.undoing = left;
            after.state.tables.clear();
            after.state.generation.0 += 1;
        }
        *self = after;
        Ok(())
    }
}

/// Makes a change to a set or its elements, or says why not.
fn change_sets(table: &mut ObservedTable, action: &Action) -> Result<(), &'static str> {
    match action {
        Action::CreateSet { set, kind } if table.set(set).is_none() => {
            table.sets.push(ObservedSet { name: set.clone(), kind: Ok(*kind), elements: Elements::default() });
        }
        Action::CreateSet { .. } => return Err("the set is there already"),
        Action::DeleteSet { set } => {
            if table.set(set).is_none() || looked_up(table, set) {
                return Err("the set is missing or looked up");
            }
            table.sets.retain(|present| present.name != *set);
        }
        Action::AddElements { set, elements, .. } => {
            let set = elements_of(table, set).ok_or("no such set")?;
            for element in elements {
                if set.elements.iter().any(|present| present.overlaps(element)) {
                    return Err("the element overlaps another");
                }
                set.elements.to_mut().push(*element);
            }
            set.elements.to_mut().sort_unstable();
            if matches!(set.kind, Ok(SetKind::Addresses { size }) if set.elements.len() > size as usize) {
                return Err("the set is full");
            }
        }
        Action::DeleteElements { set, elements, .. } => {
            let set = elements_of(table, set).ok_or("no such set")?;
            for element in elements {
                let at = set.elements.iter().position(|present| present == element);
                set.elements.to_mut().remove(at.ok_or("no such element")?);
            }
        }
        _ => {}
    }
    Ok(())
}

fn rules<'a>(table: &'a mut ObservedTable, chain: &str) -> Option<&'a mut Vec<ObservedRule>> {
    table.chains.iter_mut().find(|present| present.name == chain).map(|chain| &mut *chain.rules)
}

fn present(handle: Handle, rule: &Rule) -> ObservedRule {
    ObservedRule { handle, rule: Ok(rule.clone()) }
}

fn jumps_to(rule: &ObservedRule, name: &str) -> bool {
    rule.rule.as_ref().is_ok_and(|rule| matches!(rule.verdict(), Verdict::Jump(target) if target == name))
}

fn elements_of<'a>(table: &'a mut ObservedTable, set: &str) -> Option<&'a mut ObservedSet> {
    table.sets.iter_mut().find(|present| present.name == set)
}

fn looked_up(table: &ObservedTable, name: &str) -> bool {
    let rules = table.chains.iter().flat_map(|chain| &chain.rules).filter_map(|rule| rule.rule.as_ref().ok());
    rules.flat_map(Rule::lookups).any(|lookup| lookup.set == name)
}
