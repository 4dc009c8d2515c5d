//! Rules and changes to them, in few words.

use std::borrow::Cow;

use ip_masq_agent::backend::nftables::{Action, Change, Generation};
use ip_masq_agent::backend::nftables::{Batch, Transaction};
use ip_masq_agent::net::{Family, PortRange, Protocol};
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
    kinds
}
