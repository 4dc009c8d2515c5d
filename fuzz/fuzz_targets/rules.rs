//! A line of flags and a configuration file, through to the rules and what they decide.

#![no_main]

use ip_masq_agent::net::{Family, Protocol};
use ip_masq_agent::policy::Policy;
use ip_masq_agent::rules::render::{iptables_save, json, nft};
use ip_masq_agent::rules::{Answer, Layout, Match, Packet, Protection, Ruleset, compile, trace};
use libfuzzer_sys::fuzz_target;

use fuzzing::policies::{edges, policy};

fuzz_target!(|input: &[u8]| {
    let Some(policy) = policy(input) else { return };
    let compat = compile(&policy, Layout::IptablesNat);
    let native = compile(&policy, Layout::OwnTable(Protection::Off));
    rendered(&compat, &native);
    decided(&policy, &compat, &native);
});

/// Whatever is accepted can be printed, and nothing in it changes the structure of the text.
fn rendered(compat: &Ruleset, native: &Ruleset) {
    for table in &compat.tables {
        let text = iptables_save(compat, table.id.family);
        let rules: usize = table.chains.iter().map(|chain| chain.rules.len()).sum();
        assert_eq!(text.lines().count(), 2 + table.chains.len() + rules, "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("-A ")).count(), rules, "{text}");
    }
    let text = nft(native);
    assert_eq!(text.matches('{').count(), text.matches('}').count(), "{text}");
    for ruleset in [compat, native] {
        let text = json(ruleset);
        let read: serde_json::Value = serde_json::from_str(&text).expect("JSON is printed");
        assert_eq!(read["tables"].as_array().map(Vec::len), Some(ruleset.tables.len()), "{text}");
    }
}

/// The policy, and the rules of both layouts, give one answer.
fn decided(policy: &Policy, compat: &Ruleset, native: &Ruleset) {
    for destination in edges(policy) {
        let is_treated = policy.families.iter().any(|family| family.family == Family::of(destination));
        let exemption = policy.exemption(destination);
        for (protocol, destination_is_local) in [(None, false), (Some(Protocol::Tcp), false), (None, true)] {
            let packet = Packet { protocol, destination_is_local, ..Packet::to(destination) };
            let is_kept = !is_treated || destination_is_local || exemption.is_some();
            let expected = if is_kept { Answer::Kept } else { Answer::Masqueraded };
            for ruleset in [compat, native] {
                let decision = trace(ruleset, &packet);
                assert_eq!(decision.answer, expected, "{packet:?}");
                let meets_a_rule = is_treated && !destination_is_local;
                assert_eq!(!decision.by.is_empty(), meets_a_rule, "{packet:?}");
            }
            if let Some(exemption) = exemption.filter(|_| !destination_is_local) {
                let by = trace(compat, &packet).by;
                let condition = (!exemption.cidr.is_everything()).then_some(Match::Destination(exemption.cidr));
                assert_eq!(by[0].rule.matches(), condition.as_slice(), "{packet:?}");
            }
        }
    }
}
