//! Tables, and what is in them: sets, and chains of rules.

use std::borrow::Cow;
use std::fmt;

use super::{Elements, Rule};
use crate::net::Family;

/// A table and those of its parts that concern us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Which table.
    pub id: TableId,
    /// Who may change it.
    pub protection: Protection,
    /// Its sets, in the order in which they are created.
    pub sets: Vec<Set>,
    /// Its chains, in the order in which they are created.
    pub chains: Vec<Chain>,
}

/// A table's family and name: what identifies it in a network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId {
    /// The address family.
    pub family: Family,
    /// The name.
    pub name: TableName,
}

/// The tables in which rules of ours can stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableName {
    /// iptables' `nat` table, shared with everybody: its base chain and all chains but ours belong to others.
    Nat,
    /// `ip-masq-agent`, a table of our own: everything in it is ours.
    Own,
}

/// Who may change a table (`NFTA_TABLE_FLAGS`, Linux 6.9 and later for both flags together).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protection {
    /// Everybody with the privilege.
    #[default]
    Off,
    /// `owner` and `persist`: the socket that created or adopted it, while that socket is open; a flush of the whole
    /// ruleset passes it over, and it outlives its owner.
    OwnerPersist,
}

/// A set of addresses that rules look destinations up in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// The name.
    pub name: String,
    /// How the kernel keeps it.
    pub kind: SetKind,
    /// The elements. In a set of addresses each is a single one.
    pub elements: Elements,
}

/// How the kernel keeps a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetKind {
    /// A hash table of single addresses with room for so many: a lookup and a change cost the same at any size. The
    /// kernel has a quicker table where it knows the room, and lists it in half the time.
    Addresses {
        /// The most elements that it can take.
        size: u32,
    },
    /// Ranges of addresses in order (`flags interval`).
    Intervals,
}

/// A chain and its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The name.
    pub name: String,
    /// Where the kernel enters the chain; `None` if only jumps lead to it.
    pub base: Option<BaseChain>,
    /// The rules, in order. In a base chain of a shared table these are ours among others.
    pub rules: Vec<Rule>,
}

/// Where the kernel enters a base chain: as iptables registers POSTROUTING of its nat table, or elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseChain {
    /// The chain type, such as `nat`.
    pub kind: Cow<'static, str>,
    /// The netfilter hook's number (`NF_INET_POST_ROUTING` is 4).
    pub hook: u32,
    /// The priority at that hook; smaller runs earlier.
    pub priority: i32,
}

impl TableId {
    /// iptables' `nat` table of a family.
    #[must_use]
    pub const fn nat(family: Family) -> Self {
        Self { family, name: TableName::Nat }
    }

    /// The table of our own of a family.
    #[must_use]
    pub const fn own(family: Family) -> Self {
        Self { family, name: TableName::Own }
    }
}

impl Table {
    /// The chain of this name.
    #[must_use]
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.name == name)
    }

    /// The set of this name.
    #[must_use]
    pub fn set(&self, name: &str) -> Option<&Set> {
        self.sets.iter().find(|set| set.name == name)
    }
}

impl BaseChain {
    /// POSTROUTING as iptables-nft registers it: type nat, priority `NF_IP_PRI_NAT_SRC` (`linux/netfilter_ipv4.h`).
    pub const IPTABLES_POSTROUTING: Self =
        Self { kind: Cow::Borrowed("nat"), hook: Self::HOOK_POSTROUTING, priority: 100 };
    /// A little after iptables' and kube-proxy's chains, which is nearest to a rule appended to POSTROUTING, and at a
    /// priority of its own: which of two chains at one priority runs first depends on who started last.
    pub const AFTER_IPTABLES: Self = Self { kind: Cow::Borrowed("nat"), hook: Self::HOOK_POSTROUTING, priority: 105 };
    /// `NF_INET_POST_ROUTING` (`linux/netfilter.h`).
    pub const HOOK_POSTROUTING: u32 = 4;
    /// What iptables calls its base chain at that hook.
    pub const POSTROUTING: &'static str = "POSTROUTING";
    /// What ours is called, in a table of our own.
    pub const OWN_POSTROUTING: &'static str = "postrouting";

    /// The hook as `nft` names it (`enum nf_inet_hooks`, `linux/netfilter.h`).
    #[must_use]
    pub const fn hook_name(&self) -> &'static str {
        match self.hook {
            0 => "prerouting",
            1 => "input",
            2 => "forward",
            3 => "output",
            Self::HOOK_POSTROUTING => "postrouting",
            5 => "ingress",
            _ => "unknown",
        }
    }
}

impl fmt::Display for BaseChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "type {}, hook {}, priority {}", self.kind, self.hook_name(), self.priority)
    }
}

impl TableName {
    /// The name in the kernel.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nat => "nat",
            Self::Own => "ip-masq-agent",
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for TableId {
    /// `ip nat`, as `nft` names a table.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.family, self.name)
    }
}
