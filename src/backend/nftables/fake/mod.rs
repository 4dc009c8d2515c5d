//! A kernel in memory, for tests without privileges: it has the atomicity and the refusals of the real one. It speaks
//! netlink, so that everything above the socket is tested with it.

mod answer;
mod request;
mod wire;

use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use nix::errno::Errno;

use self::wire::{Announcements, Socket};
use super::memory::Place;
use super::{
    Action, Change, Generation, Handle, LONG, Nftables, Observed, ObservedChain, ObservedRule, ObservedSet,
    ObservedTable, Owner, Plan, Poll, Rules, Watched, Watching,
};
use crate::backend::Backends;
use crate::backend::interface::WatchRules;
use crate::netlink::{Connection, NetlinkError};
use crate::rules::{Elements, Protection, Rule, SetKind, TableId, Verdict};

/// The port of the first socket, whose tables are [`Owner::Us`].
const OURS: u32 = 1;

/// The rules of a network namespace, and how the kernel in memory shall behave.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) state: Observed,
    pub(crate) last_handle: u64,
    /// What another process does right before each of our next commits, in this order.
    pub(crate) interference: Vec<fn(&mut Memory)>,
    /// How many of our next commits another process undoes, right after each.
    pub(crate) undoing: usize,
    /// What happens right after each of our commits.
    pub(crate) after_commit: Option<fn(&mut Memory)>,
    /// The changes that it does not support.
    pub(crate) refuses: Option<fn(&Change) -> bool>,
    /// The error that it answers to those, if not `ENOENT`.
    pub(crate) refusal: Option<Errno>,
    /// After this many refusals it accepts everything.
    pub(crate) forgives: Option<usize>,
    /// What goes wrong with the next transactions and probes, and whether they are carried out all the same.
    pub(crate) troubles: VecDeque<(bool, Trouble)>,
    /// After this many readings, this goes wrong with every question but that for the generation.
    pub(crate) looks: Option<(usize, Trouble)>,
    /// Whether it answers no question.
    pub(crate) ignores_questions: bool,
    /// Whether it neither carries out nor answers a transaction.
    pub(crate) ignores_changes: bool,
    /// How often the rules were read.
    pub(crate) readings: usize,
    /// How many transactions and probes were sent to it.
    pub(crate) sent: usize,
    /// The commits that changed something.
    pub(crate) commits: usize,
    pub(crate) sockets: u32,
    pub(crate) announcements: Vec<Announcements>,
    /// How many sockets that want to listen are refused.
    pub(crate) refuses_listeners: usize,
    /// Whose rules these are; unknown, if not set.
    pub(crate) place: Option<Place>,
    /// The rules that the last transaction added, by the number of the change.
    pub(crate) new_rules: BTreeMap<usize, (TableId, String, ObservedRule)>,
    /// What becomes of the messages that it sends back after a commit.
    pub(crate) spoils_echoes: Option<fn(&mut Vec<Vec<u8>>)>,
    /// How many messages it was asked to send back.
    pub(crate) echoes: usize,
    /// How many lists of [`LONG`] elements or rules and more were asked for.
    pub(crate) long_listings: usize,
    /// What another process commits once, after the next question about tables.
    pub(crate) while_listing: Option<fn(&mut Memory)>,
}

/// What goes wrong with a question or a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    /// There is no answer.
    Lost,
    /// The answer is no netlink message.
    Garbled,
    /// The answer has no end.
    Endless,
    /// Another process commits while it is given, each time.
    Overtaken,
    /// The answer is an error, of the change with this number or of the whole.
    Refused(Option<usize>, Errno),
    /// It cannot be sent.
    Unsendable(Errno),
}

/// A kernel in memory, shared by all sockets to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kernel(Rc<RefCell<Memory>>);

/// Why a change was refused.
type Refusal = (Errno, &'static str);

/// Why a transaction was not carried out, and which of its changes was the cause.
#[derive(Debug)]
pub(crate) struct Refused {
    change: Option<usize>,
    errno: Errno,
    text: &'static str,
}

impl Kernel {
    /// A backend with a socket of its own.
    pub(crate) fn backend(&self) -> Nftables<Socket> {
        let connection = Connection::new(Socket::open(Rc::clone(&self.0)));
        let place = |connection: &Connection<Socket>| connection.transport().place();
        let remembers_from = LONG;
        Nftables { begin_to_watch, legacy: Vec::new, place, remembers_from, ..Nftables::over(connection) }
    }

    /// The same, as the backends among which one is selected.
    pub(crate) fn backends(&self) -> Backends {
        Backends::over(self.backend())
    }

    pub(crate) fn get(&self) -> RefMut<'_, Memory> {
        self.0.borrow_mut()
    }
}

impl From<Memory> for Kernel {
    fn from(memory: Memory) -> Self {
        Self(Rc::new(RefCell::new(memory)))
    }
}

impl Memory {
    pub(crate) fn handle(&mut self) -> Handle {
        self.last_handle += 1;
        Handle(self.last_handle)
    }

