//! The pure core as a whole: policies compiled, compared with imagined kernels, and asked about packets.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::net::Family;
use crate::net::{Cidr, Mark, MarkBits, PortRanges, Protocol};
use crate::policy::tests::{
    any_packet, any_policy, deciding, from, interface, keep, known_in_part, masquerade, port, to,
};
use crate::policy::{
    Action, AddressField, AddressType, Answer, Condition, Decision, Fingerprint, Origin, Packet, Policy, PortChoice,
    PortField, Selector, Transport, evaluate,
};
use crate::rules::render::{iptables_rule, iptables_save, nft_rule};

/// A policy for both families with these exempt ranges.
pub(crate) fn policy(exempt: &[&str], to_ports: &str) -> Policy {
    let ports = PortChoice { random_fully: true, to_ports: to_ports.parse::<PortRanges>().unwrap() };
    let exempt = exempt.iter().map(|range| (range.parse().unwrap(), Origin::Default));
    Policy::keeping(ChainName::default(), Family::ALL.to_vec(), exempt, ports)
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
    let probabilities: Vec<Option<String>> = ruleset.tables[0].chains[1].rules[..3]
        .iter()
        .map(|rule| rule.probability().map(|probability| probability.to_string()))
        .collect();
    assert_eq!(probabilities, [Some("0.32795698941".to_owned()), Some("0.50000000000".to_owned()), None]);
}

#[test]
fn a_rule_reads_the_same_in_whatever_order_its_conditions_come() {
    let conditions = [Match::random(Probability::of(1, 2).unwrap()), Match::protocol(Protocol::Tcp)];
    let mut reversed = conditions.to_vec();
    reversed.reverse();
    assert_eq!(Rule::new(conditions.to_vec(), None, Verdict::Return), Rule::new(reversed, None, Verdict::Return));
}

#[test]
fn packets_are_answered_as_the_kernel_answers_them() {
    let ruleset = compat(&policy(&["10.0.0.0/8", "10.1.0.0/16", "fd00::/8"], "1024-2047,3000-3999"));
    let ask = |destination: &str, protocol: Option<Protocol>, destination_is_local: bool| {
        let destination: IpAddr = destination.parse().unwrap();
        let destination_type = Some(if destination_is_local { AddressType::Local } else { AddressType::Other });
        let protocol = Some(protocol.map_or(Transport::Other, Transport::WithPorts));
        let trace = trace(&ruleset, &Packet { protocol, destination_type, ..Packet::to(destination) });
        let by: Vec<String> = trace.by.iter().map(|by| format!("{} {}:{}", by.table, by.chain, by.number)).collect();
        (trace.outcome, by.join(", "))
    };
    let ours = |rules: &str| rules.to_owned();
    for (destination, protocol, local, outcome, by) in [
        ("10.1.2.3", Some(Protocol::Tcp), false, Outcome::Kept, "ip nat IP-MASQ-AGENT:1"),
        ("fd00::1", None, false, Outcome::Kept, "ip6 nat IP-MASQ-AGENT:1"),
        ("192.0.2.1", Some(Protocol::Tcp), true, Outcome::Kept, ""),
        (
            "192.0.2.1",
            Some(Protocol::Tcp),
            false,
            Outcome::Masqueraded,
            "ip nat IP-MASQ-AGENT:3, ip nat IP-MASQ-AGENT:4",
        ),
        (
            "192.0.2.1",
            Some(Protocol::Sctp),
            false,
            Outcome::Masqueraded,
            "ip nat IP-MASQ-AGENT:7, ip nat IP-MASQ-AGENT:8",
        ),
        ("192.0.2.1", None, false, Outcome::Masqueraded, "ip nat IP-MASQ-AGENT:9"),
        ("2001:db8::1", None, false, Outcome::Masqueraded, "ip6 nat IP-MASQ-AGENT:8"),
    ] {
        assert_eq!(ask(destination, protocol, local), (outcome, ours(by)), "{destination} {protocol:?}");
    }
}

