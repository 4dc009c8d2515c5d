//! Reading the part of the kernel's rules that concerns the agent.

use std::collections::BTreeSet;
use std::fs;

use super::failure::{doing, reaching};
use super::{
    Cache, ChainInfo, Generation, LONG, NatChain, Nftables, Observed, ObservedChain, ObservedRule, ObservedSet,
    ObservedTable, Owner, RuleInfo, Rules, TableFamily, TableInfo, decode, our_jump,
};
use crate::backend::interface::BackendError;
use crate::net::{ChainName, Family};
use crate::netlink::{Connection, NetlinkError, Transport};
use crate::rules::{BaseChain, Elements, TableId};

/// How many readings are made at most if the rules change in the meantime. After that the last reading is used: a
/// commit that builds on it is refused as stale.
const READINGS: usize = 8;

impl<T: Transport> Nftables<T> {
    /// Reads what the cache does not hold, again and again until nobody commits in the meantime.
    pub(super) fn observe(&mut self, ours: &ChainName, cache: &Cache) -> Result<Observed, BackendError> {
        let (mut observed, mut of_that_generation) = self.read_once(ours, cache)?;
        for reading in 1..READINGS {
            if self.generation()? == observed.generation {
                break;
            }
            // Another process committed in the meantime. The long lists were just read, and are not read again while their
            // lengths stay the same: all else is read in a fraction of the time between two commits. Lists that were not just
            // read, but known of the generation before that commit, are an assumption from now on.
            let is_partly_assumed = observed.is_partly_assumed || std::mem::take(&mut of_that_generation);
            let mut just_read = Cache::of(observed).assuming(true);
            if reading == 1 {
                just_read.forget_echoed(cache);
            }
            (observed, _) = self.read_once(ours, &just_read)?;
            observed.is_partly_assumed = is_partly_assumed;
        }
        Ok(observed)
    }

    /// Returns also whether anything was taken from the cache that is certain in this generation only.
    fn read_once(&mut self, ours: &ChainName, cache: &Cache) -> Result<(Observed, bool), BackendError> {
        let generation = self.generation()?;
        let legacy = self.legacy_in_this_pass.get_or_insert_with(self.legacy).clone();
        let mut observed = Observed { generation, legacy, ..Observed::default() };
        let mut cached = Cached { cache, generation, is_partly_assumed: false, is_of_this_generation: false };
        let mut tables_of_all = self.read_list("list the tables", Connection::tables_of_all_families)?;
        let mut chains_of_all = self.read_list("list the chains", Connection::chains_of_all_families)?;
        for family in TableFamily::ALL {
            let tables = taken_out(&mut tables_of_all, family);
            let chains = taken_out(&mut chains_of_all, family);
            for id in tables_of_interest(family) {
                if let Some(info) = tables.iter().find(|info| info.name == id.name.as_str()) {
                    let chains = chains.iter().filter(|chain| chain.table == info.name).map(unread).collect();
                    let table = self.table(id, info, chains, ours, &mut cached)?;
                    observed.tables.push(table);
                }
            }
            observed.nat_chains.extend(chains.into_iter().filter_map(|chain| nat_chain(family, &tables, chain)));
        }
        observed.is_partly_assumed = cached.is_partly_assumed;
        Ok((observed, cached.is_of_this_generation))
    }

    pub(super) fn generation(&mut self) -> Result<Generation, BackendError> {
        self.connection.generation().map_err(|error| reaching("read the generation of the rules", error))
    }

