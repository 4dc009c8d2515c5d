//! A line of flags and a configuration file, through to the rules and what they decide.

#![no_main]

use ip_masq_agent::net::Protocol;
use ip_masq_agent::policy::{AddressType, Answer, Fingerprint, Packet, Policy, Transport, evaluate};
use ip_masq_agent::rules::render::{iptables_save, json, nft};
use ip_masq_agent::rules::{Layout, Match, Outcome, Protection, Ruleset, compile, trace};
use libfuzzer_sys::fuzz_target;

use fuzzing::policies::{edges, policy};

fuzz_target!(|input: &[u8]| {
    let Some(policy) = policy(input) else { return };
    let compat = compile(&policy, Layout::IptablesNat);
    let native = compile(&policy, Layout::OwnTable(Protection::Off));
    rendered(&compat, &native, Fingerprint::of(&policy));
    decided(&policy, &compat, &native);
});

/// Whatever is accepted can be printed, and nothing in it changes the structure of the text.
fn rendered(compat: &Ruleset, native: &Ruleset, fingerprint: Fingerprint) {
    for table in &compat.tables {
        let text = iptables_save(compat, table.id.family);
        let rules: usize = table.chains.iter().map(|chain| chain.rules.len()).sum();
        assert_eq!(text.lines().count(), 2 + table.chains.len() + rules, "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("-A ")).count(), rules, "{text}");
    }
    let text = nft(native);
    assert_eq!(text.matches('{').count(), text.matches('}').count(), "{text}");
    for ruleset in [compat, native] {
        let text = json(ruleset, fingerprint);
        let read: serde_json::Value = serde_json::from_str(&text).expect("JSON is printed");
        assert_eq!(read["tables"].as_array().map(Vec::len), Some(ruleset.tables.len()), "{text}");
    }
}

/// The policy, and the rules of both layouts, give one answer.
fn decided(policy: &Policy, compat: &Ruleset, native: &Ruleset) {
    let (other, tcp) = (Transport::Other, Transport::WithPorts(Protocol::Tcp));
    let cases = [(other, AddressType::Other), (tcp, AddressType::Other), (other, AddressType::Local)];
    for destination in edges(policy) {
        for (protocol, destination_type) in cases {
            let (protocol, destination_type) = (Some(protocol), Some(destination_type));
            let packet = Packet { protocol, destination_type, ..Packet::to(destination) };
            let answer = evaluate(policy, &packet);
            let expected = match answer {
                Answer::Kept(_) | Answer::NotConcerned => Outcome::Kept,
                Answer::Masqueraded(_) => Outcome::Masqueraded,
                Answer::DependsOn(field) => panic!("{packet:?} lacks its {field}"),
            };
            let meets_a_rule = policy.treats(packet.family) && destination_type == Some(AddressType::Other);
            for ruleset in [compat, native] {
                let trace = trace(ruleset, &packet);
                assert_eq!(trace.outcome, expected, "{packet:?}");
                assert_eq!(!trace.by.is_empty(), meets_a_rule, "{packet:?}");
                if let (Answer::Kept(index) | Answer::Masqueraded(index), Some(by)) = (answer, trace.by.first()) {
                    let decision = policy.first_of(by.rule.decisions(), &packet).expect("the rule names its decision");
                    assert!(std::ptr::eq(decision, &raw const policy.decisions[index]), "{packet:?}");
                }
            }
            if let (Answer::Kept(index), true) = (answer, meets_a_rule) {
                let range = policy.decisions[index].kept_destination().expect("only destinations are kept");
                let by = trace(compat, &packet).by;
                let condition = (!range.is_everything()).then(|| Match::destination(range));
                assert_eq!(by[0].rule.matches(), condition.as_slice(), "{packet:?}");
            }
        }
    }
}
