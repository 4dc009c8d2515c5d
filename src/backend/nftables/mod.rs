//! nf_tables over netlink: both layouts, whichever table a plan names.

mod cache;
mod change;
mod change_text;
pub mod codec;
mod diff;
mod legacy;
mod monitor;
mod observed;
mod overlap;
mod requests;
mod standing;
mod transaction;

pub use crate::netlink::Batch;
pub use cache::Cache;
pub(crate) use cache::LONG;
pub use change::{Action, Change, Plan};
pub use change_text::{change_line, plan_lines};
pub use codec::*;
pub(crate) use diff::PART;
pub use diff::{Conflict, Planned, our_jump, plan, plan_for, unfinished};
pub use monitor::{Heard, Monitor, Process};
pub use observed::{
    ForeignKind, ForeignObject, Generation, Handle, Observed, ObservedChain, ObservedRule, ObservedSet, ObservedTable,
    Owner, Rules, Unrecognised,
};
pub use overlap::{NatChain, NatOverlap, nat_overlaps};
pub(crate) use requests::with_need;
pub use standing::stands;
pub use transaction::{Probe, Transaction};

use std::collections::BTreeSet;

use tracing::debug;

use super::{Backend, BackendError};
use crate::net::ChainName;
use crate::netlink::{Connection, NetlinkError, NetlinkFamily, NetlinkSocket, Transport};
use crate::rules::{BaseChain, Elements, TableId};

/// How often reading is begun again because the rules changed meanwhile. After that the last reading stands: a commit
/// that builds on it is refused as stale.
const READINGS: usize = 8;

/// The socket that the agent keeps for its life, and what is done over it.
#[derive(Debug)]
pub struct Nftables<T> {
    connection: Connection<T>,
}

impl Nftables<NetlinkSocket> {
    /// Opens the socket.
    ///
    /// # Errors
    ///
    /// [`BackendError`], if the kernel has no netfilter netlink.
    pub fn open() -> Result<Self, BackendError> {
        Connection::open(NetlinkFamily::Netfilter).map(Self::over).map_err(|error| doing("reach nf_tables", error))
    }
}

impl<T: Transport> Nftables<T> {
    /// The number by which the kernel knows the socket, and names it to others as the one that committed.
    pub fn port(&self) -> u32 {
        self.connection.port()
    }

    /// Works over a conversation that was begun already.
    pub const fn over(connection: Connection<T>) -> Self {
        Self { connection }
    }

    fn read_once(&mut self, ours: &ChainName, known: &Cache) -> Result<Observed, BackendError> {
        let generation = self.generation()?;
        let mut observed = Observed { generation, legacy: legacy::nat_tables(), ..Observed::default() };
        let mut what = Remembered { known, generation, is_partly_assumed: false };
        for family in TableFamily::ALL {
            let tables = self.read("list the tables", |connection| connection.tables(family))?;
            let chains = self.read("list the chains", |connection| connection.chains(family))?;
            for id in tables_of_interest(family) {
                if let Some(info) = tables.iter().find(|info| info.name == id.name.as_str()) {
                    let chains = chains.iter().filter(|chain| chain.table == info.name).map(unread).collect();
                    let table = self.table(id, info, chains, ours, &mut what)?;
                    observed.tables.push(table);
                }
            }
            observed.nat_chains.extend(chains.into_iter().filter_map(|chain| nat_chain(family, &tables, chain)));
        }
        observed.is_partly_assumed = what.is_partly_assumed;
        Ok(observed)
    }

    fn generation(&mut self) -> Result<Generation, BackendError> {
        self.read("read the generation of the rules", Connection::generation)
    }

