//! Overlapping NAT chains: what other programs have in the kernel that can undo what our rules decide.

use std::fmt;

use super::Observed;
use crate::backend::nftables::TableFamily;
use crate::net::Family;
use crate::rules::{BaseChain, Ruleset, TableId, TableName};
use crate::text::Shown;

/// A base chain of type nat at the postrouting hook, in a table that is not dormant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatChain {
    /// Its table's family.
    pub family: TableFamily,
    /// Its table.
    pub table: String,
    /// Its name.
    pub chain: String,
    /// Its priority.
    pub priority: i32,
    /// Whether it drops what none of its rules decides (`policy drop`).
    pub drops: bool,
}

/// Something of another program that can undo what our rules decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NatOverlap {
    /// A chain that runs after ours, or may do so as it has the same priority: it may still masquerade what our rules exempt.
    Translates {
        /// The chain.
        nat_chain: NatChain,
        /// The priority of our chain.
        ours: i32,
    },
    /// A chain that drops packets that our rules exempt.
    Drops(NatChain),
    /// The nat table of iptables-legacy, which nf_tables does not list.
    Legacy(Family),
}

/// What can undo what the desired rules decide. A chain that runs before ours is none of it: it decides first, as a rule
/// before ours would.
#[must_use]
pub fn nat_overlaps(desired: &Ruleset, observed: &Observed) -> Vec<NatOverlap> {
    let mut nat_overlaps = Vec::new();
    for table in &desired.tables {
        let family = table.id.family;
        let nat_chains = || observed.nat_chains.iter().filter(move |nat_chain| nat_chain.family.has(family));
        for base in table.chains.iter().filter_map(|chain| chain.base.as_ref()) {
            let others = nat_chains().filter(|other| !other.is_in(table.id) && other.priority >= base.priority);
            nat_overlaps
                .extend(others.map(|other| NatOverlap::Translates { nat_chain: other.clone(), ours: base.priority }));
        }
        // In a table of our own the plan sets the policy to `accept`.
        let drops = nat_chains().filter(|other| other.drops && !other.is_in(TableId::own(family)));
        nat_overlaps.extend(drops.cloned().map(NatOverlap::Drops));
        if observed.legacy.contains(&family) {
            nat_overlaps.push(NatOverlap::Legacy(family));
        }
    }
    // A chain of family inet was found for both IPv4 and IPv6.
    let mut once: Vec<NatOverlap> = Vec::new();
    for nat_overlap in nat_overlaps {
        if !once.contains(&nat_overlap) {
            once.push(nat_overlap);
        }
    }
    once
}

impl NatChain {
    /// A base chain as a NAT chain; `None` if it is not of type nat at the postrouting hook.
    #[must_use]
    pub fn of(family: TableFamily, table: String, chain: String, base: &BaseChain, drops: bool) -> Option<Self> {
        let translates = base.kind == "nat" && base.hook == BaseChain::HOOK_POSTROUTING;
        translates.then_some(Self { family, table, chain, priority: base.priority, drops })
    }

    fn is_in(&self, table: TableId) -> bool {
        self.family == TableFamily::Of(table.family) && self.table == table.name.as_str()
    }
}

impl fmt::Display for NatOverlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Translates { nat_chain: NatChain { family, table, chain, priority, .. }, ours } => {
                let (table, chain) = (Shown(table.as_str()), Shown(chain.as_str()));
                write!(f, "chain {chain} of table {family} {table} translates sources too, at priority {priority}, ")?;
                if priority == ours {
                    f.write_str("which is ours: which of the two runs first depends on which was created last; ")?;
                } else {
                    write!(f, "after ours at {ours}; ")?;
                }
                write!(
                    f,
                    "what ours exempts it may still masquerade; look at it with `nft list chain {family} {table} {chain}`"
                )
            }
            Self::Drops(NatChain { family, table, chain, .. }) => {
                let (table, chain) = (Shown(table.as_str()), Shown(chain.as_str()));
                write!(
                    f,
                    "chain {chain} of table {family} {table} has the policy drop, and is not the agent's to change: each new flow \
                     that reaches its end is dropped, also what the agent exempts; if nobody wants that, \
                     `nft 'add chain {family} {table} {chain} {{ policy accept; }}'` ends it"
                )
            }
            Self::Legacy(family) => {
                let program = match family {
                    Family::Ipv4 => "iptables-legacy",
                    Family::Ipv6 => "ip6tables-legacy",
                };
                write!(
                    f,
                    "{program} has a {} table too, whose rules nf_tables does not show: if any of them translates sources, it \
                     may masquerade what ours exempts; look at them with `{program} -t nat -S POSTROUTING`",
                    TableName::Nat
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::tests::policy;
    use crate::rules::{Layout, Protection, compile};

    const IP: TableFamily = TableFamily::Of(Family::Ipv4);
    const IP6: TableFamily = TableFamily::Of(Family::Ipv6);

    fn nat_chain(family: TableFamily, table: &str, priority: i32, drops: bool) -> NatChain {
        NatChain { family, table: table.to_owned(), chain: "c".to_owned(), priority, drops }
    }

    #[test]
    fn what_can_undo_our_decisions_is_found_once_in_every_family_that_sees_our_packets() {
        let [compat, native] = [Layout::IptablesNat, Layout::OwnTable(Protection::Off)];
        for (layout, other, expected) in [
            (compat, nat_chain(IP, "t", 99, false), &[][..]),
            (compat, nat_chain(IP, "t", 100, false), &["table ip t translates sources too, at priority 100, which is"]),
            (compat, nat_chain(IP6, "t", 101, false), &["table ip6 t translates sources too, at priority 101, after"]),
            (compat, nat_chain(TableFamily::Inet, "t", 101, false), &["table inet t translates"]),
            (compat, nat_chain(TableFamily::Inet, "nat", 101, false), &["table inet nat translates"]),
            (compat, nat_chain(IP, "nat", 100, false), &[]),
            (compat, nat_chain(IP, "nat", 100, true), &["table ip nat has the policy drop"]),
            (native, nat_chain(IP, "nat", 100, true), &["table ip nat has the policy drop"]),
            (native, nat_chain(IP, "nat", 100, false), &[]),
            (native, nat_chain(IP, "ip-masq-agent", 105, true), &[]),
            (native, nat_chain(TableFamily::Inet, "t", 0, true), &["table inet t has the policy drop"]),
        ] {
            let observed = Observed { nat_chains: vec![other.clone()], ..Observed::default() };
            let found = nat_overlaps(&compile(&policy(&[], ""), layout), &observed);
            let told: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(told.len(), expected.len(), "{other:?}: {told:?}");
            assert!(told.iter().zip(expected).all(|(told, expected)| told.contains(expected)), "{other:?}: {told:?}");
        }
    }

    #[test]
    fn nothing_of_a_family_that_is_off_is_an_overlap() {
        let mut desired = compile(&policy(&[], ""), Layout::IptablesNat);
        desired.tables.truncate(1);
        let nat_chains = vec![nat_chain(IP6, "t", 200, true)];
        let observed = Observed { nat_chains, legacy: Family::ALL.to_vec(), ..Observed::default() };
        assert_eq!(nat_overlaps(&desired, &observed), [NatOverlap::Legacy(Family::Ipv4)]);
    }
}
