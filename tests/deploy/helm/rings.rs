//! Rings: each node is in one, for every combination of labels that a rendered affinity can tell apart.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{JUDGED, cases, list, of_kind, text};

/// The labels of a node.
type Labels<'a> = BTreeMap<&'a str, &'a str>;

/// A value that no requirement names.
const OTHER: &str = "something-else";

/// Whether a node selector selects a node, as Kubernetes documents it: one of the terms has to hold, of a term all
/// requirements, and a term without any holds for no node. `In` and `Exists` need the label;
/// `NotIn` and `DoesNotExist` hold without it.
fn selects(terms: &[Value], labels: &Labels<'_>) -> bool {
    terms.iter().any(|term| {
        let requirements = list(&term["matchExpressions"]);
        !requirements.is_empty() && requirements.iter().all(|requirement| meets(requirement, labels))
    })
}

fn meets(requirement: &Value, labels: &Labels<'_>) -> bool {
    let label = labels.get(text(&requirement["key"]));
    let is_among = |label: &&str| list(&requirement["values"]).iter().any(|value| value == label);
    match text(&requirement["operator"]) {
        "In" => label.is_some_and(is_among),
        "NotIn" => !label.is_some_and(is_among),
        "Exists" => label.is_some(),
        "DoesNotExist" => label.is_none(),
        other => panic!("{other} is not used"),
    }
}

/// The terms of a `DaemonSet`'s node affinity; `None` if it takes every node.
fn terms(daemon_set: &Value) -> Option<&[Value]> {
    let affinity = &daemon_set["spec"]["template"]["spec"]["affinity"]["nodeAffinity"];
    let selector = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")?;
    Some(list(&selector["nodeSelectorTerms"]))
}

/// Nodes with every combination of the labels in these terms: without each, with each value, and with another one.
fn nodes<'a>(terms: impl Iterator<Item = &'a Value>) -> Vec<Labels<'a>> {
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for requirement in terms.flat_map(|term| list(&term["matchExpressions"])) {
        let of_key = values.entry(text(&requirement["key"])).or_insert_with(|| BTreeSet::from([OTHER]));
        of_key.extend(requirement["values"].as_array().into_iter().flatten().map(text));
    }
    values.into_iter().fold(vec![Labels::new()], |nodes, (key, values)| {
        let with = |node: &Labels<'a>, value: &'a str| {
            let mut node = node.clone();
            node.insert(key, value);
            node
        };
        nodes.iter().flat_map(|node| values.iter().map(|value| with(node, value)).chain([node.clone()])).collect()
    })
}

/// Proves of a case that each node is in the first ring whose own terms select it, else in the last, and in no other. Returns
/// how many nodes were asked.
fn prove(name: &str, case: &Value) -> usize {
    let rings = list(&case["values"]["rings"]);
    let daemon_sets = of_kind(case, "DaemonSet");
    assert_eq!(daemon_sets.len(), rings.len(), "{name}");
    let nodes = nodes(rings.iter().filter_map(|ring| ring["nodeSelectorTerms"].as_array()).flatten());
    for node in &nodes {
        let expected = rings
            .iter()
            .position(|ring| ring["nodeSelectorTerms"].as_array().is_some_and(|terms| selects(terms, node)))
            .unwrap_or(rings.len() - 1);
        let found: Vec<usize> = daemon_sets
            .iter()
            .enumerate()
            .filter(|(_, daemon_set)| terms(daemon_set).is_none_or(|terms| selects(terms, node)))
            .map(|(index, _)| index)
            .collect();
        assert_eq!(found, [expected], "{name}: {node:?}");
    }
    nodes.len()
}

#[test]
fn each_node_is_in_one_ring_whatever_labels_it_has() {
    let mut asked = 0;
    for (name, case) in cases().iter().filter(|(_, case)| case["values"]["rings"].is_array()) {
        asked += prove(name, case);
    }
    for (number, case) in list(&JUDGED["random"]).iter().enumerate() {
        asked += prove(&format!("{number}: {}", case["values"]), case);
    }
    assert!(asked > 400, "{asked} nodes");
}

