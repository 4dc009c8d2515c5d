//! What other programs have in the kernel that can undo what our rules decide.

use std::fmt;

use super::{BaseChain, Observed, Ruleset, TableId, TableName};
use crate::net::Family;
use crate::shown::Shown;

/// The families in which nf_tables keeps tables that can translate the sources of IPv4 or IPv6 packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableFamily {
    /// `ip` or `ip6`.
    Of(Family),
    /// `inet`: its chains see the packets of both.
    Inet,
}

/// A base chain of type nat at the postrouting hook, in a table that is not dormant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its table's family.
    pub family: TableFamily,
    /// Its table.
    pub table: String,
    /// Its name.
    pub chain: String,
    /// Its priority.
    pub priority: i32,
    /// Does it drop what none of its rules decides (`policy drop`)?
    pub drops: bool,
}

/// Something of somebody else's that can undo what our rules decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rivalry {
    /// A chain that runs after ours, or nobody knows when: what ours exempt, it may still masquerade.
    Translates {
        /// The chain.
        neighbour: Neighbour,
        /// The priority of ours.
        ours: i32,
    },
    /// A chain that drops the packets that ours exempt.
    Drops(Neighbour),
    /// The nat table of iptables-legacy, which nf_tables does not list.
    Legacy(Family),
}

/// What can undo what the desired rules decide. A chain that runs before ours decides first, as a rule that stands before ours
/// would.
#[must_use]
pub fn rivalries(desired: &Ruleset, observed: &Observed) -> Vec<Rivalry> {
    let mut rivalries = Vec::new();
    for table in &desired.tables {
        let family = table.id.family;
        let neighbours = || observed.neighbours.iter().filter(move |neighbour| neighbour.family.has(family));
        for base in table.chains.iter().filter_map(|chain| chain.base.as_ref()) {
            let others = neighbours().filter(|other| !other.is_in(table.id) && other.priority >= base.priority);
            rivalries.extend(others.map(|other| Rivalry::Translates { neighbour: other.clone(), ours: base.priority }));
        }
        // In a table of our own the policy is mended.
        let drops = neighbours().filter(|other| other.drops && !other.is_in(TableId::own(family)));
        rivalries.extend(drops.cloned().map(Rivalry::Drops));
        if observed.legacy.contains(&family) {
            rivalries.push(Rivalry::Legacy(family));
        }
    }
    // A chain of family inet was found for each of the two.
    let mut once: Vec<Rivalry> = Vec::new();
    for rivalry in rivalries {
        if !once.contains(&rivalry) {
            once.push(rivalry);
        }
    }
    once
}

impl TableFamily {
    /// Those whose tables are looked at.
    pub const ALL: [Self; 3] = [Self::Of(Family::Ipv4), Self::Of(Family::Ipv6), Self::Inet];

    /// Do chains of it see packets of this family?
    #[must_use]
    pub fn has(self, family: Family) -> bool {
        self == Self::Inet || self == Self::Of(family)
    }
}

impl From<Family> for TableFamily {
    fn from(family: Family) -> Self {
        Self::Of(family)
    }
}

impl Neighbour {
    /// The part that concerns us of a base chain; `None` if it is not of type nat at the postrouting hook.
    #[must_use]
    pub fn of(family: TableFamily, table: String, chain: String, base: &BaseChain, drops: bool) -> Option<Self> {
        let translates = base.kind == "nat" && base.hook == BaseChain::HOOK_POSTROUTING;
        translates.then_some(Self { family, table, chain, priority: base.priority, drops })
    }

    fn is_in(&self, table: TableId) -> bool {
        self.family == TableFamily::Of(table.family) && self.table == table.name.as_str()
    }
}

impl fmt::Display for TableFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(family) => family.fmt(f),
            Self::Inet => f.write_str("inet"),
        }
    }
}

impl fmt::Display for Rivalry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Translates { neighbour: Neighbour { family, table, chain, priority, .. }, ours } => {
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
            Self::Drops(Neighbour { family, table, chain, .. }) => {
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
    use crate::ruleset::tests::policy;
    use crate::ruleset::{Protection, Shape, compile};

    const IP: TableFamily = TableFamily::Of(Family::Ipv4);
    const IP6: TableFamily = TableFamily::Of(Family::Ipv6);

    fn neighbour(family: TableFamily, table: &str, priority: i32, drops: bool) -> Neighbour {
        Neighbour { family, table: table.to_owned(), chain: "c".to_owned(), priority, drops }
    }

    #[test]
    fn what_can_undo_our_decisions_is_found_once_in_every_family_that_sees_our_packets() {
        let [compat, native] = [Shape::Compat, Shape::Native(Protection::Off)];
        for (shape, other, expected) in [
            (compat, neighbour(IP, "t", 99, false), &[][..]),
            (compat, neighbour(IP, "t", 100, false), &["table ip t translates sources too, at priority 100, which is"]),
            (compat, neighbour(IP6, "t", 101, false), &["table ip6 t translates sources too, at priority 101, after"]),
            (compat, neighbour(TableFamily::Inet, "t", 101, false), &["table inet t translates"]),
            (compat, neighbour(TableFamily::Inet, "nat", 101, false), &["table inet nat translates"]),
            (compat, neighbour(IP, "nat", 100, false), &[]),
            (compat, neighbour(IP, "nat", 100, true), &["table ip nat has the policy drop"]),
            (native, neighbour(IP, "nat", 100, true), &["table ip nat has the policy drop"]),
            (native, neighbour(IP, "nat", 100, false), &[]),
            (native, neighbour(IP, "ip-masq-agent", 105, true), &[]),
            (native, neighbour(TableFamily::Inet, "t", 0, true), &["table inet t has the policy drop"]),
        ] {
            let observed = Observed { neighbours: vec![other.clone()], ..Observed::default() };
            let found = rivalries(&compile(&policy(&[], ""), shape), &observed);
            let told: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(told.len(), expected.len(), "{other:?}: {told:?}");
            assert!(told.iter().zip(expected).all(|(told, expected)| told.contains(expected)), "{other:?}: {told:?}");
        }
    }

    #[test]
    fn nothing_of_a_family_that_is_off_is_a_rivalry() {
        let mut desired = compile(&policy(&[], ""), Shape::Compat);
        desired.tables.truncate(1);
        let neighbours = vec![neighbour(IP6, "t", 200, true)];
        let observed = Observed { neighbours, legacy: Family::ALL.to_vec(), ..Observed::default() };
        assert_eq!(rivalries(&desired, &observed), [Rivalry::Legacy(Family::Ipv4)]);
    }
}
