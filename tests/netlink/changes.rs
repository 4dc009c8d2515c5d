//! Rules and changes to them, in few words.

use std::borrow::Cow;

use ip_masq_agent::backend::nftables::{Action, Change, Generation};
use ip_masq_agent::backend::nftables::{Batch, Transaction};
use ip_masq_agent::net::{Family, InterfaceName, Mark, MarkBits, PortRange, Protocol};
use ip_masq_agent::policy::{Condition, PortField};
use ip_masq_agent::rules::{BaseChain, Masquerade, Match, Probability, Protection, Rule, TableId, Verdict};

pub(crate) const CHAIN: &str = "IP-MASQ-AGENT";

pub(crate) fn change(family: Family, action: Action) -> Change {
    Change { table: TableId::nat(family), action }
}

pub(crate) fn batch(expected: Option<Generation>, changes: &[Change]) -> Batch {
    let mut transaction = Transaction::begin(expected);
    for change in changes {
        transaction.push(change);
    }
    transaction.seal().unwrap()
}

/// Table, POSTROUTING and our chain.
pub(crate) fn create(family: Family) -> Vec<Change> {
    let postrouting = BaseChain::POSTROUTING.to_owned();
    vec![
        change(family, Action::CreateTable { protection: Protection::Off }),
        change(family, Action::CreateChain { chain: postrouting, base: Some(BaseChain::IPTABLES_POSTROUTING) }),
        change(family, Action::CreateChain { chain: CHAIN.to_owned(), base: None }),
    ]
}

pub(crate) fn append(family: Family, chain: &str, rule: Rule) -> Change {
    change(family, Action::Append { chain: chain.to_owned(), rule })
}

pub(crate) fn rule(matches: Vec<Match>, comment: &'static str, verdict: Verdict) -> Rule {
    Rule::new(matches, (!comment.is_empty()).then_some(Cow::Borrowed(comment)), verdict)
}

pub(crate) fn to(range: &str) -> Match {
    Match::destination(range.parse().unwrap())
}

pub(crate) fn from(range: &str) -> Match {
    Match::source(range.parse().unwrap())
}

pub(crate) fn masquerade(fully_random: bool, ports: Option<(u16, u16)>) -> Verdict {
    let ports = ports.map(|(first, last)| PortRange::new(first, last).unwrap());
    Verdict::Masquerade(Masquerade { fully_random, ports })
}

/// Every kind of rule that we write, with what follows on `-A CHAIN` in `iptables -S`.
pub(crate) fn every_kind(family: Family) -> Vec<(Rule, String)> {
    let half = Match::random(Probability::of(1, 2).unwrap().for_statistic());
    let mut kinds = vec![
        (rule(vec![], "", Verdict::Return), "-j RETURN".to_owned()),
        (
            rule(vec![Match::DESTINATION_NOT_LOCAL], "ip-masq-agent: a jump", Verdict::Jump(CHAIN.to_owned())),
            format!("-m comment --comment \"ip-masq-agent: a jump\" -m addrtype ! --dst-type LOCAL -j {CHAIN}"),
        ),
        (rule(vec![], "", masquerade(false, None)), "-j MASQUERADE".to_owned()),
        (
            rule(vec![Match::DESTINATION_NOT_LOCAL], "", masquerade(true, None)),
            "-m addrtype ! --dst-type LOCAL -j MASQUERADE --random-fully".to_owned(),
        ),
        (
            rule(vec![Match::protocol(Protocol::Tcp), half.clone()], "split", masquerade(true, Some((1024, 29_999)))),
            "-p tcp -m comment --comment split -m statistic --mode random --probability 0.50000000000 -j MASQUERADE \
             --to-ports 1024-29999 --random-fully"
                .to_owned(),
        ),
        (
            rule(vec![Match::protocol(Protocol::Udp)], "", masquerade(false, Some((7, 7)))),
            "-p udp -j MASQUERADE --to-ports 7".to_owned(),
        ),
    ];
    let ranges: &[&str] = match family {
        Family::Ipv4 => &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "198.51.100.0/24", "192.0.2.7/32"],
        Family::Ipv6 => &["fd00::/8", "fe80::/10", "2001:db8::/32", "64:ff9b::/96", "::1/128", "2000::/3"],
    };
    for range in ranges {
        kinds.push((rule(vec![to(range)], "kept", Verdict::Return), {
            format!("-d {range} -m comment --comment kept -j RETURN")
        }));
        kinds.push((rule(vec![to(range), Match::protocol(Protocol::Sctp)], "", Verdict::Return), {
            format!("-d {range} -p sctp -j RETURN")
        }));
        kinds.push((rule(vec![from(range)], "", Verdict::Return), format!("-s {range} -j RETURN")));
        kinds.push((
            rule(vec![from(range), to(ranges[0]), Match::protocol(Protocol::Tcp)], "", masquerade(true, None)),
            { format!("-s {range} -d {} -p tcp -j MASQUERADE --random-fully", ranges[0]) },
        ));
    }
    kinds.extend(of_fields(ranges[0]));
    kinds
}

