//! `deploy/alerts/`: Prometheus takes the rules and the configuration, each alert fires when it shall and not otherwise, and its
//! runbook is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use serde_json::Value;

use crate::promql::metrics_of;
use crate::support::daemon::Daemon;
use crate::support::http::{ADDRESS, get};
use crate::support::netns::Netns;
use crate::support::ran::Ran;
use crate::tools::{ROOT, output, python, unpacked};

const RULES: &str = "deploy/alerts/ip-masq-agent.rules.yaml";
const TESTS: &str = "tests/deploy/alerts.test.yaml";

/// What Prometheus' own tool says of files.
fn promtool(arguments: &[&str]) -> String {
    let mut promtool = unpacked("promtool");
    promtool.args(arguments);
    output(promtool)
}

fn yaml(path: &str) -> Value {
    let mut python = python();
    python.args(["-c", "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)", path]);
    serde_json::from_str(&output(python)).unwrap()
}

/// The alerts by their names.
fn alerts() -> BTreeMap<String, Value> {
    let rules = yaml(RULES);
    let rules = rules["groups"][0]["rules"].as_array().unwrap();
    rules.iter().map(|rule| (rule["alert"].as_str().unwrap().to_owned(), rule.clone())).collect()
}

/// The configuration without the one part that Debian's promtool is built without, and with the rules as they are found from
/// elsewhere.
fn without_discovery(mut config: Value) -> Value {
    let scrape = config["scrape_configs"][0].as_object_mut().unwrap();
    let discovery = scrape.remove("kubernetes_sd_configs").unwrap();
    assert_eq!(discovery, serde_json::json!([{"role": "pod", "namespaces": {"names": ["kube-system"]}}]));
    assert_eq!(config["rule_files"], serde_json::json!(["ip-masq-agent.rules.yaml"]));
    config["rule_files"] = serde_json::json!([format!("{ROOT}/{RULES}")]);
    config
}

#[test]
fn prometheus_takes_the_rules_and_the_scrape_configuration_and_each_alert_fires_when_it_shall() {
    assert!(promtool(&["check", "rules", RULES]).contains("SUCCESS"));
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), without_discovery(yaml("deploy/alerts/prometheus.yaml")).to_string()).unwrap();
    assert!(promtool(&["check", "config", file.path().to_str().unwrap()]).contains("SUCCESS"));
    assert!(promtool(&["test", "rules", TESTS]).contains("SUCCESS"));
    let tests = yaml(TESTS);
    let (mut fires, mut is_quiet) = (BTreeSet::new(), BTreeSet::new());
    for test in tests["tests"].as_array().unwrap().iter().flat_map(|test| test["alert_rule_test"].as_array().unwrap()) {
        let name = test["alertname"].as_str().unwrap().to_owned();
        if test["exp_alerts"].as_array().unwrap().is_empty() {
            is_quiet.insert(name)
        } else {
            fires.insert(name)
        };
    }
    let all: BTreeSet<String> = alerts().into_keys().collect();
    assert_eq!((&fires, &is_quiet), (&all, &all), "every alert is tested both ways");
}

#[test]
fn each_alert_says_what_it_is_about_and_where_to_read_on_and_names_only_metrics_that_there_are() {
    let documentation = fs::read_to_string(format!("{ROOT}/docs/operations.md")).unwrap();
    let sections: BTreeSet<String> = documentation
        .lines()
        .filter_map(|line| line.strip_prefix("### ").filter(|title| title.starts_with("IpMasqAgent")))
        .map(str::to_owned)
        .collect();
    let alerts = alerts();
    assert_eq!(
        alerts.keys().cloned().collect::<BTreeSet<_>>(),
        sections,
        "each alert has a section, and each section an alert"
    );
    for (name, alert) in alerts {
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning", "info"].contains(&severity), "{name}: {severity}");
        let annotation = |key: &str| alert["annotations"][key].as_str().unwrap_or_else(|| panic!("{name}: {key}"));
        assert!(annotation("summary").ends_with('.') && annotation("description").ends_with('.'), "{name}");
        assert_eq!(annotation("runbook_url"), format!("docs/operations.md#{}", name.to_lowercase()));
        let expression = alert["expr"].as_str().unwrap();
        let is_of_the_scrape = expression.contains("up{job=\"ip-masq-agent\"}");
        assert!(is_of_the_scrape || !metrics_of(expression).is_empty(), "{expression}");
    }
}

#[test]
fn the_prometheus_operator_gets_the_same_alerts() {
    let resource = yaml("deploy/alerts/prometheus-rule.yaml");
    assert_eq!(
        [&resource["apiVersion"], &resource["kind"]],
        ["monitoring.coreos.com/v1", "PrometheusRule"].map(Value::from).each_ref()
    );
    assert_eq!(resource["spec"], yaml(RULES));
}

/// The metrics in the older text format, which `promtool check metrics` reads: it knows neither `info` nor `stateset`, and has
/// the suffix in the names of counters.
fn in_the_older_format(text: &str) -> String {
    let (_, text) = text.split_once("\r\n\r\n").unwrap();
    let kinds: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let mut older = String::new();
    for line in text.lines().filter(|line| *line != "# EOF") {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words.as_slice() {
            ["#", what, name, rest] => {
                let (suffix, kind) = match kinds[name] {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    "stateset" => ("", "gauge"),
                    kind => ("", kind),
                };
                let rest = if *what == "TYPE" { kind } else { rest };
                writeln!(older, "# {what} {name}{suffix} {rest}").unwrap();
            }
            _ => writeln!(older, "{line}").unwrap(),
        }
    }
    older
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics() {
    let Some(netns) = Netns::new("promtool") else { return };
    let config = netns.write("config", "nonMasqueradeCIDRs: [10.0.0.0/8]\nresyncInterval: 1h\n");
    let flags = ["--listen", ADDRESS, "--metrics-ranges", "--snat-scan-interval=1h", "--enable-ipv6"];
    let mut agent = Daemon::start(&netns, &config, &flags);
    agent.wait_until_said("were changed and read back");
    agent.wait_until_said("answering /livez");
    let mut text = String::new();
    agent.wait_until("all is shown", || {
        text = get(&netns, "/metrics");
        ["ip_masq_agent_backend_info", "ip_masq_agent_snat_flows", "ip_masq_agent_new_flows_total"]
            .iter()
            .all(|name| text.contains(&format!("\n{name}{{")))
    });
    let mut promtool = unpacked("promtool");
    promtool.args(["check", "metrics"]);
    let told = Ran::with_input(promtool, &in_the_older_format(&text)).ended_with(0);
    assert_eq!((&*told.stdout, &*told.stderr), ("", ""), "{text}");
}