#[test]
fn the_rule_that_decides_and_the_decision_of_the_policy_are_about_the_same_range() {
    let ranges = ["10.1.0.0/16", "10.0.0.0/8", "10.1.2.0/24", "172.16.0.0/12", "fd00:1::/32", "fd00::/8"];
    let policy = policy(&ranges, "");
    let ruleset = compat(&policy);
    for destination in ["10.1.2.3", "10.2.0.0", "172.31.255.255", "172.32.0.0", "fd00:1::1", "fd00:2::1", "fe00::"] {
        let packet = Packet::to(destination.parse().unwrap());
        let trace = trace(&ruleset, &packet);
        let by_rule = match trace.outcome {
            Outcome::Kept => trace.by[0].rule.matches()[0].destinations(),
            Outcome::Masqueraded | Outcome::DependsOn(_) => None,
        };
        let by_policy = match evaluate(&policy, &packet) {
            Answer::Kept(index) => policy.decisions[index].kept_destination(),
            _ => None,
        };
        assert_eq!(by_rule, by_policy, "{destination}");
    }
    let unlisted = evaluate(&policy, &Packet::to("0.0.0.1".parse().unwrap()));
    assert!(matches!(unlisted, Answer::Masqueraded(6)) && matches!(policy.decisions[6].then(), Action::Masquerade(_)));
    assert_eq!(Cidr::everything(Family::Ipv4).to_string(), "0.0.0.0/0");
}

/// The ruleset of a policy in each of the layouts.
fn both(policy: &Policy) -> [Ruleset; 2] {
    [Layout::IptablesNat, Layout::OwnTable(Protection::Off)].map(|layout| compile(policy, layout))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_rules_of_both_layouts_do_with_every_packet_what_the_policy_says_and_name_the_decision(
        policy in any_policy(), packet in any_packet(),
    ) {
        let answer = evaluate(&policy, &packet);
        let (expected, decided_by) = match answer {
            Answer::Kept(index) => (Outcome::Kept, Some(index)),
            Answer::Masqueraded(index) => (Outcome::Masqueraded, Some(index)),
            Answer::NotConcerned => (Outcome::Kept, None),
            Answer::DependsOn(field) => panic!("the {field} is known"),
        };
        let is_local = packet.destination_type == Some(AddressType::Local);
        for ruleset in both(&policy) {
            let trace = trace(&ruleset, &packet);
            prop_assert_eq!(trace.outcome, expected, "{:#?}", &ruleset);
            // No rule of ours sees packets to the node itself.
            let decided_by = decided_by.filter(|_| !is_local);
            prop_assert_eq!(trace.by.is_empty(), decided_by.is_none());
            for by in &trace.by {
                let decision = policy.first_of(by.rule.decisions(), &packet);
                prop_assert_eq!(decision, decided_by.map(|index| &policy.decisions[index]), "{:#?}", &ruleset);
            }
        }
    }

    #[test]
    fn what_the_rules_say_of_a_packet_known_in_part_is_so_whatever_the_rest_is(
        policy in any_policy(), whole in any_packet(), known in any::<[bool; 7]>(),
    ) {
        let [source, destination, output_interface, protocol, source_port, destination_port, mark] = known;
        // Of packets whose destination may be the node the rules say less than the policy: none of ours sees them.
        let known = [source, destination, output_interface, protocol, source_port, destination_port, mark, true];
        let part = known_in_part(&whole, known);
        for ruleset in both(&policy) {
            let of_part = trace(&ruleset, &part);
            match of_part.outcome {
                Outcome::DependsOn(field) => {
                    prop_assert_eq!(part.value(field), None);
                    prop_assert!(!of_part.by.is_empty());
                }
                outcome => prop_assert_eq!(outcome, trace(&ruleset, &whole).outcome),
            }
        }
    }
}

#[test]
fn rules_are_equal_whichever_decisions_they_carry_out() {
    let [one, other] = [policy(&["10.0.0.0/8"], ""), policy(&["fd00::/8", "10.0.0.0/8"], "")]
        .map(|policy| compat(&policy).table(TableId::nat(Family::Ipv4)).unwrap().chains[1].rules.clone());
    assert_eq!(one, other);
    assert_ne!(one[0].decisions(), other[0].decisions());
    assert_eq!(one[0].clone().carrying_out(other[0].decisions()), one[0]);
}

