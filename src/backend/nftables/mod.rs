//! nf_tables over netlink: both layouts, whichever table a plan names.

mod cache;
mod change;
mod change_text;
pub mod codec;
#[cfg(test)]
mod contract_tests;
mod diff;
mod failure;
#[cfg(test)]
pub(crate) mod fake;
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
pub use diff::{Conflict, Planned, our_jump, plan, plan_for};
pub use monitor::Monitor;
pub use observed::{
    ForeignKind, ForeignObject, Generation, Handle, Observed, ObservedChain, ObservedRule, ObservedSet, ObservedTable,
    Owner, Rules, Unrecognised,
};
pub use overlap::{NatChain, NatOverlap, nat_overlaps};
pub use standing::stands;
pub use transaction::{Probe, Transaction};

use std::collections::BTreeSet;

use tracing::debug;

use self::change::line;
use self::diff::{most_parts, unfinished};
use self::failure::{Failure, doing, reaching};

use super::interface::{
    Backend, BackendError, ChangeSource, Committed, DiffOptions, Difference, Look, Snapshot, Token,
};

use crate::net::{ChainName, Family};
use crate::netlink::{Connection, NetlinkError, NetlinkFamily, NetlinkSocket, Transport};
use crate::rules::{BaseChain, Elements, Ruleset, TableId};

/// Begins to listen to commits over other sockets than that of a connection.
type BeginToListen<T> = fn(&Connection<T>) -> Result<ChangeSource, NetlinkError>;

/// How often reading is begun again because the rules changed in the meantime. After that the last reading stands: a commit
/// that builds on it is refused as stale.
const READINGS: usize = 8;

/// The socket that the agent keeps for its life, what is done over it, and what is remembered of it.
#[derive(Debug)]
pub struct Nftables<T> {
    connection: Connection<T>,
    cache: Cache,
    /// The deletions of chains that the kernel refused in this pass, because others jump to these.
    in_use: Vec<Change>,
    /// `None` if nobody tells of others' commits.
    listen: Option<BeginToListen<T>>,
    /// The families of which iptables-legacy has a `nat` table.
    legacy: fn() -> Vec<Family>,
}

impl Nftables<NetlinkSocket> {
    /// Opens the socket.
    ///
    /// # Errors
    ///
    /// [`BackendError`], if the kernel has no netfilter netlink.
    pub fn open() -> Result<Self, BackendError> {
        let connection =
            Connection::open(NetlinkFamily::Netfilter).map_err(|error| reaching("reach nf_tables", error))?;
        let listen: BeginToListen<NetlinkSocket> = |connection| Monitor::open(connection.port()).map(ChangeSource::new);
        Ok(Self { listen: Some(listen), ..Self::over(connection) })
    }
}

impl<T: Transport> Nftables<T> {
    /// Works over a conversation that was begun already.
    pub fn over(connection: Connection<T>) -> Self {
        Self { connection, cache: Cache::default(), in_use: Vec::new(), listen: None, legacy: legacy::nat_tables }
    }

    /// Reads what the cache does not hold, until nobody commits in the meantime.
    fn observe(&mut self, ours: &ChainName, cache: &Cache) -> Result<Observed, BackendError> {
        let mut observed = self.read_once(ours, cache)?;
        for _ in 1..READINGS {
            if self.generation()? == observed.generation {
                break;
            }
            // Others committed in the meantime. The long lists were read, and that is not begun again while they are as long: all
            // else is read in a fraction of the time between two commits.
            let is_partly_assumed = observed.is_partly_assumed;
            let just_read = Cache::of(observed).assuming(true);
            observed = self.read_once(ours, &just_read)?;
            observed.is_partly_assumed = is_partly_assumed;
        }
        Ok(observed)
    }

