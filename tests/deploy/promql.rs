//! What stands in `PromQL` expressions: whether Prometheus takes them, and whether there is what they name.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::support::metrics::{Documented, documented};
use crate::tools::{output, unpacked};

/// Labels that come from the scrape, and of buckets.
const OF_THE_SCRAPE: [&str; 4] = ["cluster", "instance", "job", "le"];
/// Words in front of a list of labels in brackets.
const BEFORE_LABELS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// Fails if Prometheus does not take one of the expressions.
pub(crate) fn are_taken(expressions: &[String]) {
    let mut rules = "groups:\n- name: expressions\n  rules:\n".to_owned();
    for (number, expression) in expressions.iter().enumerate() {
        let expression = serde_json::Value::from(expression.as_str());
        writeln!(rules, "  - record: expression:{number}\n    expr: {expression}").unwrap();
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), rules).unwrap();
    let mut promtool = unpacked("promtool");
    promtool.args(["check", "rules"]).arg(file.path());
    assert!(output(promtool).contains(&format!("{} rules found", expressions.len())));
}

/// The metrics that an expression names. Fails if the agent has none of that name, or not with such a label.
pub(crate) fn metrics_of(expression: &str) -> BTreeSet<String> {
    let known = documented();
    let words: Vec<&str> = tokens(expression);
    let mut named = BTreeSet::new();
    let mut labels: BTreeSet<&str> = OF_THE_SCRAPE.into();
    for (at, word) in words.iter().enumerate() {
        let Some((name, metric)) = metric(word, &known) else {
            assert!(!word.starts_with("ip_masq_agent_") || is_label(&words, at), "{word} in {expression}");
            continue;
        };
        if is_label(&words, at) {
            continue;
        }
        named.insert(name);
        labels.extend(metric.labels.iter().map(String::as_str));
        if words.get(at + 1) == Some(&"{") {
            for label in listed(words.get(at + 2..).unwrap_or_default(), "}") {
                let is_known = metric.labels.contains(label) || OF_THE_SCRAPE.contains(&label);
                assert!(is_known, "{word} has no label {label}: {expression}");
            }
        }
    }
    for (at, word) in words.iter().enumerate() {
        if BEFORE_LABELS.contains(word) && words.get(at + 1) == Some(&"(") {
            for label in listed(words.get(at + 2..).unwrap_or_default(), ")") {
                assert!(labels.contains(label), "nothing has the label {label}: {expression}");
            }
        }
    }
    named
}

/// The metric of a name, which may be that of a histogram's sample.
fn metric<'a>(
    word: &str,
    known: &'a std::collections::BTreeMap<String, Documented>,
) -> Option<(String, &'a Documented)> {
    let of_histogram = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| word.strip_suffix(suffix));
    let found = |name: &str| known.get(name).map(|metric| (name.to_owned(), metric));
    let found_histogram = of_histogram.and_then(found).filter(|(_, metric)| metric.kind == "histogram");
    found(word).filter(|(_, metric)| metric.kind != "histogram").or(found_histogram)
}

/// Whether the word there stands for a label: one of them has the name of a metric.
fn is_label(words: &[&str], at: usize) -> bool {
    let is_compared = matches!(words.get(at + 1), Some(&("=" | "=~" | "!=" | "!~")));
    let before = words.get(..at).unwrap_or_default();
    let bracket = before.iter().rposition(|word| matches!(*word, "(" | ")"));
    let is_listed = bracket.is_some_and(|bracket| {
        before[bracket] == "(" && bracket.checked_sub(1).is_some_and(|word| BEFORE_LABELS.contains(&before[word]))
    });
    is_compared || is_listed
}

/// The labels up to a bracket.
fn listed<'a>(words: &[&'a str], end: &str) -> Vec<&'a str> {
    let inside = words.iter().take_while(|word| **word != end);
    inside.filter(|word| word.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')).copied().collect()
}

/// Names, brackets and operators; texts in quotation marks and white space are left out.
fn tokens(expression: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    for (number, part) in expression.split('"').enumerate() {
        if number % 2 == 1 {
            continue;
        }
        let mut rest = part;
        while let Some(first) = rest.chars().next() {
            let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
            let is_operator = |letter: char| "=~!<>".contains(letter);
            let len = if is_name(first) {
                rest.find(|letter| !is_name(letter)).unwrap_or(rest.len())
            } else if is_operator(first) {
                rest.find(|letter| !is_operator(letter)).unwrap_or(rest.len())
            } else {
                first.len_utf8()
            };
            let (token, behind) = rest.split_at(len);
            if !token.trim().is_empty() {
                tokens.push(token);
            }
            rest = behind;
        }
    }
    tokens
}

#[test]
fn a_name_or_a_label_that_there_is_not_is_noticed() {
    for (expression, expected) in [
        ("sum by (verdict) (rate(ip_masq_agent_new_flows_total{instance=\"a\"}[5m]))", "ip_masq_agent_new_flows_total"),
        ("ip_masq_agent_state{ip_masq_agent_state=\"ready\"} == 1", "ip_masq_agent_state"),
        ("sum by (ip_masq_agent_state) (ip_masq_agent_state)", "ip_masq_agent_state"),
        ("rate(ip_masq_agent_repair_delay_seconds_bucket[5m])", "ip_masq_agent_repair_delay_seconds"),
    ] {
        assert_eq!(metrics_of(expression), [expected.to_owned()].into(), "{expression}");
    }
    for wrong in [
        "ip_masq_agent_new_flows",
        "ip_masq_agent_repair_delay_seconds",
        "ip_masq_agent_commits_total{verdict=\"kept\"}",
        "sum by (verdict) (ip_masq_agent_commits_total)",
    ] {
        assert!(std::panic::catch_unwind(|| metrics_of(wrong)).is_err(), "{wrong}");
    }
}
