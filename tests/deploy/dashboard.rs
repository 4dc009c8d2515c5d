//! `deploy/alerts/grafana-dashboard.json`: what it asks Prometheus for is there, and its panels have places of their own.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::promql::{are_taken, metrics_of};
use crate::support::metrics::documented;
use crate::tools::ROOT;

fn dashboard() -> Value {
    let text = fs::read_to_string(format!("{ROOT}/deploy/alerts/grafana-dashboard.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// An expression with values in place of Grafana's variables.
fn filled(expression: &str) -> String {
    let filled = expression.replace("$__rate_interval", "5m").replace("$cluster", ".*").replace("$node", ".*");
    assert!(!filled.contains('$'), "{expression}");
    filled
}

#[test]
fn prometheus_takes_every_expression_and_the_agent_has_what_they_name() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let expressions: Vec<String> = targets.map(|target| filled(target["expr"].as_str().unwrap())).collect();
    are_taken(&expressions);
    let named: BTreeSet<String> = expressions.iter().flat_map(|expression| metrics_of(expression)).collect();
    assert!(expressions.iter().all(|expression| !metrics_of(expression).is_empty()));
    for wanted in [
        "ip_masq_agent_state",
        "ip_masq_agent_policy_info",
        "ip_masq_agent_new_flows_total",
        "ip_masq_agent_repairs_total",
        "ip_masq_agent_pass_duration_seconds",
        "ip_masq_agent_repair_delay_seconds",
        "ip_masq_agent_conntrack_entries",
        "ip_masq_agent_snat_port_saturation_ratio",
        "ip_masq_agent_build_info",
    ] {
        assert!(named.contains(wanted) && documented().contains_key(wanted), "{wanted}");
    }
    // Each legend names labels that its expression leaves.
    for target in panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()) {
        let (legend, expression) = (target["legendFormat"].as_str().unwrap(), target["expr"].as_str().unwrap());
        for label in legend.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap()) {
            let is_left = expression.contains(label) || !expression.contains(" by (");
            assert!(is_left, "{label} of {legend}: {expression}");
        }
    }
}

#[test]
fn the_variables_ask_for_what_is_there_and_no_data_source_is_named() {
    let dashboard = dashboard();
    assert!(dashboard.get("uid").is_none() && dashboard.get("id").is_none());
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 39);
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: Vec<&str> = variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["datasource", "cluster", "node"]);
    assert_eq!(variables[0]["type"], "datasource");
    for variable in &variables[1..] {
        let query = variable["query"]["query"].as_str().unwrap();
        let series = query.strip_prefix("label_values(").and_then(|rest| rest.rsplit_once(", ")).unwrap().0;
        let series = filled(series);
        assert_eq!(metrics_of(&series), ["ip_masq_agent_build_info".to_owned()].into());
        are_taken(&[series]);
    }
    let mut sources = Vec::new();
    collect(&dashboard, "datasource", &mut sources);
    assert!(sources.len() > 20);
    assert!(sources.iter().all(|source| source["uid"] == "${datasource}" && source["type"] == "prometheus"));
}

fn collect<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(entries) => {
            found.extend(entries.get(key));
            entries.values().for_each(|value| collect(value, key, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, key, found)),
        _ => {}
    }
}

#[test]
fn no_two_panels_have_the_same_number_or_overlap() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut numbers = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels {
        assert!(numbers.insert(panel["id"].as_u64().unwrap()), "{panel}");
        assert!(!panel["title"].as_str().unwrap().is_empty() && panel["description"].as_str().unwrap().ends_with('.'));
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
        assert!(x + w <= 24, "{panel}");
        for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(place), "{} overlaps at {place:?}", panel["title"]);
        }
        let references: BTreeSet<&str> =
            panel["targets"].as_array().unwrap().iter().map(|target| target["refId"].as_str().unwrap()).collect();
        assert_eq!(references.len(), panel["targets"].as_array().unwrap().len(), "{panel}");
    }
}
