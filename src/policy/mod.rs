//! Configuration and flags to decisions: what keeps its source, and how everything else is masqueraded.

use std::net::IpAddr;

use crate::config::{Config, Context, Location};
use crate::net::{ChainName, Cidr, Family, PortRanges};

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
    /// Is traffic of this family masqueraded at all?
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

/// What becomes of outbound traffic: the decisions, not yet the rules that carry them out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The chain that carries the rules.
    pub chain: ChainName,
    /// The families that are treated, IPv4 first.
    pub families: Vec<FamilyPolicy>,
    /// Are source ports drawn at random?
    pub random_fully: bool,
    /// The source ports to use; empty for all.
    pub to_ports: PortRanges,
}

/// The decisions for one address family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FamilyPolicy {
    /// Which family.
    pub family: Family,
    /// The destinations to which traffic keeps its source: link-local first, then the file's order.
    pub exempt: Vec<Exemption>,
}

/// A range of destinations to which traffic keeps its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemption {
    /// The range.
    pub cidr: Cidr,
    /// Who said so.
    pub origin: Origin,
}

/// Where an exemption comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The family's link-local range, which is exempt unless the key (`masqLinkLocal`, …) says otherwise.
    LinkLocal,
    /// The default of `nonMasqueradeCIDRs`.
    Default,
    /// A part of a configuration file.
    File(Location),
}

impl Policy {
    /// The decisions that a configuration and the flags make together.
    #[must_use]
    pub fn new(config: &Config, flags: &Flags) -> Self {
        Self {
            chain: flags.chain.clone(),
            families: Family::ALL
                .into_iter()
                .filter(|family| flags.treats(*family))
                .map(|family| FamilyPolicy::new(family, config))
                .collect(),
            random_fully: flags.random_fully,
            to_ports: flags.to_ports.clone(),
        }
    }

    /// The exemption that holds for a destination: the first in order, as in the rules.
    #[must_use]
    pub fn exemption(&self, destination: IpAddr) -> Option<&Exemption> {
        let family = self.families.iter().find(|policy| policy.family == Family::of(destination))?;
        family.exempt.iter().find(|exemption| exemption.cidr.contains(destination))
    }
}

impl FamilyPolicy {
    fn new(family: Family, config: &Config) -> Self {
        let masquerade_link_local = match family {
            Family::Ipv4 => config.masq_link_local.value,
            Family::Ipv6 => config.masq_link_local_ipv6.value,
        };
        let link_local =
            (!masquerade_link_local).then(|| Exemption { cidr: Cidr::link_local(family), origin: Origin::LinkLocal });
        let listed = config
            .non_masquerade_cidrs
            .iter()
            .filter(|entry| entry.cidr.family() == family)
            .map(|entry| Exemption { cidr: entry.cidr, origin: entry.location.map_or(Origin::Default, Origin::File) });
        Self { family, exempt: link_local.into_iter().chain(listed).collect() }
    }
}