#[test]
fn a_decision_with_conditions_is_a_rule_with_conditions_in_both_layouts() {
    let policy = deciding(vec![
        keep(&[to("192.0.2.0/24")]),
        keep(&[from("10.1.0.0/16"), to("198.51.100.0/24")]),
        keep(&[to("203.0.113.0/24")]),
        masquerade(&[from("10.0.0.0/8"), Condition::protocol(Protocol::Tcp)]),
    ]);
    let [compat, native] = both(&policy);
    let rules = |ruleset: &Ruleset, text: fn(&Rule) -> String| -> Vec<String> {
        ruleset.tables[0].chains[1].rules.iter().map(text).collect()
    };
    let iptables = |rule: &Rule| iptables_rule("C", rule).replace(rule.comment().unwrap(), "…");
    assert_eq!(
        rules(&compat, iptables),
        [
            "-A C -d 192.0.2.0/24 -m comment --comment \"…\" -j RETURN",
            "-A C -s 10.1.0.0/16 -d 198.51.100.0/24 -m comment --comment \"…\" -j RETURN",
            "-A C -d 203.0.113.0/24 -m comment --comment \"…\" -j RETURN",
            "-A C -s 10.0.0.0/8 -p tcp -m comment --comment \"…\" -j MASQUERADE --random-fully",
        ]
    );
    let nft = |rule: &Rule| nft_rule(Family::Ipv4, rule).replace(rule.comment().unwrap(), "…");
    assert_eq!(
        rules(&native, nft),
        [
            "ip daddr & 255.255.255.0 @exempt-24 counter return comment \"…\"",
            "ip saddr 10.1.0.0/16 ip daddr 198.51.100.0/24 counter return comment \"…\"",
            "ip daddr & 255.255.255.0 @exempt2-24 counter return comment \"…\"",
            "ip saddr 10.0.0.0/8 meta l4proto tcp counter masquerade fully-random comment \"…\"",
        ]
    );
    let sets: Vec<&str> = native.tables[0].sets.iter().map(|set| set.name.as_str()).collect();
    assert_eq!(sets, ["exempt-24", "exempt2-24"]);
}

#[test]
fn every_field_reads_as_iptables_nft_and_programs_write_it() {
    let (source, destination) = (PortField::Source, PortField::Destination);
    let bits = MarkBits::new(0x4000, 0xc000).unwrap();
    let eth0 = interface("eth0");
    let both_ports = [port(source, Protocol::Udp, 1, 2), port(destination, Protocol::Udp, 53, 53)];
    for (conditions, iptables, nft, json) in [
        (vec![Condition::output_interface(eth0)], "-o eth0", "oifname \"eth0\"", "outputInterface equal eth0"),
        (
            vec![Condition::output_interface_other_than(eth0)],
            "! -o eth0",
            "oifname != \"eth0\"",
            "outputInterface notEqual eth0",
        ),
        (
            vec![Condition::output_interface_beginning(interface("veth"))],
            "-o veth+",
            "oifname \"veth*\"",
            "outputInterface prefix veth",
        ),
        (vec![Condition::mark(Mark::new(5))], "-m mark --mark 0x5", "meta mark 0x00000005", "mark equal 0x5"),
        (
            vec![Condition::mark_other_than(Mark::new(5))],
            "-m mark ! --mark 0x5",
            "meta mark != 0x00000005",
            "mark notEqual 0x5",
        ),
        (
            vec![Condition::mark_bits(bits)],
            "-m mark --mark 0x4000/0xc000",
            "meta mark & 0x0000c000 == 0x00004000",
            "mark masked 0x4000/0xc000",
        ),
        (
            vec![port(destination, Protocol::Tcp, 80, 80)],
            "-p tcp -m tcp --dport 80",
            "tcp dport 80",
            "tcp destinationPort range 80",
        ),
        (
            vec![port(source, Protocol::Sctp, 80, 90), Condition::protocol(Protocol::Sctp)],
            "-p sctp -m sctp --sport 80:90",
            "sctp sport 80-90",
            "sctp sourcePort range 80-90",
        ),
        (
            both_ports.to_vec(),
            "-p udp -m udp --sport 1:2 --dport 53",
            "udp sport 1-2 udp dport 53",
            "udp sourcePort range 1-2, udp destinationPort range 53",
        ),
        (
            vec![port(destination, Protocol::Tcp, 1, 5), port(destination, Protocol::Tcp, 3, 9)],
            "-p tcp -m tcp --dport 1:5 -m tcp --dport 3:9",
            "tcp dport 1-5 tcp dport 3-9",
            "tcp destinationPort range 1-5, tcp destinationPort range 3-9",
        ),
        (
            vec![both_ports[1], Condition::mark(Mark::new(1)), Condition::output_interface(eth0), to("10.0.0.0/8")],
            "-d 10.0.0.0/8 -o eth0 -p udp -m udp --dport 53 -m mark --mark 0x1",
            "ip daddr 10.0.0.0/8 oifname \"eth0\" udp dport 53 meta mark 0x00000001",
            "destination prefix 10.0.0.0/8, outputInterface equal eth0, udp destinationPort range 53, mark equal 0x1",
        ),
    ] {
        let policy = deciding(vec![keep(&conditions)]);
        let [compat, native] = both(&policy);
        let rule = |ruleset: &Ruleset| ruleset.tables[0].chains[1].rules[0].clone();
        let comment = " -m comment --comment \"ip-masq-agent: local traffic is not subject to MASQUERADE\"";
        let shown = iptables_rule("C", &rule(&compat)).replace(comment, "");
        assert_eq!(shown, format!("-A C {iptables} -j RETURN"));
        let shown = nft_rule(Family::Ipv4, &rule(&native));
        assert_eq!(shown.split(" counter return").next(), Some(nft), "{shown}");
        let whole: serde_json::Value = serde_json::from_str(&render::json(&compat, Fingerprint::of(&policy))).unwrap();
        let matches = whole.pointer("/tables/0/chains/1/rules/0/matches").and_then(|matches| matches.as_array());
        let shown = matches.unwrap().iter().map(|condition| {
            let words = ["protocol", "field", "test", "value"].into_iter().filter_map(|key| condition[key].as_str());
            words.collect::<Vec<_>>().join(" ")
        });
        assert_eq!(shown.collect::<Vec<_>>().join(", "), json);
    }
}

