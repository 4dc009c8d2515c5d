//! A table of our own, in few words.

use ip_masq_agent::backend::nftables::{Action, Change};
use ip_masq_agent::net::{AddressRange, Cidr, Family, Mark, Protocol};
use ip_masq_agent::policy::{AddressField, Condition, PortField};
use ip_masq_agent::rules::{BaseChain, Match, Probability, Protection, Rule, SetKind, TableId, Verdict};

use crate::changes::{CHAIN, from, leaves_on, leaves_on_any, marked, marked_in, masquerade, port, rule, to};

pub(crate) const TABLE: &str = "ip-masq-agent";
pub(crate) const INTERVALS: &str = "exempt";
pub(crate) const POSTROUTING: &str = "postrouting";

pub(crate) fn own(family: Family, action: Action) -> Change {
    Change { table: TableId::own(family), action }
}

pub(crate) fn create_table(family: Family, protection: Protection) -> Change {
    own(family, Action::CreateTable { protection })
}

pub(crate) fn create_set(family: Family, set: &str, kind: SetKind) -> Change {
    own(family, Action::CreateSet { set: set.to_owned(), kind })
}

pub(crate) fn add(family: Family, set: &str, kind: SetKind, elements: &[AddressRange]) -> Change {
    own(family, Action::AddElements { set: set.to_owned(), kind, elements: elements.to_vec().into() })
}

pub(crate) fn delete(family: Family, set: &str, kind: SetKind, elements: &[AddressRange]) -> Change {
    own(family, Action::DeleteElements { set: set.to_owned(), kind, elements: elements.to_vec().into() })
}

/// The set of single addresses behind a mask, and the mask's length.
pub(crate) fn addresses(family: Family) -> (&'static str, u8) {
    match family {
        Family::Ipv4 => ("exempt-24", 24),
        Family::Ipv6 => ("exempt-64", 64),
    }
}

/// Elements of every kind, both ends of the address space and neighbours included, sorted.
pub(crate) fn intervals(family: Family) -> Vec<AddressRange> {
    let between = |first: &str, last: &str| AddressRange::new(first.parse().unwrap(), last.parse().unwrap()).unwrap();
    let cidr = |text: &str| AddressRange::from(text.parse::<Cidr>().unwrap());
    match family {
        Family::Ipv4 => vec![
            cidr("0.0.0.0/8"),
            cidr("10.0.0.0/8"),
            between("192.168.0.3", "192.168.0.9"),
            cidr("192.168.0.10/32"),
            cidr("255.255.255.0/24"),
        ],
        Family::Ipv6 => vec![
            cidr("::/8"),
            cidr("2001:db8::/32"),
            between("fd00::3", "fd00::9"),
            cidr("fd00::a/128"),
            cidr("ffff::/16"),
        ],
    }
}

pub(crate) fn singles(family: Family) -> Vec<AddressRange> {
    let texts = match family {
        Family::Ipv4 => ["192.0.2.0", "198.51.100.0"],
        Family::Ipv6 => ["2001:db8::", "2001:db8:0:1::"],
    };
    texts.map(|text| AddressRange::single(text.parse().unwrap())).to_vec()
}

/// Table, both kinds of set with their elements, both chains; no rules.
pub(crate) fn create_own(family: Family, protection: Protection) -> Vec<Change> {
    let (set, _) = addresses(family);
    let base = BaseChain { priority: 110, ..BaseChain::IPTABLES_POSTROUTING };
    vec![
        create_table(family, protection),
        create_set(family, INTERVALS, SetKind::Intervals),
        create_set(family, set, SetKind::Addresses { size: 64 }),
        add(family, INTERVALS, SetKind::Intervals, &intervals(family)),
        add(family, set, SetKind::Addresses { size: 64 }, &singles(family)),
        own(family, Action::CreateChain { chain: CHAIN.to_owned(), base: None }),
        own(family, Action::CreateChain { chain: POSTROUTING.to_owned(), base: Some(base) }),
    ]
}

