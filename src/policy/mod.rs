//! Configuration and flags to decisions: what keeps its source, and how everything else is masqueraded; and the one evaluator
//! of them.

#[cfg(test)]
mod any;
mod condition;
mod evaluate;
mod few;
mod fingerprint;
mod packet;
#[cfg(test)]
pub(crate) mod tests;

pub use condition::{Condition, Holds, Selector, Test};
pub(crate) use evaluate::Doubts;
pub use evaluate::{Answer, Effect, evaluate};
pub(crate) use few::Few;
pub use fingerprint::Fingerprint;
pub use packet::{AddressField, AddressType, Field, Packet, PortField, Transport, Value};

use crate::config::{Config, Context, Location};
use crate::net::{AddressRange, ChainName, Cidr, Family, PortRanges};

/// Upstream's flags that decide about rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flags {
    /// `--masq-chain`: the chain that carries the rules.
    pub chain: ChainName,
    /// `--nomasq-all-reserved-ranges`: the default list has all reserved IPv4 ranges, not only RFC 1918's.
    pub all_reserved_ranges: bool,
    /// `--enable-ipv6`: IPv6 is treated as well.
    pub ipv6: bool,
    /// `--random-fully`: source ports are drawn at random.
    pub random_fully: bool,
    /// `--to-ports`: the source ports to use; empty for all.
    pub to_ports: PortRanges,
}

impl Default for Flags {
    /// Upstream's defaults.
    fn default() -> Self {
        Self {
            chain: ChainName::default(),
            all_reserved_ranges: false,
            ipv6: false,
            random_fully: true,
            to_ports: PortRanges::default(),
        }
    }
}

impl Flags {
    /// Whether traffic of this family is masqueraded at all.
    #[must_use]
    pub const fn treats(&self, family: Family) -> bool {
        match family {
            Family::Ipv4 => true,
            Family::Ipv6 => self.ipv6,
        }
    }
}

impl From<&Flags> for Context {
    fn from(flags: &Flags) -> Self {
        Self { all_reserved_ranges: flags.all_reserved_ranges, ipv6: flags.ipv6 }
    }
}

/// What happens to outbound traffic: the decisions, not yet the rules that carry them out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The chain that carries the rules.
    pub chain: ChainName,
    /// The families that are treated, IPv4 first. Nothing is decided about packets of other families.
    pub families: Vec<Family>,
    /// The decisions, of which the first that applies to a packet holds. A packet to which none applies keeps its
    /// source.
    pub decisions: Vec<Decision>,
}

/// One decision about packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    when: Selector,
    then: Action,
    origin: Origin,
}

/// What happens to a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It keeps its source.
    KeepSource,
    /// It leaves behind the node's address.
    Masquerade(Box<PortChoice>),
}

/// Which source port a masqueraded packet gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortChoice {
    /// It is drawn at random.
    pub random_fully: bool,
    /// It is one of these; empty for all.
    pub to_ports: PortRanges,
}

/// Where a decision comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The family's link-local range, which keeps its source unless the key (`masqLinkLocal`, …) says otherwise.
    LinkLocal,
    /// The default of `nonMasqueradeCIDRs`.
    Default,
    /// A part of a configuration file.
    File(Location),
    /// The last decision: all other traffic is masqueraded.
    EverythingElse,
}

/// Consecutive decisions of a policy. It takes eight bytes, because each of many rules has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecisionRange {
    first: u32,
    end: u32,
}

/// The decisions of a policy about one family, with those grouped that one lookup of the destination can carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Run<'a> {
    /// Traffic to these destinations keeps its source, whatever else it is. The ranges are sorted, and no two of them touch.
    KeptDestinations(Vec<AddressRange>, DecisionRange),
    /// A decision with other conditions or another action.
    Other(&'a Decision, DecisionRange),
}

impl Policy {
    /// The decisions that a configuration and the flags make together.
    #[must_use]
    pub fn new(config: &Config, flags: &Flags) -> Self {
        let families = Family::ALL.into_iter().filter(|family| flags.treats(*family)).collect();
        let masquerades_link_local = |family: &Family| match family {
            Family::Ipv4 => config.masq_link_local.value,
            Family::Ipv6 => config.masq_link_local_ipv6.value,
        };
        let link_local = Family::ALL.into_iter().filter(|family| !masquerades_link_local(family));
        let link_local = link_local.map(|family| (Cidr::link_local(family), Origin::LinkLocal));
        let listed = config.non_masquerade_cidrs.iter();
        let listed = listed.map(|entry| (entry.cidr, entry.location.map_or(Origin::Default, Origin::File)));
        let ports = PortChoice { random_fully: flags.random_fully, to_ports: flags.to_ports.clone() };
        Self::keeping(flags.chain.clone(), families, link_local.chain(listed), ports)
    }