    /// Makes a new generation, as a commit of another process does.
    pub(crate) fn changed(&mut self) {
        self.state.generation = self.state.generation.next();
    }

    /// A commit of another process that touches nothing of ours, as everybody who listens hears of it.
    pub(crate) fn commit_of_another(&mut self) {
        self.changed();
        self.announce(u32::MAX);
    }

    /// Carries out a plan as a whole or not at all, over the first socket.
    pub(crate) fn commit(&mut self, plan: &Plan, generation: Generation) -> Result<(), Refused> {
        self.transact(plan, Some(generation), OURS)
    }

    fn transact(&mut self, plan: &Plan, expected: Option<Generation>, port: u32) -> Result<(), Refused> {
        if !self.interference.is_empty() {
            self.interference.remove(0)(self);
            self.changed();
        }
        if expected.is_some_and(|expected| expected != self.state.generation) {
            return Err(Refused { change: None, errno: Errno::ERESTART, text: "" });
        }
        let last_handle = self.last_handle;
        self.try_out(plan, port).map(|after| self.state = after)?;
        self.new_rules = self.added_by(plan, last_handle);
        self.changed();
        self.commits += 1;
        self.announce(port);
        if let Some(left) = self.undoing.checked_sub(1) {
            self.undoing = left;
            self.state.tables.clear();
            self.changed();
        }
        if let Some(after_commit) = self.after_commit {
            after_commit(self);
        }
        Ok(())
    }

    /// The rules that a plan has added, to each change of which a handle was given, after this one.
    fn added_by(&self, plan: &Plan, last_handle: u64) -> BTreeMap<usize, (TableId, String, ObservedRule)> {
        let added = |(number, Change { table, action }): (usize, &Change)| {
            let (Action::Append { chain, .. } | Action::Insert { chain, .. }) = action else { return None };
            let handle = Handle(last_handle + 1 + u64::try_from(number).unwrap());
            let rules = &self.state.table(*table)?.chain(chain)?.rules;
            let rule = rules.iter().find(|rule| rule.handle == handle)?.clone();
            Some((number, (*table, chain.clone(), rule)))
        };
        plan.changes.iter().enumerate().filter_map(added).collect()
    }

    /// What would be there after a plan.
    fn try_out(&mut self, plan: &Plan, port: u32) -> Result<Observed, Refused> {
        let before = self.state.clone();
        // The existing tables that this transaction makes its socket the owner of.
        let mut adopted = Vec::new();
        for (index, change) in plan.changes.iter().enumerate() {
            if let Err((errno, text)) = self.apply(change, port, &mut adopted) {
                self.state = before;
                return Err(Refused { change: Some(index), errno, text });
            }
        }
        let after = std::mem::replace(&mut self.state, before);
        Ok(after)
    }

    fn apply(&mut self, change: &Change, port: u32, adopted: &mut Vec<TableId>) -> Result<(), Refusal> {
        if self.refuses.is_some_and(|refuses| refuses(change)) && self.forgives != Some(0) {
            self.forgives = self.forgives.map(|left| left - 1);
            return Err((self.refusal.unwrap_or(Errno::ENOENT), "unknown expression"));
        }
        let handle = self.handle();
        if let Action::CreateTable { protection } = change.action
            && self.state.table(change.table).is_none()
        {
            let owner = (protection == Protection::OwnerPersist).then(|| owner(port));
            self.state.tables.push(ObservedTable {
                id: change.table,
                protection: Ok(protection),
                dormant: false,
                owner,
                sets: Vec::new(),
                foreign_objects: Vec::new(),
                chains: Vec::new(),
            });
            self.state.tables.sort_by_key(|table| table.id);
            return Ok(());
        }
        let table = self.state.tables.iter_mut().find(|table| table.id == change.table);
        let table = table.ok_or((Errno::ENOENT, "no such table"))?;
        if table.owner.is_some_and(|owner| port_of(owner) != port) {
            return Err((Errno::EPERM, "the table belongs to another process"));
        }
        let jumped_to =
            |name: &str| table.chains.iter().flat_map(|chain| &chain.rules).any(|rule| jumps_to(rule, name));
        match &change.action {
            // Without flags an existing table stays as it is.
            Action::CreateTable { protection: Protection::Off } => {}
            Action::CreateTable { protection } if table.protection == Ok(*protection) => {
                table.owner = Some(owner(port));
                adopted.push(change.table);
            }
            Action::CreateTable { .. } => return Err((Errno::EOPNOTSUPP, "the table has other flags")),
            Action::DeleteTable => self.state.tables.retain(|table| table.id != change.table),
            action @ (Action::CreateSet { .. }
            | Action::DeleteSet { .. }
            | Action::AddElements { .. }
            | Action::DeleteElements { .. }) => change_sets(table, action)?,
            Action::DeleteForeignObject { foreign_object } => {
                let at = table.foreign_objects.iter().position(|present| present == foreign_object);
                table.foreign_objects.remove(at.ok_or((Errno::ENOENT, "no such object"))?);
            }
            Action::CreateChain { chain, .. } if table.chain(chain).is_some() => {
                let chains = table.chains.iter_mut().filter(|present| present.name == *chain);
                chains.for_each(|chain| chain.drops = false);
            }
            // `nf_tables_addchain`, for a table in `__NFT_TABLE_F_UPDATE`.
            Action::CreateChain { base: Some(_), .. } if adopted.contains(&change.table) => {
                return Err((Errno::EINVAL, "a base chain comes into a table that is being adopted"));
            }
            Action::CreateChain { chain, base } => table.chains.push(ObservedChain {
                name: chain.clone(),
                base: base.clone(),
                drops: false,
                uses: 0,
                rules: Rules::default(),
            }),
            Action::DeleteChain { chain } => {
                let present = table.chain(chain).ok_or((Errno::ENOENT, "no such chain"))?;
                if jumped_to(chain) || !present.rules.is_empty() {
                    return Err((Errno::EBUSY, "the chain has rules, or is jumped to"));
                }
                table.chains.retain(|present| present.name != *chain);
            }
            Action::Append { chain, rule } => {
                refer_to_existing(table, rule)?;
                rules(table, chain)?.push(present(handle, rule));
            }
            Action::Insert { chain, rule, before } => {
                refer_to_existing(table, rule)?;
                let rules = rules(table, chain)?;
                let at = rules.iter().position(|present| present.handle == *before);
                rules.insert(at.ok_or((Errno::ENOENT, "no such rule"))?, present(handle, rule));
            }
            Action::Delete { chain, was } => {
                let rules = rules(table, chain)?;
                let at = rules.iter().position(|present| present.handle == was.handle);
                rules.remove(at.ok_or((Errno::ENOENT, "no such rule"))?);
            }
            Action::Flush { chain } => rules(table, chain)?.clear(),
        }
        Ok(())
    }
}

