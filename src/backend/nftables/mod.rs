//! The nf_tables backend, over netlink. It carries both layouts.

mod cache;
mod change;
mod change_text;
pub mod codec;
#[cfg(test)]
mod contract_tests;
mod diff;
mod echo;
mod failure;
#[cfg(test)]
pub(crate) mod fake;
mod flow_counts;
mod memory;
mod monitor;
mod observed;
mod overlap;
mod poll;
mod read;
mod requests;
mod standing;
mod transaction;
mod watcher;

pub use crate::netlink::Batch;
pub use cache::Cache;
pub(crate) use cache::LONG;
pub use change::{Action, Change, Plan};
pub use change_text::{change_line, plan_lines};
pub use codec::*;
pub use diff::{Conflict, Planned, our_jump, plan, plan_for};
pub use flow_counts::{CountedRule, FlowCounts};
pub use monitor::Monitor;
pub use observed::{
    ForeignKind, ForeignObject, Generation, Handle, Observed, ObservedChain, ObservedRule, ObservedSet, ObservedTable,
    Owner, Rules, Unrecognised,
};
pub use overlap::{NatChain, NatOverlap, nat_overlaps};
pub use standing::stands;
pub use transaction::{Probe, Transaction};

use tracing::debug;

use self::change::line;
use self::diff::{most_parts, unfinished};
use self::echo::Echoes;
use self::failure::{Failure, doing, reaching};
use self::memory::Place;
use self::poll::Poll;
use self::watcher::Watched;

use super::interface::{
    Backend, BackendError, ChangeSource, Committed, DiffOptions, Difference, Look, Snapshot, Token, WatchRules,
};

use crate::net::{ChainName, Family};
use crate::netlink::{Connection, NetlinkError, NetlinkFamily, NetlinkSocket, Transport};
use crate::rules::{Ruleset, TableId};

/// Both ends of what watches for commits over sockets other than that of a connection.
type Watching = (Watched, ChangeSource);

/// Begins to watch for commits over sockets other than that of a connection; `None` if that is not wanted.
type BeginToWatch<T> = fn(&Connection<T>, WatchRules) -> Result<Option<Watching>, NetlinkError>;

/// The backend: the socket, which stays open as long as the agent lives, and the cache of what was read over it.
#[derive(Debug)]
pub struct Nftables<T> {
    connection: Connection<T>,
    cache: Cache,
    /// The deletions of chains that the kernel refused in this pass, because rules of others jump to these chains.
    in_use: Vec<Change>,
    begin_to_watch: BeginToWatch<T>,
    /// What is to be told of our commits.
    watched: Watched,
    /// Reads of which families iptables-legacy has a `nat` table.
    legacy: fn() -> Vec<Family>,
    /// What that found in this pass, once it was asked.
    legacy_in_this_pass: Option<Vec<Family>>,
    /// Finds out whose rules are read; `None` if nothing tells them from those of all other network namespaces.
    place: fn(&Connection<T>) -> Option<Place>,
    /// The generation of what was recalled.
    recalled: Option<Generation>,
    /// From how many entries of long lists on they are remembered.
    remembers_from: usize,
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
        Ok(Self { begin_to_watch, place: memory::here, ..Self::over(connection) })
    }
}

impl<T: Transport> Nftables<T> {
    /// Works over a connection that is open already, and cannot watch for commits of others.
    pub fn over(connection: Connection<T>) -> Self {
        Self {
            connection,
            cache: Cache::default(),
            in_use: Vec::new(),
            begin_to_watch: |_, _| Ok(None),
            watched: Watched::default(),
            legacy: read::iptables_legacy_nat_tables,
            legacy_in_this_pass: None,
            place: |_| None,
            recalled: None,
            remembers_from: memory::WORTHWHILE,
        }
    }