    /// Traffic to some destinations keeps its source, and all else is masqueraded.
    #[must_use]
    pub fn keeping(
        chain: ChainName,
        families: Vec<Family>,
        destinations: impl IntoIterator<Item = (Cidr, Origin)>,
        ports: PortChoice,
    ) -> Self {
        let kept = destinations.into_iter().filter(|(range, _)| families.contains(&range.family()));
        let kept = kept.map(|(range, origin)| {
            Decision::keep_source(Condition::address(AddressField::Destination, range).into(), origin)
        });
        let masquerade = Decision::masquerade(&Selector::EVERYTHING, ports, Origin::EverythingElse);
        let decisions = kept.chain([masquerade]).collect();
        Self { chain, families, decisions }
    }

    /// Whether anything is decided about packets of this family.
    #[must_use]
    pub fn treats(&self, family: Family) -> bool {
        self.families.contains(&family)
    }

    /// The decision that holds for a packet: the first of these that applies to it.
    #[must_use]
    pub fn first_of(&self, range: DecisionRange, packet: &Packet) -> Option<&Decision> {
        let decisions = self.decisions.get(range.first as usize..range.end as usize).unwrap_or_default();
        decisions.iter().find(|decision| decision.when.holds(packet) == Holds::Yes)
    }

    /// The decisions about a family, in their order, each with its place.
    pub(crate) fn each(&self, family: Family) -> impl Iterator<Item = (&Decision, DecisionRange)> {
        let decisions = self.decisions.iter().enumerate();
        let about_family = decisions.filter(move |(_, decision)| decision.when.concerns(family));
        about_family.map(|(index, decision)| (decision, DecisionRange::new(index, 1)))
    }

    /// The decisions about a family, in their order, as a table with sets carries them out.
    pub(crate) fn runs(&self, family: Family) -> Vec<Run<'_>> {
        let mut runs = Vec::new();
        let (mut rest, mut first) = (self.decisions.as_slice(), 0);
        while let Some((decision, behind)) = rest.split_first() {
            let is_no_other =
                |decision: &&Decision| decision.kept_destination().is_some() || !decision.when.concerns(family);
            let (together, behind) = match rest.iter().take_while(is_no_other).count() {
                0 => {
                    runs.push(Run::Other(decision, DecisionRange::new(first, 1)));
                    (1, behind)
                }
                together => {
                    let (kept, behind) = rest.split_at(together);
                    let kept =
                        || kept.iter().filter_map(Decision::kept_destination).filter(|range| range.family() == family);
                    // There can be a hundred thousand of them, so the memory is allocated once.
                    let mut ranges = Vec::with_capacity(kept().count());
                    ranges.extend(kept().map(AddressRange::from));
                    if !ranges.is_empty() {
                        let ranges = AddressRange::merged(ranges);
                        runs.push(Run::KeptDestinations(ranges, DecisionRange::new(first, together)));
                    }
                    (together, behind)
                }
            };
            (rest, first) = (behind, first + together);
        }
        runs
    }
}

impl Decision {
    /// Such packets keep their source.
    #[must_use]
    pub const fn keep_source(when: Selector, origin: Origin) -> Self {
        Self { when, then: Action::KeepSource, origin }
    }

    /// Such packets are masqueraded, if they do not go to the node itself: no packet that does is ever masqueraded.
    #[must_use]
    pub fn masquerade(when: &Selector, ports: PortChoice, origin: Origin) -> Self {
        let mut conditions = when.conditions().to_vec();
        if !conditions.contains(&Condition::DESTINATION_IS_NOT_LOCAL) {
            conditions.push(Condition::DESTINATION_IS_NOT_LOCAL);
        }
        Self { when: Selector::all(conditions), then: Action::Masquerade(Box::new(ports)), origin }
    }

    /// The packets that it applies to.
    #[must_use]
    pub const fn when(&self) -> &Selector {
        &self.when
    }

    /// What happens to them.
    #[must_use]
    pub const fn then(&self) -> &Action {
        &self.then
    }

    /// Where it comes from.
    #[must_use]
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// The range of destinations, if traffic to them keeps its source whatever else it is.
    #[must_use]
    pub fn kept_destination(&self) -> Option<Cidr> {
        self.when.only_destination().filter(|_| self.then == Action::KeepSource)
    }
}

impl DecisionRange {
    fn new(first: usize, count: usize) -> Self {
        let index = |index| u32::try_from(index).unwrap_or(u32::MAX);
        Self { first: index(first), end: index(first.saturating_add(count)) }
    }
}
