//! Rules for programs: a format with a version, apart from the types that the program itself works with. docs/json.md
//! describes it.
//!
//! The version rises whenever a program that reads the format may misread the new one. Keys, fields, tests and verdicts
//! that are added leave it as it is.

use serde::Serialize;

use crate::policy::{self, Fingerprint};
use crate::rules::{self, Field, Masquerade, Match, Protection, SetKind, Test, Verdict};

/// The version of the format.
const VERSION: u32 = 1;

/// The ruleset, and the fingerprint of the policy that it carries out, as indented JSON, with a newline at its end.
#[must_use]
pub fn json(ruleset: &rules::Ruleset, fingerprint: Fingerprint) -> String {
    // Maps with string keys and finite numbers only: nothing here can fail to serialise.
    let mut text = serde_json::to_string_pretty(&Ruleset::of(ruleset, fingerprint)).unwrap_or_default();
    text.push('\n');
    text
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ruleset<'a> {
    version: u32,
    policy_fingerprint: String,
    chain: String,
    tables: Vec<Table<'a>>,
}

#[derive(Serialize)]
struct Table<'a> {
    family: String,
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    protection: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sets: Vec<Set<'a>>,
    chains: Vec<Chain<'a>>,
}

#[derive(Serialize)]
struct Set<'a> {
    name: &'a str,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u32>,
    elements: Vec<String>,
}

#[derive(Serialize)]
struct Chain<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<BaseChain<'a>>,
    rules: Vec<Rule<'a>>,
}

#[derive(Serialize)]
struct BaseChain<'a> {
    r#type: &'a str,
    hook: &'static str,
    priority: i32,
}

#[derive(Serialize)]
struct Rule<'a> {
    matches: Vec<Condition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'a str>,
    verdict: Action<'a>,
}

/// A field of the packet, and what is asked of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    field: &'static str,
    test: &'static str,
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix_length: Option<u8>,
    /// Of which the ports are.
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<String>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Action<'a> {
    Return,
    Jump {
        chain: &'a str,
    },
    Masquerade {
        fully_random: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        ports: Option<String>,
    },
}

impl<'a> Ruleset<'a> {
    fn of(ruleset: &'a rules::Ruleset, fingerprint: Fingerprint) -> Self {
        Self {
            version: VERSION,
            policy_fingerprint: fingerprint.to_string(),
            chain: ruleset.chain.to_string(),
            tables: ruleset.tables.iter().map(Table::from).collect(),
        }
    }
}

impl<'a> From<&'a rules::Table> for Table<'a> {
    fn from(table: &'a rules::Table) -> Self {
        Self {
            family: table.id.family.to_string(),
            name: table.id.name.as_str(),
            protection: match table.protection {
                Protection::Off => None,
                Protection::OwnerPersist => Some("ownerPersist"),
            },
            sets: table.sets.iter().map(Set::from).collect(),
            chains: table.chains.iter().map(Chain::from).collect(),
        }
    }
}

impl<'a> From<&'a rules::Set> for Set<'a> {
    fn from(set: &'a rules::Set) -> Self {
        let (kind, size) = match set.kind {
            SetKind::Addresses { size } => ("addresses", Some(size)),
            SetKind::Intervals => ("intervals", None),
        };
        Self { name: &set.name, kind, size, elements: set.elements.iter().map(ToString::to_string).collect() }
    }
}

impl<'a> From<&'a rules::Chain> for Chain<'a> {
    fn from(chain: &'a rules::Chain) -> Self {
        let base = chain.base.as_ref().map(|base| BaseChain {
            r#type: &base.kind,
            hook: base.hook_name(),
            priority: base.priority,
        });
        Self { name: &chain.name, base, rules: chain.rules.iter().map(Rule::from).collect() }
    }
}

impl<'a> From<&'a rules::Rule> for Rule<'a> {
    fn from(rule: &'a rules::Rule) -> Self {
        let verdict = match rule.verdict() {
            Verdict::Return => Action::Return,
            Verdict::Jump(chain) => Action::Jump { chain },
            Verdict::Masquerade(Masquerade { fully_random, ports }) => {
                Action::Masquerade { fully_random: *fully_random, ports: ports.map(|ports| ports.to_string()) }
            }
        };
        Self { matches: rule.matches().iter().map(Condition::from).collect(), comment: rule.comment(), verdict }
    }
}

impl From<&Match> for Condition {
    fn from(condition: &Match) -> Self {
        let field = match condition.field() {
            Field::Packet(policy::Field::Source) => "source",
            Field::Packet(policy::Field::Destination) => "destination",
            Field::Packet(policy::Field::OutputInterface) => "outputInterface",
            Field::Packet(policy::Field::Protocol) => "protocol",
            Field::Packet(policy::Field::SourcePort) => "sourcePort",
            Field::Packet(policy::Field::DestinationPort) => "destinationPort",
            Field::Packet(policy::Field::Mark) => "mark",
            Field::Packet(policy::Field::DestinationType) => "destinationType",
            Field::Random => "random",
        };
        let (test, value) = match condition.test() {
            Test::Packet(policy::Test::Prefix(range)) => ("prefix", range.to_string()),
            Test::Packet(policy::Test::Equal(value)) => ("equal", value.to_string()),
            Test::Packet(policy::Test::NotEqual(value)) => ("notEqual", value.to_string()),
            Test::Packet(policy::Test::NamePrefix(start)) => ("prefix", start.to_string()),
            Test::Packet(policy::Test::Masked(bits)) => ("masked", bits.to_string()),
            Test::Packet(policy::Test::Range(_, ports)) => ("range", ports.to_string()),
            Test::InSet { set, .. } => ("inSet", set.to_owned()),
            Test::Below(probability) => ("below", probability.to_string()),
        };
        let prefix_length = condition.lookup().and_then(|lookup| lookup.prefix_len);
        let protocol = condition.ports().map(|(protocol, _)| protocol.to_string());
        Self { field, test, value, prefix_length, protocol }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::policy::Fingerprint;
    use crate::rules::tests::policy;
    use crate::rules::{Layout, Protection, compile};

    #[test]
    fn sets_and_lookups_in_them_are_written_as_the_rules_of_our_own_tables_have_them() {
        let policy = policy(&["10.0.0.0/8", "fd00::/16"], "");
        let ruleset = compile(&policy, Layout::OwnTable(Protection::OwnerPersist));
        let fingerprint = Fingerprint::of(&policy);
        let read: Value = serde_json::from_str(&super::json(&ruleset, fingerprint)).unwrap();
        for (pointer, expected) in [
            ("/version", json!(1)),
            ("/policyFingerprint", json!(fingerprint.to_string())),
            ("/tables/0/name", json!("ip-masq-agent")),
            ("/tables/0/protection", json!("ownerPersist")),
            (
                "/tables/0/sets",
                json!([{"name": "exempt-8", "kind": "addresses", "size": 64, "elements": ["10.0.0.0"]}]),
            ),
            ("/tables/0/chains/0/base", json!({"type": "nat", "hook": "postrouting", "priority": 105})),
            (
                "/tables/0/chains/1/rules/0/matches",
                json!([{"field": "destination", "test": "inSet", "value": "exempt-8", "prefixLength": 8}]),
            ),
            ("/tables/1/family", json!("ip6")),
        ] {
            assert_eq!(read.pointer(pointer), Some(&expected), "{pointer} of {read:#}");
        }
    }
}