/// Every kind of rule of a table of our own, as `nft list` shows it. The first is the base chain's.
pub(crate) fn own_rules(family: Family) -> Vec<(Rule, String)> {
    let (set, prefix_len) = addresses(family);
    let (wide, masked, mask) = match family {
        Family::Ipv4 => ("10.0.0.0/8", "198.51.100.0/24", "255.255.255.0"),
        Family::Ipv6 => ("fd00::/8", "fe80::/10", "ffff:ffff:ffff:ffff::"),
    };
    let looked_up = |set: &str, prefix_len| Match::destination_in(set, prefix_len);
    let part = Match::random(Probability::of(28_976, 61_744).unwrap());
    let tcp = || Match::protocol(Protocol::Tcp);
    let counter = "counter packets 0 bytes 0";
    vec![
        (
            rule(vec![Match::DESTINATION_NOT_LOCAL], "a jump", Verdict::Jump(CHAIN.to_owned())),
            format!("fib daddr type != local {counter} jump {CHAIN} comment \"a jump\""),
        ),
        (
            rule(vec![looked_up(INTERVALS, None)], "kept", Verdict::Return),
            format!("{family} daddr @{INTERVALS} {counter} return comment \"kept\""),
        ),
        (
            rule(vec![looked_up(set, Some(prefix_len))], "", Verdict::Return),
            format!("{family} daddr & {mask} == @{set} {counter} return"),
        ),
        (rule(vec![to(wide)], "", Verdict::Return), format!("{family} daddr {wide} {counter} return")),
        (
            rule(vec![Match::in_set(AddressField::Source, set, Some(prefix_len))], "", Verdict::Return),
            format!("{family} saddr & {mask} == @{set} {counter} return"),
        ),
        (
            rule(vec![from(masked), looked_up(INTERVALS, None)], "", masquerade(true, None)),
            format!("{family} saddr {masked} {family} daddr @{INTERVALS} {counter} masquerade fully-random"),
        ),
        (
            rule(vec![to(masked), tcp()], "", Verdict::Return),
            format!("{family} daddr {masked} meta l4proto tcp {counter} return"),
        ),
        (
            rule(vec![tcp(), part], "split", masquerade(true, Some((1024, 29_999)))),
            format!(
                "meta l4proto tcp numgen random mod 61744 < 28976 {counter} masquerade to :1024-29999 fully-random \
                 comment \"split\""
            ),
        ),
        (
            rule(vec![Match::protocol(Protocol::Udp)], "", masquerade(false, Some((7, 7)))),
            format!("meta l4proto udp {counter} masquerade to :7"),
        ),
        (rule(vec![], "", masquerade(true, None)), format!("{counter} masquerade fully-random")),
        (rule(vec![], "", masquerade(false, None)), format!("{counter} masquerade")),
        (
            rule(vec![leaves_on("eth0"), marked(0x4000)], "", Verdict::Return),
            format!("oifname \"eth0\" meta mark 0x00004000 {counter} return"),
        ),
        (
            rule(vec![leaves_on_any("veth"), marked_in(0x4000, 0xc000)], "", Verdict::Return),
            format!("oifname \"veth*\" meta mark & 0x0000c000 == 0x00004000 {counter} return"),
        ),
        (
            rule(
                vec![Condition::output_interface_other_than("br-0123456789ab".parse().unwrap()).into()],
                "",
                Verdict::Return,
            ),
            format!("oifname != \"br-0123456789ab\" {counter} return"),
        ),
        (
            rule(vec![Condition::mark_other_than(Mark::new(5)).into()], "", masquerade(false, None)),
            format!("meta mark != 0x00000005 {counter} masquerade"),
        ),
        (
            rule(vec![port(PortField::Destination, Protocol::Sctp, 80, 80)], "", Verdict::Return),
            format!("sctp dport 80 {counter} return"),
        ),
        (
            rule(
                vec![port(PortField::Source, Protocol::Tcp, 7, 7), port(PortField::Destination, Protocol::Tcp, 8, 8)],
                "",
                Verdict::Return,
            ),
            format!("tcp sport 7 tcp dport 8 {counter} return"),
        ),
        (
            rule(
                vec![port(PortField::Source, Protocol::Udp, 0, 9), port(PortField::Destination, Protocol::Udp, 53, 53)],
                "",
                Verdict::Return,
            ),
            format!("udp sport 0-9 udp dport 53 {counter} return"),
        ),
        (
            rule(
                vec![looked_up(INTERVALS, None), port(PortField::Destination, Protocol::Tcp, 1024, 65535)],
                "",
                masquerade(true, Some((1024, 29_999))),
            ),
            format!(
                "{family} daddr @{INTERVALS} tcp dport 1024-65535 {counter} masquerade to :1024-29999 fully-random"
            ),
        ),
    ]
}

/// The changes that append these rules, the first to the base chain.
pub(crate) fn append_own(family: Family) -> Vec<Change> {
    let chains = [POSTROUTING].into_iter().chain(std::iter::repeat(CHAIN));
    let append =
        |(chain, (rule, _)): (&str, (Rule, String))| own(family, Action::Append { chain: chain.to_owned(), rule });
    chains.zip(own_rules(family)).map(append).collect()
}