#[test]
fn a_rule_that_asks_for_ports_asks_for_their_protocol_once() {
    let dns: Match = port(PortField::Destination, Protocol::Udp, 53, 53).into();
    let [tcp, udp] = [Protocol::Tcp, Protocol::Udp].map(Match::protocol);
    let rule = |matches: &[&Match]| Rule::new(matches.iter().copied().cloned().collect(), None, Verdict::Return);
    assert_eq!(rule(&[&udp, &dns]), rule(&[&dns]));
    assert_eq!(rule(&[&tcp, &dns]).matches(), [tcp, dns.clone()]);
    assert_ne!(rule(&[&udp]), rule(&[&dns]));
}

#[test]
fn a_rule_of_a_long_list_takes_little_memory_and_has_its_only_match_in_place() {
    assert!(size_of::<Match>() <= 24, "{}", size_of::<Match>());
    assert!(size_of::<Rule>() <= 40, "{}", size_of::<Rule>());
}

#[test]
fn ports_are_shared_by_the_flows_of_the_protocols_that_a_decision_is_about() {
    let protocols = |conditions: &[Condition]| -> Vec<String> {
        let ports = PortChoice { random_fully: true, to_ports: "7,9".parse().unwrap() };
        let decision = Decision::masquerade(&Selector::all(conditions.to_vec()), ports, Origin::EverythingElse);
        let ruleset = compat(&deciding(vec![decision]));
        let rules = ruleset.tables[0].chains[1].rules.iter().map(|rule| iptables_rule("", rule));
        rules.map(|rule| rule.split(" -m ").next().unwrap().to_owned()).collect()
    };
    assert_eq!(
        protocols(&[]),
        ["-A  -p tcp", "-A  -p tcp", "-A  -p udp", "-A  -p udp", "-A  -p sctp", "-A  -p sctp", "-A "]
    );
    assert_eq!(protocols(&[Condition::protocol(Protocol::Udp)]), ["-A  -p udp"; 3]);
    assert_eq!(protocols(&[port(PortField::Source, Protocol::Udp, 9, 9)]), ["-A  -p udp"; 3]);
}

#[test]
fn a_rule_whose_set_is_spread_over_others_becomes_one_for_each_way_to_be_in_them() {
    let part = |name: &str, prefix_len| SetPart { name: name.to_owned(), prefix_len };
    let parts = [part("a", Some(8)), part("b", None)];
    let (source, destination) = (AddressField::Source, AddressField::Destination);
    let rule = |matches| Rule::new(matches, None, Verdict::Return);
    let in_set = |field, part: &SetPart| Match::in_set(field, &part.name, part.prefix_len);
    let twice = rule(vec![Match::in_set(source, "s", None), Match::in_set(destination, "s", None)]);
    let pairs = parts.iter().flat_map(|one| parts.iter().map(move |other| (one, other)));
    let expected: Vec<Rule> =
        pairs.map(|(one, other)| rule(vec![in_set(source, one), in_set(destination, other)])).collect();
    assert_eq!(twice.looking_up_instead("s", &parts), expected);
    assert_eq!(twice.looking_up_instead("other", &parts), std::slice::from_ref(&twice));
    let renamed = rule(vec![Match::in_set(source, "t", None), Match::in_set(destination, "t", None)]);
    assert_eq!(twice.with_set_named("s", "t"), renamed);
    assert_eq!(twice.with_set_named("t", "u"), twice);
}