    fn table(
        &mut self,
        id: TableId,
        info: &TableInfo,
        chains: Vec<ObservedChain>,
        ours: &ChainName,
        cached: &mut Cached<'_>,
    ) -> Result<ObservedTable, BackendError> {
        let port = self.connection.port();
        let owner = info.owner.map(|owner| if owner == port { Owner::Us } else { Owner::Other(owner) });
        let (protection, sets, foreign_objects) = (info.protection.clone(), Vec::new(), Vec::new());
        let mut table = ObservedTable { id, protection, dormant: info.dormant, owner, sets, foreign_objects, chains };
        if id == TableId::own(id.family) {
            table.foreign_objects = self.read_list("list the stateful objects and flowtables", |connection| {
                connection.foreign_objects(id.family, id.name.as_str())
            })?;
            table.sets = self.sets(id, owner, cached)?;
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
            match uses.and_then(|uses| cached.rules(id, name.as_str(), uses)) {
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
        let observe = |rule: RuleInfo| ObservedRule { handle: rule.handle, rule: decode(id, &rule) };
        let rules = self.connection.rules_as(id.family, id.name.as_str(), &chain.name, observe, ObservedRule::eq);
        let rules =
            rules.map_err(|error| doing(format!("list the rules of chain {} in table {id}", chain.name), error))?;
        chain.rules = rules.into_iter().collect();
        Ok(())
    }

    fn sets(
        &mut self,
        id: TableId,
        owner: Option<Owner>,
        cached: &mut Cached<'_>,
    ) -> Result<Vec<ObservedSet>, BackendError> {
        let table = id.name.as_str();
        let infos = self.read_list("list the sets", |connection| connection.sets(id.family, table))?;
        let mut sets = Vec::with_capacity(infos.len());
        for info in infos {
            let mut set = ObservedSet { name: info.name, kind: info.kind, elements: Elements::default() };
            if let Some(elements) = info.count.and_then(|count| cached.elements(id, owner, &set.name, count)) {
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

    pub(super) fn read_list<A>(
        &mut self,
        what: &str,
        read: impl FnOnce(&mut Connection<T>) -> Result<A, NetlinkError>,
    ) -> Result<A, BackendError> {
        read(&mut self.connection).map_err(|error| doing(what, error))
    }
}

fn taken_out<I>(of_all: &mut Vec<(TableFamily, I)>, family: TableFamily) -> Vec<I> {
    of_all.extract_if(.., |(of, _)| *of == family).map(|(_, item)| item).collect()
}

/// The cache, as one reading uses it.
struct Cached<'a> {
    cache: &'a Cache,
    /// The generation in which the rest is read.
    generation: Generation,
    /// Whether anything was taken from the cache that others may have changed.
    is_partly_assumed: bool,
    /// Whether anything was taken from it that nobody but us can have changed until this generation, but since.
    is_of_this_generation: bool,
}

impl<'a> Cached<'a> {
    fn rules(&mut self, table: TableId, chain: &str, uses: u32) -> Option<&'a Rules> {
        // These are certain, or read: nothing is said of the next generation.
        if let Some(rules) = self.cache.echoed(self.generation, table, chain, uses) {
            return Some(rules);
        }
        let rules = self.cache.rules(self.generation, table, chain, uses)?;
        self.took(table, None);
        Some(rules)
    }

    fn elements(&mut self, table: TableId, owner: Option<Owner>, set: &str, count: u32) -> Option<&'a Elements> {
        let elements = self.cache.elements(self.generation, table, owner, set)?;
        if elements.len() < LONG || elements.len() != count as usize {
            return None;
        }
        self.took(table, owner);
        Some(elements)
    }

    fn took(&mut self, table: TableId, owner: Option<Owner>) {
        let is_certain = |generation| self.cache.is_certain(generation, table, owner);
        let (now, later) = (is_certain(self.generation), is_certain(self.generation.next()));
        self.is_partly_assumed |= !now;
        self.is_of_this_generation |= now && !later;
    }
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

/// The chain, if it translates sources and its table is not switched off (dormant).
fn nat_chain(family: TableFamily, tables: &[TableInfo], info: ChainInfo) -> Option<NatChain> {
    let base = info.base.as_ref()?;
    let is_off = tables.iter().any(|table| table.dormant && table.name == info.table);
    NatChain::of(family, info.table, info.name, base, info.drops).filter(|_| !is_off)
}

/// The families of which iptables-legacy has a `nat` table in the network namespace of this thread. nf_tables does not list
/// these tables, as another part of the kernel has them. The kernel creates such a table when it is first used, so it may
/// be without rules; its rules can only be read by `getsockopt(IPT_SO_GET_ENTRIES)`, which no library offers in safe code.
///
/// If the file cannot be read, there is no such table, or no way to know of it.
pub(super) fn iptables_legacy_nat_tables() -> Vec<Family> {
    let has_nat = |family: &Family| {
        let path = match family {
            Family::Ipv4 => "/proc/thread-self/net/ip_tables_names",
            Family::Ipv6 => "/proc/thread-self/net/ip6_tables_names",
        };
        fs::read_to_string(path).is_ok_and(|names| names.lines().any(|name| name == "nat"))
    };
    Family::ALL.into_iter().filter(has_nat).collect()
}