/// Rules about fields other than addresses.
fn of_fields(range: &str) -> Vec<(Rule, String)> {
    let (source, destination) = (PortField::Source, PortField::Destination);
    let kept = |matches: Vec<Match>| rule(matches, "", Verdict::Return);
    let rules = [
        (kept(vec![leaves_on("eth0")]), "-o eth0 -j RETURN"),
        (kept(vec![leaves_on("br-0123456789ab")]), "-o br-0123456789ab -j RETURN"),
        (kept(vec![Condition::output_interface_other_than(name("eth0")).into()]), "! -o eth0 -j RETURN"),
        (kept(vec![leaves_on_any("veth")]), "-o veth+ -j RETURN"),
        (kept(vec![marked(0x1)]), "-m mark --mark 0x1 -j RETURN"),
        (kept(vec![marked_in(0x4000, 0xc000)]), "-m mark --mark 0x4000/0xc000 -j RETURN"),
        (kept(vec![marked_in(0, 0xff00_0000)]), "-m mark --mark 0x0/0xff000000 -j RETURN"),
        (kept(vec![Condition::mark_other_than(Mark::new(5)).into()]), "-m mark ! --mark 0x5 -j RETURN"),
        (kept(vec![port(destination, Protocol::Tcp, 80, 80)]), "-p tcp -m tcp --dport 80 -j RETURN"),
        (kept(vec![port(source, Protocol::Tcp, 0, 0)]), "-p tcp -m tcp --sport 0 -j RETURN"),
        (kept(vec![port(destination, Protocol::Udp, 80, 90)]), "-p udp -m udp --dport 80:90 -j RETURN"),
        (kept(vec![port(source, Protocol::Udp, 0, 9)]), "-p udp -m udp --sport 0:9 -j RETURN"),
        (kept(vec![port(destination, Protocol::Tcp, 1024, 65535)]), "-p tcp -m tcp --dport 1024:65535 -j RETURN"),
        (kept(vec![port(destination, Protocol::Sctp, 80, 80)]), "-p sctp -m sctp --dport 80 -j RETURN"),
        (
            kept(vec![port(source, Protocol::Sctp, 1, 2), port(destination, Protocol::Sctp, 80, 90)]),
            "-p sctp -m sctp --sport 1:2 --dport 80:90 -j RETURN",
        ),
        (
            kept(vec![port(source, Protocol::Tcp, 7, 7), port(destination, Protocol::Tcp, 8, 8)]),
            "-p tcp -m tcp --sport 7 --dport 8 -j RETURN",
        ),
    ];
    let mut rules: Vec<(Rule, String)> = rules.map(|(rule, text)| (rule, text.to_owned())).into();
    let several =
        vec![from(range), to(range), leaves_on("eth0"), port(destination, Protocol::Tcp, 80, 90), marked_in(1, 0xff)];
    rules.push((rule(several, "several", masquerade(true, Some((1024, 29_999)))), {
        format!(
            "-s {range} -d {range} -o eth0 -p tcp -m comment --comment several -m tcp --dport 80:90 \
             -m mark --mark 0x1/0xff -j MASQUERADE --to-ports 1024-29999 --random-fully"
        )
    }));
    rules
}

fn name(text: &str) -> InterfaceName {
    text.parse().unwrap()
}

pub(crate) fn leaves_on(interface: &str) -> Match {
    Condition::output_interface(name(interface)).into()
}

pub(crate) fn leaves_on_any(start: &str) -> Match {
    Condition::output_interface_beginning(name(start)).into()
}

pub(crate) fn marked(mark: u32) -> Match {
    Condition::mark(Mark::new(mark)).into()
}

pub(crate) fn marked_in(value: u32, mask: u32) -> Match {
    Condition::mark_bits(MarkBits::new(value, mask).unwrap()).into()
}

pub(crate) fn port(field: PortField, protocol: Protocol, first: u16, last: u16) -> Match {
    Condition::port(field, protocol, PortRange::new(first, last).unwrap()).into()
}