fn begin_to_watch(connection: &Connection<Socket>, how: WatchRules) -> Result<Option<Watching>, NetlinkError> {
    let socket = connection.transport();
    let shared = match how {
        WatchRules::Notify => Watched::share(socket.announcements()?),
        WatchRules::Poll(interval) => Watched::share(Poll::begin(Connection::new(socket.another()), interval.into())?),
        WatchRules::Off => return Ok(None),
    };
    Ok(Some(shared.unwrap()))
}

/// The owner whose socket has this port.
const fn owner(port: u32) -> Owner {
    if port == OURS { Owner::Us } else { Owner::Other(port) }
}

const fn port_of(owner: Owner) -> u32 {
    match owner {
        Owner::Us => OURS,
        Owner::Other(port) => port,
    }
}

/// Fails unless the set and the chain that a rule refers to are there.
fn refer_to_existing(table: &ObservedTable, rule: &Rule) -> Result<(), Refusal> {
    if rule.lookups().any(|lookup| table.set(lookup.set).is_none()) {
        return Err((Errno::ENOENT, "the rule looks up a set that is not there"));
    }
    match rule.verdict() {
        Verdict::Jump(target) if table.chain(target).is_none() => Err((Errno::ENOENT, "the jump leads nowhere")),
        _ => Ok(()),
    }
}

/// Changes a set or its elements.
fn change_sets(table: &mut ObservedTable, action: &Action) -> Result<(), Refusal> {
    match action {
        Action::CreateSet { set, kind } if table.set(set).is_none() => {
            table.sets.push(ObservedSet { name: set.clone(), kind: Ok(*kind), elements: Elements::default() });
        }
        Action::CreateSet { .. } => return Err((Errno::EEXIST, "the set is there already")),
        Action::DeleteSet { set } => {
            if table.set(set).is_none() || looked_up(table, set) {
                return Err((Errno::EBUSY, "the set is missing or looked up"));
            }
            table.sets.retain(|present| present.name != *set);
        }
        Action::AddElements { set, elements, .. } => {
            let set = elements_of(table, set).ok_or((Errno::ENOENT, "no such set"))?;
            for element in elements {
                if set.elements.iter().any(|present| present.overlaps(element)) {
                    return Err((Errno::EEXIST, "the element overlaps another"));
                }
                set.elements.to_mut().push(*element);
            }
            set.elements.to_mut().sort_unstable();
            if matches!(set.kind, Ok(SetKind::Addresses { size }) if set.elements.len() > size as usize) {
                return Err((Errno::ENFILE, "the set is full"));
            }
        }
        Action::DeleteElements { set, elements, .. } => {
            let set = elements_of(table, set).ok_or((Errno::ENOENT, "no such set"))?;
            for element in elements {
                let at = set.elements.iter().position(|present| present == element);
                set.elements.to_mut().remove(at.ok_or((Errno::ENOENT, "no such element"))?);
            }
        }
        _ => {}
    }
    Ok(())
}

fn rules<'a>(table: &'a mut ObservedTable, chain: &str) -> Result<&'a mut Vec<ObservedRule>, Refusal> {
    let chain = table.chains.iter_mut().find(|present| present.name == chain);
    chain.map(|chain| &mut *chain.rules).ok_or((Errno::ENOENT, "no such chain"))
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
