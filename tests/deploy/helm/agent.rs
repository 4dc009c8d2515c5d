//! What the agent makes of the arguments and the files that the chart gives it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{JUDGED, cases, list, object, of_kind, text};
use crate::support::netns::AGENT;
use crate::support::ran::{Ran, command};

/// `render --format json` with these arguments and this file.
pub(super) fn render(arguments: impl IntoIterator<Item = String>, file: &str) -> Ran {
    let mut agent = command(AGENT);
    agent.args(arguments).args(["render", "--format=json", "--config=-"]);
    Ran::with_input(agent, file)
}

/// The arguments of a `DaemonSet`'s container, as kubelet gives them.
fn arguments(daemon_set: &Value) -> Vec<String> {
    let arguments = list(&daemon_set["spec"]["template"]["spec"]["containers"][0]["args"]);
    arguments.iter().map(|argument| text(argument).replace("$(HOST_IP)", "192.0.2.1")).collect()
}

/// The file that a `DaemonSet`'s pods read, if the chart makes it.
fn file<'a>(case: &'a Value, daemon_set: &Value) -> Option<&'a str> {
    let name = &daemon_set["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"];
    let config_map =
        of_kind(case, "ConfigMap").into_iter().find(|config_map| config_map["metadata"]["name"] == *name)?;
    Some(text(&config_map["data"]["config"]))
}

#[test]
fn the_agent_accepts_the_arguments_of_each_case() {
    for (name, case) in cases() {
        for daemon_set in of_kind(case, "DaemonSet") {
            let ran = render(arguments(daemon_set), "{}");
            assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""), "{name}");
        }
    }
}

#[test]
fn the_agent_reads_from_each_file_the_policy_of_the_values() {
    let mut number = 0;
    for (name, case) in cases() {
        let rings = case["values"]["rings"].as_array().cloned().unwrap_or_else(|| vec![Value::Null]);
        for (ring, daemon_set) in rings.iter().zip(of_kind(case, "DaemonSet")) {
            let Some(file) = file(case, daemon_set) else { continue };
            let config = if ring["config"].is_object() { &ring["config"] } else { &case["values"]["config"] };
            let of_the_chart = render(arguments(daemon_set), file);
            assert_eq!(of_the_chart.status, Some(0), "{name}: {}\n{file}", of_the_chart.stderr);
            let of_the_values = render(arguments(daemon_set), &config.to_string());
            let rules = |ran: &Ran| serde_json::from_str::<Value>(&ran.stdout).unwrap();
            assert_eq!(rules(&of_the_chart), rules(&of_the_values), "{name}: {file}");
            assert_eq!(exempt(&rules(&of_the_chart)), asked(config), "{name}: {file}");
            number += 1;
        }
    }
    assert!(number >= 7, "{number}");
}

/// The ranges that keep their source, but for link-local ones.
fn exempt(rules: &Value) -> BTreeSet<String> {
    let chains = list(&rules["tables"]).iter().flat_map(|table| list(&table["chains"]));
    let rules = chains.flat_map(|chain| list(&chain["rules"])).filter(|rule| rule["verdict"]["type"] == "return");
    let matches = rules.flat_map(|rule| list(&rule["matches"])).filter(|one| one["field"] == "destination");
    let ranges = matches.map(|one| text(&one["value"]).to_owned());
    ranges.filter(|range| !["169.254.0.0/16", "fe80::/10"].contains(&range.as_str())).collect()
}

fn asked(config: &Value) -> BTreeSet<String> {
    let defaults = || ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"].map(str::to_owned).into();
    let ranges = config["nonMasqueradeCIDRs"].as_array();
    ranges.map_or_else(defaults, |ranges| ranges.iter().map(|range| text(range).to_owned()).collect())
}

/// The flags that the chart sets by other values than `flags`, and those that no agent on a node has.
const NOT_AMONG_FLAGS: [&str; 9] =
    ["color", "config", "listen", "runtime-dir", "state-dir", "status-socket", "help", "sandbox", "version"];

#[test]
fn each_flag_of_the_agent_is_a_value_of_the_chart() {
    let mut help = command(AGENT);
    help.arg("help");
    let help = Ran::of(help).stdout();
    let words = help.lines().filter(|line| line.starts_with("  ")).flat_map(str::split_whitespace);
    let names = words.filter_map(|word| word.strip_prefix("--"));
    let of_the_agent: BTreeSet<&str> =
        names.map(|name| name.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next().unwrap()).collect();
    let flags = object(&JUDGED["schema"]["properties"]["flags"]["properties"]);
    let of_the_chart: BTreeSet<&str> = flags.keys().map(String::as_str).chain(NOT_AMONG_FLAGS).collect();
    assert_eq!(
        of_the_agent, of_the_chart,
        "each has to be in values.schema.json (flags), in tests/deploy/helm/values/everything.yaml, and in the list of \
         templates/_check.tpl; or here, if the chart sets it by another value"
    );
}

#[test]
fn each_flag_that_is_a_value_is_refused_as_an_argument() {
    let check = std::fs::read_to_string(super::path(super::CHART).join("templates/_check.tpl")).unwrap();
    for flag in object(&JUDGED["schema"]["properties"]["flags"]["properties"]).keys() {
        assert!(check.contains(&format!("\"{flag}\"")), "templates/_check.tpl does not know {flag}");
    }
}