    fn table(
        &mut self,
        id: TableId,
        info: &TableInfo,
        chains: Vec<ObservedChain>,
        ours: &ChainName,
        known: &mut Remembered<'_>,
    ) -> Result<ObservedTable, BackendError> {
        let port = self.connection.port();
        let owner = info.owner.map(|owner| if owner == port { Owner::Us } else { Owner::Other(owner) });
        let (protection, sets, foreign_objects) = (info.protection.clone(), Vec::new(), Vec::new());
        let mut table = ObservedTable { id, protection, dormant: info.dormant, owner, sets, foreign_objects, chains };
        if id == TableId::own(id.family) {
            table.foreign_objects = self.read("list the stateful objects and flowtables", |connection| {
                connection.foreign_objects(id.family, id.name.as_str())
            })?;
            table.sets = self.sets(id, owner, known)?;
            for index in 0..table.chains.len() {
                self.fill(id, table.chains.get_mut(index))?;
            }
            return Ok(table);
        }
        // The jumps in POSTROUTING tell which other chains are ours, so their rules are read first.
        self.fill_named(&mut table, BaseChain::POSTROUTING)?;
        let rules = table.chains.iter().flat_map(|chain| &chain.rules);
        let jumps = rules.filter_map(|rule| our_jump(rule.rule.as_ref().ok()?));
        let led_to: BTreeSet<ChainName> = jumps.chain([ours.clone()]).collect();
        for name in &led_to {
            let uses = table.chain(name.as_str()).map(|chain| table.uses_but_for_our_jump(chain));
            let chain = table.chains.iter_mut().find(|chain| chain.name == name.as_str());
            match uses.and_then(|uses| known.rules(id, name.as_str(), uses)) {
                Some(rules) => chain.into_iter().for_each(|chain| chain.rules = rules.clone()),
                None => self.fill(id, chain)?,
            }
        }
        Ok(table)
    }

    fn fill_named(&mut self, table: &mut ObservedTable, name: &str) -> Result<(), BackendError> {
        let chain = table.chains.iter_mut().find(|chain| chain.name == name);
        self.fill(table.id, chain)
    }

    /// Reads the rules of a chain, if there is one.
    fn fill(&mut self, id: TableId, chain: Option<&mut ObservedChain>) -> Result<(), BackendError> {
        let Some(chain) = chain else { return Ok(()) };
        let rules = self.connection.rules(id.family, id.name.as_str(), &chain.name);
        let rules =
            rules.map_err(|error| doing(format!("list the rules of chain {} in table {id}", chain.name), error))?;
        let observe = |rule: RuleInfo| ObservedRule { handle: rule.handle, rule: decode(id, &rule) };
        chain.rules = rules.into_iter().map(observe).collect();
        Ok(())
    }

    fn sets(
        &mut self,
        id: TableId,
        owner: Option<Owner>,
        known: &mut Remembered<'_>,
    ) -> Result<Vec<ObservedSet>, BackendError> {
        let table = id.name.as_str();
        let infos = self.read("list the sets", |connection| connection.sets(id.family, table))?;
        let mut sets = Vec::with_capacity(infos.len());
        for info in infos {
            let mut set = ObservedSet { name: info.name, kind: info.kind, elements: Elements::default() };
            if let Some(elements) = info.count.and_then(|count| known.elements(id, owner, &set.name, count)) {
                set.elements = elements.clone();
            } else if let Ok(kind) = set.kind {
                let read = self.read("list the elements of a set", |connection| {
                    connection.elements(id.family, table, &set.name, kind)
                })?;
                match read {
                    Ok(elements) => set.elements = elements.into(),
                    Err(odd) => set.kind = Err(odd),
                }
            }
            sets.push(set);
        }
        Ok(sets)
    }

    fn read<A>(
        &mut self,
        what: &str,
        read: impl FnOnce(&mut Connection<T>) -> Result<A, NetlinkError>,
    ) -> Result<A, BackendError> {
        read(&mut self.connection).map_err(|error| doing(what, error))
    }
}

impl<T: Transport> Backend for Nftables<T> {
    fn generation(&mut self) -> Result<Generation, BackendError> {
        Self::generation(self)
    }

    fn observe(&mut self, chain: &ChainName, known: &Cache) -> Result<Observed, BackendError> {
        let mut observed = self.read_once(chain, known)?;
        for _ in 1..READINGS {
            if self.generation()? == observed.generation {
                break;
            }
            // Others committed meanwhile. The long lists were read, and that is not begun again while they are as long: all
            // else is read in a fraction of the time between two commits.
            let is_partly_assumed = observed.is_partly_assumed;
            let just_read = Cache::of(observed).assuming(true);
            observed = self.read_once(chain, &just_read)?;
            observed.is_partly_assumed = is_partly_assumed;
        }
        Ok(observed)
    }

