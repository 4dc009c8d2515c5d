//! The pure core as a whole: policies compiled, compared with imagined kernels, and asked about packets.

use std::net::IpAddr;

use super::*;
use crate::net::{Cidr, PortRanges};
use crate::policy::{Exemption, FamilyPolicy, Origin, Policy};
use crate::rules::render::iptables_save;

/// A policy for both families with these exempt ranges.
pub(crate) fn policy(exempt: &[&str], to_ports: &str) -> Policy {
    let exempt: Vec<Exemption> =
        exempt.iter().map(|cidr| Exemption { cidr: cidr.parse().unwrap(), origin: Origin::Default }).collect();
    Policy {
        chain: ChainName::default(),
        families: Family::ALL
            .map(|family| {
                let exempt = exempt.iter().filter(|exemption| exemption.cidr.family() == family).copied().collect();
                FamilyPolicy { family, exempt }
            })
            .to_vec(),
        random_fully: true,
        to_ports: to_ports.parse::<PortRanges>().unwrap(),
    }
}

fn compat(policy: &Policy) -> Ruleset {
    compile(policy, Layout::IptablesNat)
}

#[test]
fn the_order_is_the_policys_and_masquerade_comes_last() {
    let ruleset = compat(&policy(&["192.168.0.0/16", "fd00::/8", "10.0.0.0/8", "0.0.0.0/0"], ""));
    let text = iptables_save(&ruleset, Family::Ipv4);
    let verdicts: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("-A IP-MASQ-AGENT ")).collect();
    assert!(verdicts[0].starts_with("-d 192.168.0.0/16 "));
    assert!(verdicts[1].starts_with("-d 10.0.0.0/8 "));
    assert!(verdicts[2].starts_with("-m comment ") && verdicts[2].ends_with("-j RETURN"), "0.0.0.0/0 is no condition");
    assert!(verdicts[3].ends_with("-j MASQUERADE --random-fully"));
    assert_eq!(verdicts.len(), 4);
    assert!(iptables_save(&ruleset, Family::Ipv6).contains("-A IP-MASQ-AGENT -d fd00::/8 "));
}

#[test]
fn each_port_range_takes_its_share_of_what_is_left() {
    let ruleset = compat(&policy(&[], "1024-1999,3000-3999,5000-5999"));
    let chances: Vec<Option<String>> = ruleset.tables[0].chains[1].rules[..3]
        .iter()
        .map(|rule| {
            rule.matches().iter().find_map(|condition| match condition {
                Match::Probability(probability) => Some(probability.to_string()),
                _ => None,
            })
        })
        .collect();
    assert_eq!(chances, [Some("0.32795698941".to_owned()), Some("0.50000000000".to_owned()), None]);
}

#[test]
fn a_rule_reads_the_same_in_whatever_order_its_conditions_come() {
    let conditions = [Match::Probability(Probability::of(1, 2).unwrap()), Match::Protocol(Protocol::Tcp)];
    let mut reversed = conditions.to_vec();
    reversed.reverse();
    assert_eq!(Rule::new(conditions.to_vec(), None, Verdict::Return), Rule::new(reversed, None, Verdict::Return));
}

#[test]
fn packets_are_answered_as_the_kernel_answers_them() {
    let ruleset = compat(&policy(&["10.0.0.0/8", "10.1.0.0/16", "fd00::/8"], "1024-2047,3000-3999"));
    let ask = |destination: &str, protocol: Option<Protocol>, destination_is_local: bool| {
        let destination: IpAddr = destination.parse().unwrap();
        let packet = Packet { protocol, destination_is_local, ..Packet::to(destination) };
        let decision = trace(&ruleset, &packet);
        let by: Vec<String> = decision.by.iter().map(|by| format!("{} {}:{}", by.table, by.chain, by.number)).collect();
        (decision.answer, by.join(", "))
    };
    let ours = |rules: &str| rules.to_owned();
    for (destination, protocol, local, answer, by) in [
        ("10.1.2.3", Some(Protocol::Tcp), false, Answer::Kept, "ip nat IP-MASQ-AGENT:1"),
        ("fd00::1", None, false, Answer::Kept, "ip6 nat IP-MASQ-AGENT:1"),
        ("192.0.2.1", Some(Protocol::Tcp), true, Answer::Kept, ""),
        (
            "192.0.2.1",
            Some(Protocol::Tcp),
            false,
            Answer::Masqueraded,
            "ip nat IP-MASQ-AGENT:3, ip nat IP-MASQ-AGENT:4",
        ),
        (
            "192.0.2.1",
            Some(Protocol::Sctp),
            false,
            Answer::Masqueraded,
            "ip nat IP-MASQ-AGENT:7, ip nat IP-MASQ-AGENT:8",
        ),
        ("192.0.2.1", None, false, Answer::Masqueraded, "ip nat IP-MASQ-AGENT:9"),
        ("2001:db8::1", None, false, Answer::Masqueraded, "ip6 nat IP-MASQ-AGENT:8"),
    ] {
        assert_eq!(ask(destination, protocol, local), (answer, ours(by)), "{destination} {protocol:?}");
    }
}

#[test]
fn the_rule_that_decides_and_the_exemption_of_the_policy_are_the_same_range() {
    let ranges = ["10.1.0.0/16", "10.0.0.0/8", "10.1.2.0/24", "172.16.0.0/12", "fd00:1::/32", "fd00::/8"];
    let policy = policy(&ranges, "");
    let ruleset = compat(&policy);
    for destination in ["10.1.2.3", "10.2.0.0", "172.31.255.255", "172.32.0.0", "fd00:1::1", "fd00:2::1", "fe00::"] {
        let destination: IpAddr = destination.parse().unwrap();
        let packet = Packet::to(destination);
        let decision = trace(&ruleset, &packet);
        let by_rule: Vec<Match> = match decision.answer {
            Answer::Kept => decision.by[0].rule.matches().to_vec(),
            Answer::Masqueraded => Vec::new(),
        };
        let by_policy: Vec<Match> = policy
            .exemption(destination)
            .map(|exemption: &Exemption| Match::Destination(exemption.cidr))
            .into_iter()
            .collect();
        assert_eq!(by_rule, by_policy, "{destination}");
    }
    assert_eq!(policy.exemption("0.0.0.1".parse().unwrap()), None);
    assert_eq!(Cidr::everything(Family::Ipv4).to_string(), "0.0.0.0/0");
}
