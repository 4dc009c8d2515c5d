//! How many flows the agent's rules have decided. A nat chain sees the first packet of a flow alone, so that the packets that
//! a rule has counted are flows.

use super::codec::{Expression, decode};
use super::{Handle, RuleInfo};
use crate::net::{ChainName, Cidr, Family};
use crate::netlink::{Connection, NetlinkError, NetlinkFamily, NetlinkSocket, Transport};
use crate::rules::{Rule, TableId, TableName, Verdict};

/// Reads what rules have counted, over a connection of its own, and changes nothing.
#[derive(Debug)]
pub struct FlowCounts<T> {
    connection: Connection<T>,
}

/// A rule that has decided about flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedRule {
    /// The table that it is in.
    pub table: TableId,
    /// The number by which the kernel knows it.
    pub handle: Handle,
    /// Whether such flows are masqueraded; else they keep their source.
    pub is_masqueraded: bool,
    /// The range of destinations, if it asks for nothing else.
    pub range: Option<Cidr>,
    /// So many flows.
    pub flows: u64,
}

impl FlowCounts<NetlinkSocket> {
    /// Opens the connection.
    ///
    /// # Errors
    ///
    /// [`NetlinkError`], if the kernel has no netfilter netlink.
    pub fn open() -> Result<Self, NetlinkError> {
        Connection::open(NetlinkFamily::Netfilter).map(Self::over)
    }
}

impl<T: Transport> FlowCounts<T> {
    /// Works over a connection that is open already.
    pub const fn over(connection: Connection<T>) -> Self {
        Self { connection }
    }

    /// The rules of the agent, in either layout; `chain` is that in iptables' table.
    ///
    /// # Errors
    ///
    /// [`NetlinkError`], if the kernel does not answer.
    pub fn read(&mut self, chain: &ChainName) -> Result<Vec<CountedRule>, NetlinkError> {
        let mut counted = Vec::new();
        for family in Family::ALL {
            for table in [TableId::nat(family), TableId::own(family)] {
                let own = ChainName::default();
                let chain = if table.name == TableName::Nat { chain } else { &own };
                let rules = self.connection.rules(family, table.name.as_str(), chain.as_str())?;
                counted.extend(rules.iter().filter_map(|info| counts(table, info)));
            }
        }
        Ok(counted)
    }
}

/// What a rule has decided; `None` if it decides nothing about flows, or is not the agent's.
fn counts(table: TableId, info: &RuleInfo) -> Option<CountedRule> {
    let rule = decode(table, info).ok()?;
    let is_masqueraded = match rule.verdict() {
        Verdict::Return => false,
        Verdict::Masquerade(_) => true,
        Verdict::Jump(_) => return None,
    };
    let flows = info.expressions.iter().find_map(|expression| match expression {
        Expression::Counter(counter) => Some(counter.packets),
        _ => None,
    })?;
    Some(CountedRule { table, handle: info.handle, is_masqueraded, range: range(&rule), flows })
}

fn range(rule: &Rule) -> Option<Cidr> {
    match rule.matches() {
        [one] => one.destinations(),
        _ => None,
    }
}