    fn send(&mut self, plan: &Plan, on: &Observed) -> Result<Echoes, Failure> {
        let generation = on.generation;
        let mut echoes = Echoes::wanted(plan, on, || self.connection.receive_buffer());
        let mut transaction = self.connection.begin(Some(generation));
        for change in &plan.changes {
            transaction.push(change);
            if echoes.wants(change) {
                transaction.ask_for_echo();
            }
        }
        let batch = transaction.seal().map_err(|error| Failure::Error(doing("change the rules", error)))?;
        let bytes = batch.as_bytes().len();
        debug!(event = "transaction_sent", bytes, "sending a transaction of {bytes} bytes");
        let committed = self.watched.around_commit(
            &mut self.connection,
            generation,
            |connection| {
                connection.commit_with_echoes(&batch, |change, kind, payload| {
                    if kind == rule::NEW {
                        echoes.take(plan, change, payload);
                    }
                })
            },
            |connection| connection.generation().ok(),
        );
        committed.map(|()| echoes).map_err(|error| Failure::of(&plan.changes, error))
    }
}

fn begin_to_watch(connection: &Connection<NetlinkSocket>, how: WatchRules) -> Result<Option<Watching>, NetlinkError> {
    let shared = match how {
        WatchRules::Notify => Watched::share(Monitor::open(connection.port())?),
        WatchRules::Poll(interval) => {
            Watched::share(Poll::begin(Connection::open(NetlinkFamily::Netfilter)?, interval.into())?)
        }
        WatchRules::Off => return Ok(None),
    };
    shared.map(Some).map_err(|error| NetlinkError::from_io(error, 0))
}

impl<T: Transport> Backend for Nftables<T> {
    type Snapshot = Observed;
    type Change = Plan;

    fn begin(&mut self) -> Result<Option<Observed>, BackendError> {
        self.in_use.clear();
        self.legacy_in_this_pass = None;
        // The generation is read by what follows, too.
        if !self.cache.is_whole() {
            return Ok(None);
        }
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
        let mut probe = self.connection.begin(None);
        plan.changes.iter().for_each(|change| probe.push(change));
        let probe = probe.seal_as_probe().map_err(|error| doing("ask the kernel", error))?;
        match self.connection.probe(&probe).map_err(|error| Failure::of(&plan.changes, error)) {
            // A chain that others use is reported by the commit that has to leave it.
            Ok(()) | Err(Failure::Stale | Failure::InUse(_)) => Ok(()),
            Err(Failure::Error(error)) => Err(error),
        }
    }

    fn commit(&mut self, plan: &Plan, on: Observed) -> Result<Committed, BackendError> {
        match self.send(plan, &on) {
            Ok(echoes) => {
                // The old cache is dropped first, so that shared lists are changed in place and not copied.
                self.cache.forget();
                self.cache = Cache::after(on, plan, echoes);
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
                // The commit may have been carried out, with only the answer lost.
                self.cache.forget();
                Err(error)
            }
        }
    }

    fn settle(&mut self, have: Observed) {
        self.cache = Cache::of(have);
    }

    fn recall(&mut self, memory: &[u8]) {
        let Some(place) = (self.place)(&self.connection) else { return };
        let Ok(generation) = self.generation() else { return };
        match memory::decode(memory, &place, generation) {
            Ok(cache) => (self.cache, self.recalled) = (cache, Some(generation)),
            Err(misfit) => {
                let why = misfit.to_string();
                debug!(event = "memory_misfit", why, "what was remembered of the rules is not used: {misfit}");
            }
        }
    }

    fn remember(&self) -> Option<Vec<u8>> {
        let observed = self.cache.read_in_full().filter(|observed| self.recalled != Some(observed.generation))?;
        if memory::entries(observed) < self.remembers_from {
            return None;
        }
        memory::encode(observed, &(self.place)(&self.connection)?)
    }

    fn take_back(&mut self, chain: &ChainName) {
        self.cache = Cache::default();
        let Ok(observed) = self.observe(chain, &Cache::default()) else { return };
        let plan = unfinished(&observed);
        if !plan.is_empty() {
            let _ = self.send(&plan, &observed);
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

    fn watch(&mut self, how: WatchRules) -> Result<Option<ChangeSource>, BackendError> {
        let watching = (self.begin_to_watch)(&self.connection, how);
        let watching = watching.map_err(|error| reaching("listen to changes of the rules", error))?;
        Ok(watching.map(|(watched, source)| {
            self.watched = watched;
            source
        }))
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

#[cfg(test)]
pub(crate) mod tests;
