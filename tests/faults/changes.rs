//! From which rules to which: every kind of transaction that the agent makes.

use std::net::Ipv4Addr;

use ip_masq_agent::backend::{BackendOption, Protect};
use ip_masq_agent::net::{ChainName, Cidr, Family, PortRanges};
use ip_masq_agent::policy::{Origin, Policy, PortChoice};
use ip_masq_agent::rules::{Layout, Ruleset, compile};

const WIDE: &[&str] = &["10.0.0.0/8", "203.0.113.0/24", "fd00::/8", "2001:db8:a::/48"];
/// Of the same lengths.
const OTHERS: &[&str] = &["10.0.0.0/8", "11.0.0.0/8", "198.51.100.0/24", "fc00::/8", "2001:db8:a::/48"];
/// Addresses of [`WIDE`] are in sets of other lengths here.
const NARROW: &[&str] = &["10.200.0.0/24", "203.0.0.0/8", "fd00:200::/48", "fc00::/8"];
/// More than there are hash sets for.
const MANY_LENGTHS: &[&str] = &[
    "10.0.0.0/9",
    "11.0.0.0/10",
    "12.0.0.0/11",
    "13.0.0.0/12",
    "14.0.0.0/13",
    "15.0.0.0/14",
    "10.200.0.0/15",
    "fd00:200::/48",
];

/// From 1,000 on a set is large.
const MANY: u32 = 1_100;

/// What should be in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// No table at all.
    Empty,
    /// Nothing of ours.
    Nothing,
    Rules(BackendOption, Protect, List),
}

/// The ranges that keep their source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    These(&'static [&'static str]),
    /// So many addresses that the agent does not list them again without need, from this one on.
    Many(u32),
    /// The same from the first one on, and so many ranges more.
    More(&'static [&'static str]),
}

pub(crate) struct Case {
    pub(crate) what: &'static str,
    pub(crate) old: Goal,
    pub(crate) new: Goal,
    /// Of so many points one is tried, where not all are.
    pub(crate) sample: usize,
    /// Of so many new rules the kernel sends back what it made of them. If of any, things go wrong with the answer to that commit
    /// only.
    pub(crate) echoes: usize,
}

impl Case {
    const fn new(what: &'static str, old: Goal, new: Goal) -> Self {
        Self { what, old, new, sample: 8, echoes: 0 }
    }
}

const fn compat(list: &'static [&'static str]) -> Goal {
    // Another layout is to be had, so that a fault could lead to it.
    Goal::Rules(BackendOption::Auto, Protect::Auto, List::These(list))
}

const fn native(protect: Protect, list: &'static [&'static str]) -> Goal {
    Goal::Rules(BackendOption::Nft, protect, List::These(list))
}

const fn many(first: u32) -> Goal {
    Goal::Rules(BackendOption::Nft, Protect::Auto, List::Many(first))
}

/// More rules than fit into one of the kernel's buffers, after the others.
const A_FEW_MORE: &[&str] = &[
    "11.0.0.0/24",
    "11.0.2.0/24",
    "11.0.4.0/24",
    "11.0.6.0/24",
    "11.0.8.0/24",
    "11.0.10.0/24",
    "11.0.12.0/24",
    "11.0.14.0/24",
    "11.0.16.0/24",
    "11.0.18.0/24",
    "11.0.20.0/24",
    "11.0.22.0/24",
    "11.0.24.0/24",
    "11.0.26.0/24",
    "11.0.28.0/24",
    "11.0.30.0/24",
    "11.0.32.0/24",
    "11.0.34.0/24",
    "11.0.36.0/24",
    "11.0.38.0/24",
    "11.0.40.0/24",
    "11.0.42.0/24",
    "11.0.44.0/24",
    "11.0.46.0/24",
];

const fn long(more: &'static [&'static str]) -> Goal {
    Goal::Rules(BackendOption::NftCompat, Protect::Off, List::More(more))
}

pub(crate) const CASES: [Case; 12] = [
    Case::new("an empty kernel to iptables' table", Goal::Empty, compat(WIDE)),
    Case::new("another list in iptables' table", compat(WIDE), compat(NARROW)),
    Case::new("iptables' table cleaned up", compat(WIDE), Goal::Nothing),
    Case::new("nothing to hash sets", Goal::Nothing, native(Protect::Auto, WIDE)),
    Case::new("nothing to an interval set", Goal::Nothing, native(Protect::Off, MANY_LENGTHS)),
    Case::new("other elements", native(Protect::Auto, WIDE), native(Protect::Auto, OTHERS)),
    Case::new("elements that move to other sets", native(Protect::Off, WIDE), native(Protect::Off, NARROW)),
    Case::new("hash sets to an interval set", native(Protect::Auto, WIDE), native(Protect::Auto, MANY_LENGTHS)),
    Case::new("iptables' table to tables of our own", compat(WIDE), native(Protect::Auto, WIDE)),
    Case::new("tables of our own cleaned up", native(Protect::Auto, WIDE), Goal::Nothing),
    Case { sample: 40, ..Case::new("other elements among many", many(0), many(10)) },
    Case {
        sample: 3,
        echoes: A_FEW_MORE.len(),
        ..Case::new("new rules of a long chain, which the kernel sends back", long(&[]), long(A_FEW_MORE))
    },
];

fn these(list: &'static [&'static str]) -> impl Iterator<Item = Cidr> {
    list.iter().map(|text| text.parse().unwrap())
}

fn many_from(first: u32) -> impl Iterator<Item = Cidr> {
    // Every other address, so that no two make one range.
    let address = |number| Ipv4Addr::from_bits(0x0a00_0000 + 2 * number);
    (first..first + MANY).map(move |number| Cidr::around(address(number).into(), 32).unwrap())
}

/// The rules that exempt a list, of both families, as a running agent has them.
pub(crate) fn rules(list: List, layout: Layout) -> Ruleset {
    let cidrs: Vec<Cidr> = match list {
        List::These(list) => these(list).collect(),
        List::Many(first) => many_from(first).collect(),
        List::More(more) => many_from(0).chain(these(more)).collect(),
    };
    let ports = PortChoice { random_fully: true, to_ports: PortRanges::default() };
    let exempt = cidrs.into_iter().map(|cidr| (cidr, Origin::Default));
    let policy = Policy::keeping(ChainName::default(), Family::ALL.to_vec(), exempt, ports);
    compile(&policy, layout)
}