    fn is_owned_by_another(&mut self, table: TableId) -> Result<bool, BackendError> {
        let port = self.connection.port();
        let tables = self.read("list the tables", |connection| connection.tables(table.family))?;
        let owner = tables.iter().find(|info| info.name == table.name.as_str()).and_then(|info| info.owner);
        Ok(owner.is_some_and(|owner| owner != port))
    }

    fn probe(&mut self, plan: &Plan) -> Result<(), BackendError> {
        if plan.is_empty() {
            return Ok(());
        }
        let probe = filled(self.connection.begin(None), plan)
            .seal_as_probe()
            .map_err(|error| doing("ask the kernel", error))?;
        self.connection.probe(&probe).map_err(|error| explain(plan, error))
    }

    fn commit(&mut self, plan: &Plan, generation: Generation) -> Result<(), BackendError> {
        let transaction = filled(self.connection.begin(Some(generation)), plan);
        let batch = transaction.seal().map_err(|error| doing("change the rules", error))?;
        debug!("sending a transaction of {} bytes", batch.as_bytes().len());
        self.connection.commit(&batch).map_err(|error| explain(plan, error))
    }
}

/// What need not be read.
struct Remembered<'a> {
    known: &'a Cache,
    /// In which the rest is read.
    generation: Generation,
    /// Was something taken for known that others can have changed?
    is_partly_assumed: bool,
}

impl<'a> Remembered<'a> {
    fn rules(&mut self, table: TableId, chain: &str, uses: u32) -> Option<&'a Rules> {
        let rules = self.known.rules(self.generation, table, chain, uses)?;
        self.is_partly_assumed |= !self.known.is_certain(self.generation, table, None);
        Some(rules)
    }

    fn elements(&mut self, table: TableId, owner: Option<Owner>, set: &str, count: u32) -> Option<&'a Elements> {
        let elements = self.known.elements(self.generation, table, owner, set)?;
        if elements.len() < LONG || elements.len() != count as usize {
            return None;
        }
        self.is_partly_assumed |= !self.known.is_certain(self.generation, table, owner);
        Some(elements)
    }
}

fn filled(mut transaction: Transaction, plan: &Plan) -> Transaction {
    for change in &plan.changes {
        transaction.push(change);
    }
    transaction
}

/// A chain whose rules have not been read.
fn unread(info: &ChainInfo) -> ObservedChain {
    ObservedChain {
        name: info.name.clone(),
        base: info.base.clone(),
        drops: info.drops,
        uses: info.uses,
        rules: Rules::default(),
    }
}

/// The tables in which rules of ours can stand.
fn tables_of_interest(family: TableFamily) -> Vec<TableId> {
    match family {
        TableFamily::Of(family) => vec![TableId::nat(family), TableId::own(family)],
        TableFamily::Inet => Vec::new(),
    }
}

/// A chain that translates sources, unless its table is switched off.
fn nat_chain(family: TableFamily, tables: &[TableInfo], info: ChainInfo) -> Option<NatChain> {
    let base = info.base.as_ref()?;
    let is_off = tables.iter().any(|table| table.dormant && table.name == info.table);
    NatChain::of(family, info.table, info.name, base, info.drops).filter(|_| !is_off)
}

/// Names the change that the kernel refused, and tells apart what the caller can answer.
fn explain(plan: &Plan, error: NetlinkError) -> BackendError {
    let refused = match &error {
        NetlinkError::StaleGeneration => return BackendError::Stale,
        NetlinkError::Rejected { change: Some(index), errno, .. }
        | NetlinkError::Unsupported { change: Some(index), errno, .. } => plan.changes.get(*index).zip(Some(*errno)),
        _ => None,
    };
    match refused {
        Some((change, errno)) => BackendError::of_change(change, errno, error),
        None => doing("change the rules", error),
    }
}

fn doing(doing: impl Into<String>, source: NetlinkError) -> BackendError {
    BackendError::Netlink { doing: with_need(doing.into(), &source), source }
}

#[cfg(test)]
pub(crate) mod tests;
