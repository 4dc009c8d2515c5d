//! The rules in iptables' `nat` table, as iptables-nft would have written them, over netlink.

use std::collections::BTreeSet;

use nix::errno::Errno;

use super::{Backend, BackendError};
use crate::net::{ChainName, Family};
use crate::netlink::{Connection, NetlinkError, NetlinkSocket, RuleInfo, Transaction, Transport, compat};
use crate::render::change_line;
use crate::ruleset::{
    Action, BaseChain, Generation, Observed, ObservedChain, ObservedRule, ObservedTable, Plan, Protection, TableId,
    our_jump,
};

/// How often reading is begun again because the rules changed meanwhile. After that the last reading stands: a commit
/// that builds on it is refused as stale.
const READINGS: usize = 8;

/// nf_tables with the expressions of iptables-nft. `iptables -t nat -L` shows the rules as it shows upstream's.
#[derive(Debug)]
pub struct NftCompat<T> {
    connection: Connection<T>,
}

impl NftCompat<NetlinkSocket> {
    /// Opens the socket that the agent keeps for its life.
    ///
    /// # Errors
    ///
    /// [`BackendError`], if the kernel has no netfilter netlink.
    pub fn open() -> Result<Self, BackendError> {
        Connection::open().map(|connection| Self { connection }).map_err(|error| doing("reach nf_tables", error))
    }
}

impl<T: Transport> NftCompat<T> {
    fn read_once(&mut self, chain: &ChainName) -> Result<Observed, BackendError> {
        let generation = self.generation()?;
        let mut tables = Vec::new();
        for id in Family::ALL.map(TableId::nat) {
            tables.extend(self.table(id, chain)?);
        }
        Ok(Observed { generation, tables })
    }

    fn generation(&mut self) -> Result<Generation, BackendError> {
        self.connection.generation().map_err(|error| doing("read the generation of the rules", error))
    }

    fn table(&mut self, id: TableId, ours: &ChainName) -> Result<Option<ObservedTable>, BackendError> {
        let name = id.name.to_string();
        let listed =
            self.connection.chains(id.family).map_err(|error| doing(format!("list the chains of {id}"), error))?;
        let mut chains: Vec<ObservedChain> = listed
            .into_iter()
            .filter(|info| info.table == name)
            .map(|info| ObservedChain { name: info.name, base: info.base, rules: Vec::new() })
            .collect();
        if chains.is_empty() {
            let tables = self.connection.tables(id.family).map_err(|error| doing("list the tables", error))?;
            let exists = tables.iter().any(|table| table.name == name);
            return Ok(exists.then_some(observed(id, chains)));
        }
        // The jumps in POSTROUTING tell which other chains are ours, so their rules are read first.
        self.fill(id, &mut chains, BaseChain::POSTROUTING)?;
        let jumps = chains.iter().flat_map(|chain| &chain.rules).filter_map(|rule| our_jump(rule.rule.as_ref().ok()?));
        let led_to: BTreeSet<ChainName> = jumps.chain([ours.clone()]).collect();
        for chain in &led_to {
            self.fill(id, &mut chains, chain.as_str())?;
        }
        Ok(Some(observed(id, chains)))
    }

    /// Reads the rules of one of the chains, if it is there.
    fn fill(&mut self, id: TableId, chains: &mut [ObservedChain], name: &str) -> Result<(), BackendError> {
        let Some(chain) = chains.iter_mut().find(|chain| chain.name == name) else { return Ok(()) };
        let rules = self.connection.rules(id.family, &id.name.to_string(), name);
        let rules = rules.map_err(|error| doing(format!("list the rules of chain {name} in table {id}"), error))?;
        let observe =
            |rule: RuleInfo| ObservedRule { handle: rule.handle, rule: compat::raise(id.family, &rule.expressions) };
        chain.rules = rules.into_iter().map(observe).collect();
        Ok(())
    }
}

impl<T: Transport> Backend for NftCompat<T> {
    fn name(&self) -> &'static str {
        "nft-compat"
    }

    fn observe(&mut self, chain: &ChainName) -> Result<Observed, BackendError> {
        let mut observed = self.read_once(chain)?;
        for _ in 1..READINGS {
            if self.generation()? == observed.generation {
                break;
            }
            observed = self.read_once(chain)?;
        }
        Ok(observed)
    }

    fn commit(&mut self, plan: &Plan, generation: Generation) -> Result<(), BackendError> {
        let mut transaction = Transaction::begin(Some(generation));
        for change in &plan.changes {
            transaction.push(change);
        }
        let failed = |error| doing("change the rules", error);
        let batch = transaction.seal().map_err(failed)?;
        self.connection.commit(&batch).map_err(|error| explain(plan, error))
    }
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
        Some((change, Errno::EBUSY)) if matches!(change.action, Action::DeleteChain { .. }) => {
            BackendError::InUse(Box::new(change.clone()))
        }
        Some((change, _)) => doing(format!("make the change \"{}\"", change_line(change)), error),
        None => doing("change the rules", error),
    }
}

fn observed(id: TableId, chains: Vec<ObservedChain>) -> ObservedTable {
    ObservedTable { id, protection: Protection::Off, owned: false, sets: Vec::new(), chains }
}

fn doing(doing: impl Into<String>, source: NetlinkError) -> BackendError {
    BackendError::Netlink { doing: doing.into(), source }
}