    fn read_once(&mut self, ours: &ChainName, cache: &Cache) -> Result<Observed, BackendError> {
        let generation = self.generation()?;
        let mut observed = Observed { generation, legacy: (self.legacy)(), ..Observed::default() };
        let mut what = Remembered { cache, generation, is_partly_assumed: false };
        for family in TableFamily::ALL {
            let tables = self.read_list("list the tables", |connection| connection.tables(family))?;
            let chains = self.read_list("list the chains", |connection| connection.chains(family))?;
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
        self.connection.generation().map_err(|error| reaching("read the generation of the rules", error))
    }

    fn table(
        &mut self,
        id: TableId,
        info: &TableInfo,
        chains: Vec<ObservedChain>,
        ours: &ChainName,
        cache: &mut Remembered<'_>,
    ) -> Result<ObservedTable, BackendError> {
        let port = self.connection.port();
        let owner = info.owner.map(|owner| if owner == port { Owner::Us } else { Owner::Other(owner) });
        let (protection, sets, foreign_objects) = (info.protection.clone(), Vec::new(), Vec::new());
        let mut table = ObservedTable { id, protection, dormant: info.dormant, owner, sets, foreign_objects, chains };
        if id == TableId::own(id.family) {
            table.foreign_objects = self.read_list("list the stateful objects and flowtables", |connection| {
                connection.foreign_objects(id.family, id.name.as_str())
            })?;
            table.sets = self.sets(id, owner, cache)?;
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
            match uses.and_then(|uses| cache.rules(id, name.as_str(), uses)) {
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
        cache: &mut Remembered<'_>,
    ) -> Result<Vec<ObservedSet>, BackendError> {
        let table = id.name.as_str();
        let infos = self.read_list("list the sets", |connection| connection.sets(id.family, table))?;
        let mut sets = Vec::with_capacity(infos.len());
        for info in infos {
            let mut set = ObservedSet { name: info.name, kind: info.kind, elements: Elements::default() };
            if let Some(elements) = info.count.and_then(|count| cache.elements(id, owner, &set.name, count)) {
                set.elements = elements.clone();
            } else if let Ok(kind) = set.kind {
                let read = self.read_list("list the elements of a set", |connection| {
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

    fn read_list<A>(
        &mut self,
        what: &str,
        read: impl FnOnce(&mut Connection<T>) -> Result<A, NetlinkError>,
    ) -> Result<A, BackendError> {
        read(&mut self.connection).map_err(|error| doing(what, error))
    }

    fn send(&mut self, plan: &Plan, generation: Generation) -> Result<(), Failure> {
        let transaction = filled(self.connection.begin(Some(generation)), plan);
        let batch = transaction.seal().map_err(|error| Failure::Error(doing("change the rules", error)))?;
        debug!("sending a transaction of {} bytes", batch.as_bytes().len());
        self.connection.commit(&batch).map_err(|error| Failure::of(&plan.changes, error))
    }
}

impl<T: Transport> Backend for Nftables<T> {
    type Snapshot = Observed;
    type Change = Plan;

    fn begin(&mut self) -> Result<Option<Observed>, BackendError> {
        self.in_use.clear();
        let generation = self.generation()?;
        Ok(self.cache.take(generation))
    }

    fn read(&mut self, chain: &ChainName, look: Look) -> Result<Observed, BackendError> {
        if look == Look::Fresh {
            self.cache.forget();
        }
        self.cache.assume(look == Look::Quick);
        let cache = std::mem::take(&mut self.cache);
        let observed = self.observe(chain, &cache);
        self.cache = cache;
        observed
    }

    fn diff(&self, want: &Ruleset, have: &Observed, options: &DiffOptions<'_>) -> Difference<Plan> {
        let left_standing: Vec<Family> =
            options.keep_standing.iter().copied().filter(|family| stands(*family, have)).collect();
        let families: Vec<Family> = Family::ALL.into_iter().filter(|family| !left_standing.contains(family)).collect();
        let Planned { plan: mut change, conflicts, leftovers } =
            plan_for(&families, want, have, &self.cache, options.hold);
        change.changes.retain(|change| !self.in_use.contains(change));
        Difference {
            change,
            conflicts: conflicts.into_iter().map(Into::into).collect(),
            leftovers: leftovers.into_iter().map(Into::into).collect(),
            left_standing,
            in_use: self.in_use.iter().map(line).collect(),
            overlaps: nat_overlaps(want, have).iter().map(ToString::to_string).collect(),
            parts: most_parts(want, have),
        }
    }

    fn probe(&mut self, plan: &Plan) -> Result<(), BackendError> {
        if plan.is_empty() {
            return Ok(());
        }
        let probe = filled(self.connection.begin(None), plan)
            .seal_as_probe()
            .map_err(|error| doing("ask the kernel", error))?;
        match self.connection.probe(&probe).map_err(|error| Failure::of(&plan.changes, error)) {
            // A chain that has to stay is told of when it matters.
            Ok(()) | Err(Failure::Stale | Failure::InUse(_)) => Ok(()),
            Err(Failure::Error(error)) => Err(error),
        }
    }

    fn commit(&mut self, plan: &Plan, on: Observed) -> Result<Committed, BackendError> {
        match self.send(plan, on.generation) {
            Ok(()) => {
                // First, so that what was known is changed and not copied.
                self.cache.forget();
                self.cache = Cache::after(on, plan);
                Ok(if plan.more { Committed::More } else { Committed::Done })
            }
            Err(Failure::Stale) => {
                self.cache = Cache::of(on);
                Ok(Committed::Stale)
            }
            Err(Failure::InUse(change)) => {
                self.in_use.push(*change);
                Ok(Committed::InUse)
            }
            Err(Failure::Error(error)) => {
                // It may have been carried out, with only the answer lost.
                self.cache.forget();
                Err(error)
            }
        }
    }

    fn settle(&mut self, have: Observed) {
        self.cache = Cache::of(have);
    }

    fn take_back(&mut self, chain: &ChainName) {
        self.cache = Cache::default();
        let Ok(observed) = self.observe(chain, &Cache::default()) else { return };
        let plan = unfinished(&observed);
        if !plan.is_empty() {
            let _ = self.send(&plan, observed.generation);
        }
    }

    fn is_current(&mut self, token: Token) -> Result<bool, BackendError> {
        Ok(Token::from(self.generation()?) == token)
    }

    fn is_owned_by_another(&mut self, table: TableId) -> Result<bool, BackendError> {
        let port = self.connection.port();
        let tables = self.read_list("list the tables", |connection| connection.tables(table.family))?;
        let owner = tables.iter().find(|info| info.name == table.name.as_str()).and_then(|info| info.owner);
        Ok(owner.is_some_and(|owner| owner != port))
    }

    fn has_long_lists(&self) -> bool {
        self.cache.has_long_lists()
    }

    fn watch(&self) -> Result<Option<ChangeSource>, BackendError> {
        let source = self.listen.map(|listen| listen(&self.connection)).transpose();
        source.map_err(|error| reaching("listen to changes of the rules", error))
    }
}

impl Snapshot for Observed {
    fn token(&self) -> Token {
        self.generation.into()
    }

    fn is_partly_assumed(&self) -> bool {
        self.is_partly_assumed
    }
}

impl From<Generation> for Token {
    fn from(Generation(number): Generation) -> Self {
        Self(number.into())
    }
}

/// What need not be read.
struct Remembered<'a> {
    cache: &'a Cache,
    /// In which the rest is read.
    generation: Generation,
    /// Was something taken for known that others can have changed?
    is_partly_assumed: bool,
}

impl<'a> Remembered<'a> {
    fn rules(&mut self, table: TableId, chain: &str, uses: u32) -> Option<&'a Rules> {
        let rules = self.cache.rules(self.generation, table, chain, uses)?;
        self.is_partly_assumed |= !self.cache.is_certain(self.generation, table, None);
        Some(rules)
    }

    fn elements(&mut self, table: TableId, owner: Option<Owner>, set: &str, count: u32) -> Option<&'a Elements> {
        let elements = self.cache.elements(self.generation, table, owner, set)?;
        if elements.len() < LONG || elements.len() != count as usize {
            return None;
        }
        self.is_partly_assumed |= !self.cache.is_certain(self.generation, table, owner);
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

#[cfg(test)]
pub(crate) mod tests;