#[test]
fn the_evaluator_of_terms_does_as_kubernetes_documents() {
    let node = Labels::from([("a", "x")]);
    let cases = [
        ("[]", false, "no term"),
        (r#"[{"matchExpressions": []}]"#, false, "an empty term"),
        (r#"[{"matchExpressions": [{"key": "a", "operator": "In", "values": ["x", "z"]}]}]"#, true, "In"),
        (r#"[{"matchExpressions": [{"key": "a", "operator": "In", "values": ["z"]}]}]"#, false, "not In"),
        (r#"[{"matchExpressions": [{"key": "b", "operator": "In", "values": ["x"]}]}]"#, false, "In without the label"),
        (r#"[{"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["x"]}]}]"#, false, "not NotIn"),
        (
            r#"[{"matchExpressions": [{"key": "b", "operator": "NotIn", "values": ["x"]}]}]"#,
            true,
            "NotIn without the label",
        ),
        (r#"[{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]"#, true, "Exists"),
        (r#"[{"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}]"#, false, "not DoesNotExist"),
        (
            r#"[{"matchExpressions": [{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "Exists"}]}]"#,
            false,
            "requirements hold together",
        ),
        (
            r#"[{"matchExpressions": [{"key": "b", "operator": "Exists"}]}, {"matchExpressions": [{"key": "a", "operator": "Exists"}]}]"#,
            true,
            "terms are alternatives",
        ),
    ];
    for (terms, expected, what) in cases {
        let terms: Vec<Value> = serde_json::from_str(terms).unwrap();
        assert_eq!(selects(&terms, &node), expected, "{what}");
    }
}

#[test]
fn the_last_ring_is_the_daemonset_without_rings_so_that_a_switch_is_an_ordinary_rollout() {
    let alone = &of_kind(&cases()["defaults"], "DaemonSet")[0];
    for (name, case) in cases().iter().filter(|(_, case)| case["values"]["rings"].is_array()) {
        let daemon_sets = of_kind(case, "DaemonSet");
        let last = daemon_sets.last().unwrap();
        assert_eq!(last["metadata"]["name"], alone["metadata"]["name"], "{name}");
        assert_eq!(last["spec"]["selector"], alone["spec"]["selector"], "{name}");
        let selectors: BTreeSet<&str> =
            daemon_sets.iter().map(|set| text(&set["spec"]["selector"]["matchLabels"]["k8s-app"])).collect();
        assert_eq!(selectors.len(), daemon_sets.len(), "{name}: selectors of one DaemonSet select pods of another");
    }
}

#[test]
fn no_two_agents_of_different_rings_run_at_once_on_a_node() {
    for (name, case) in cases().iter().filter(|(_, case)| case["values"]["rings"].is_array()) {
        for daemon_set in of_kind(case, "DaemonSet") {
            let pod = &daemon_set["spec"]["template"];
            let affinity =
                &pod["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
            let kept_off = |labels: &Value| {
                list(affinity).iter().any(|term| {
                    let asked = term["labelSelector"]["matchLabels"].as_object().unwrap();
                    term["topologyKey"] == "kubernetes.io/hostname"
                        && asked.iter().all(|(label, value)| labels.get(label) == Some(value))
                })
            };
            for other in of_kind(case, "DaemonSet").into_iter().chain(of_kind(&cases()["defaults"], "DaemonSet")) {
                assert!(kept_off(&other["spec"]["template"]["metadata"]["labels"]), "{name}");
            }
            assert!(kept_off(&serde_json::json!({"k8s-app": "ip-masq-agent"})), "{name}: upstream's pods");
        }
    }
}

#[test]
fn rings_with_the_same_configuration_share_its_configmap() {
    let case = &cases()["rings"];
    let mounted = |ring: usize| {
        let volumes = &of_kind(case, "DaemonSet")[ring]["spec"]["template"]["spec"]["volumes"];
        text(&volumes[0]["configMap"]["name"]).to_owned()
    };
    assert_ne!(mounted(0), mounted(1));
    assert_eq!(mounted(1), mounted(2));
    assert_eq!(of_kind(case, "ConfigMap").len(), 2);
}
