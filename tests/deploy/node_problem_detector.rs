//! `deploy/node-problem-detector/`: the configuration is one that node-problem-detector takes, and says the right thing of a
//! node in each state, as node-problem-detector works it out (`pkg/custompluginmonitor` of its source).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::daemon::Daemon;
use crate::support::files::rename_over;
use crate::support::http::ADDRESS;
use crate::support::netns::{AGENT, Netns};
use crate::support::ran::Ran;
use crate::support::{DEADLINE, wait_until};
use crate::tools::ROOT;

const FILE: &str = "deploy/node-problem-detector/ip-masq-agent.json";
const CONDITION: &str = "MasqueradeProblem";
const HEALTHY: &str = "MasqueradeInForce";
const UNHEALTHY: &str = "MasqueradeNotReady";
/// The longest status or message that the API server takes; its source has no smaller limit for a condition.
const LONGEST_MESSAGE: u64 = 4_096;

const GOOD: &str = "nonMasqueradeCIDRs: [10.0.0.0/8]\nresyncInterval: 1h\n";
const BROKEN: &str = "nonMasqueradeCIDRs:\n- 10.0.0.7/8\n";
const IN_THE_WAY: &str = "table ip nat { chain POSTROUTING { type filter hook postrouting priority 0; }; }";

fn configuration() -> Value {
    serde_json::from_str(&fs::read_to_string(format!("{ROOT}/{FILE}")).unwrap()).unwrap()
}

/// Seconds of a duration such as `30s`, the only form that the file needs.
fn seconds(value: &Value) -> u64 {
    let text = value.as_str().unwrap_or_else(|| panic!("{value} is no duration"));
    let (number, unit) = text.split_at(text.len() - 1);
    number.parse::<u64>().unwrap()
        * match unit {
            "s" => 1,
            "m" => 60,
            _ => panic!("{text}"),
        }
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn node_problem_detector_takes_the_configuration() {
    let config = configuration();
    let known = ["plugin", "pluginConfig", "source", "metricsReporting", "conditions", "rules"];
    assert_eq!(keys(&config), known.into());
    assert_eq!(config["plugin"], "custom");
    let global = &config["pluginConfig"];
    let known = ["invoke_interval", "timeout", "max_output_length", "enable_message_change_based_condition_update"];
    assert_eq!(keys(global), known.into());
    assert!(global["max_output_length"].as_u64().unwrap() <= LONGEST_MESSAGE);
    let timeout = seconds(&global["timeout"]);
    assert!(seconds(&global["invoke_interval"]) > timeout);
    let conditions: Vec<&str> =
        config["conditions"].as_array().unwrap().iter().map(|condition| condition["type"].as_str().unwrap()).collect();
    assert_eq!(conditions, [CONDITION]);
    assert_eq!(keys(&config["conditions"][0]), ["type", "reason", "message"].into());
    let rules = config["rules"].as_array().unwrap();
    for rule in rules {
        // A question is given up after three seconds.
        assert!((4..=timeout).contains(&seconds(&rule["timeout"])), "{rule}");
        assert_eq!(rule["path"], "/opt/ip-masq-agent/ip-masq-agent", "README.md says that it is mounted there");
        let reason = rule["reason"].as_str().unwrap();
        assert!(reason.chars().all(|letter| letter.is_ascii_alphabetic()) && reason.len() < 128, "{reason}");
        match rule["type"].as_str().unwrap() {
            "permanent" => assert_eq!(rule["condition"], CONDITION),
            "temporary" => assert!(rule.get("condition").is_none() && seconds(&rule["invoke_interval"]) > 0),
            other => panic!("{other} is no type of a rule"),
        }
    }
    // Of two rules for one condition, each would undo what the other says at every turn.
    assert_eq!(rules.iter().filter(|rule| rule["type"] == "permanent").count(), 1);
}

/// What node-problem-detector knows of a node.
struct Detector {
    config: Value,
    /// `False`, `True` or `Unknown`.
    status: &'static str,
    reason: String,
    message: String,
    /// How often the condition changed.
    changes: usize,
}

impl Detector {
    fn new() -> Self {
        let config = configuration();
        let [reason, message] =
            ["reason", "message"].map(|key| config["conditions"][0][key].as_str().unwrap().to_owned());
        Self { config, status: "False", reason, message, changes: 0 }
    }

    /// Calls all plugins once. Returns the events of temporary problems: reason and message.
    fn turn(&mut self, netns: &Netns) -> Vec<(String, String)> {
        let mut events = Vec::new();
        for rule in self.config["rules"].as_array().unwrap().clone() {
            let reason = rule["reason"].as_str().unwrap();
            let arguments: Vec<&str> =
                rule["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
            let Ran { status, stdout, .. } = netns.try_run(AGENT, &arguments, "");
            let message = stdout.trim().to_owned();
            assert!(message.lines().count() <= 1, "{message}");
            if rule["type"] == "temporary" {
                if status != Some(0) {
                    events.push((reason.to_owned(), message));
                }
                continue;
            }
            let default = &self.config["conditions"][0];
            let default = ["reason", "message"].map(|key| default[key].as_str().unwrap().to_owned());
            let [default_reason, default_message] = default;
            let (status, reason, message) = match status {
                Some(0) => ("False", default_reason, default_message),
                Some(1) => ("True", reason.to_owned(), message),
                _ => ("Unknown", default_reason, message),
            };
            let is_other =
                self.status != status || status == "True" && (&self.reason, &self.message) != (&reason, &message);
            if is_other {
                (self.status, self.reason, self.message) = (status, reason, message);
                self.changes += 1;
            }
        }
        events
    }
}

/// A node in a state.
struct Node {
    netns: Netns,
    config: PathBuf,
    flags: Vec<String>,
    daemon: Option<Daemon>,
}

impl Node {
    fn new(config: &str) -> Option<Self> {
        let netns = Netns::new("detector")?;
        let config = netns.write("config", config);
        Some(Self { netns, config, flags: Vec::new(), daemon: None })
    }

    /// Starts an agent, and waits until it can be asked.
    fn start(&mut self, said: &str) -> &mut Daemon {
        let mut flags = vec!["--listen", ADDRESS, "--backend=nft-compat"];
        flags.extend(self.flags.iter().map(String::as_str));
        let daemon = self.daemon.insert(Daemon::start(&self.netns, &self.config, &flags));
        daemon.wait_until_said("answering /livez");
        daemon.wait_until_said(said);
        daemon
    }
}

const IN_FORCE: &str = "were changed and read back";

/// Brings a node into the state that a problem names.
fn with_problem(problem: &str) -> Option<Node> {
    let mut node = Node::new(GOOD)?;
    match problem {
        "PolicyInvalid" => {
            node.start(IN_FORCE);
            rename_over(&node.config, BROKEN);
            node.daemon.as_mut().unwrap().wait_until_said("10.0.0.7/8");
        }
        "PolicyDegraded" => {
            // The file has gone while no agent was there, and the last valid configuration came from it.
            let state = node.netns.scratch().join("state");
            node.flags.push(format!("--state-dir={}", state.display()));
            node.start(IN_FORCE);
            wait_until(DEADLINE, "the configuration is saved", || state.join("last-known-good").exists());
            node.daemon = None;
            fs::remove_file(&node.config).unwrap();
            node.start("degraded until the configuration file can be used");
        }
        "RulesMissing" => {
            node.netns.nft(IN_THE_WAY);
            node.start("chain POSTROUTING of table ip nat is ");
        }
        "RulesContested" => {
            node.start(IN_FORCE);
            let daemon = node.daemon.as_mut().unwrap();
            for repairs in 1..=9 {
                node.netns.nft("flush ruleset");
                daemon.wait_until_said_times("and they were repaired", repairs);
            }
            daemon.wait_until_said("Repairs wait");
        }
        "KernelRefused" => {
            // The kernel takes no more than 1,024 hooks at a place.
            let mut table = "table inet full {\n".to_owned();
            for number in 0..1_024 {
                writeln!(table, "chain c{number} {{ type filter hook postrouting priority 300; }}").unwrap();
            }
            node.netns.nft(&(table + "}\n"));
            node.start("not in force");
        }
        _ => panic!("{problem}"),
    }
    Some(node)
}

#[test]
fn a_node_with_a_problem_has_the_condition_for_as_long_as_it_lasts_and_the_event_of_that_problem_alone() {
    let config = configuration();
    let rules = config["rules"].as_array().unwrap();
    let problems: Vec<&str> =
        rules.iter().filter(|rule| rule["type"] == "temporary").map(|rule| rule["reason"].as_str().unwrap()).collect();
    assert_eq!(problems, ["KernelRefused", "RulesMissing", "RulesContested", "PolicyInvalid", "PolicyDegraded"]);
    for problem in problems {
        let Some(mut node) = with_problem(problem) else { return };
        let mut detector = Detector::new();
        let daemon = node.daemon.as_mut().unwrap();
        daemon.wait_until(&format!("{problem} is shown"), || !detector.turn(&node.netns).is_empty());
        for _ in 0..3 {
            let events = detector.turn(&node.netns);
            let reasons: Vec<&str> = events.iter().map(|(reason, _)| &**reason).collect();
            assert_eq!(reasons, [problem], "{events:?}");
            assert!(events[0].1.starts_with(&format!("{problem}: ")), "{events:?}");
        }
        assert_eq!((detector.status, &*detector.reason), ("True", UNHEALTHY), "{problem}");
        assert!(detector.message.starts_with("not ready: "), "{}", detector.message);
        assert_eq!(detector.changes, 1, "{problem}: nothing goes back and forth");
    }
}

#[test]
fn a_node_whose_rules_are_in_force_has_no_problem_and_without_an_agent_it_is_not_known() {
    let Some(mut node) = Node::new(GOOD) else { return };
    let mut detector = Detector::new();
    assert_eq!(detector.turn(&node.netns), []);
    assert_eq!((detector.status, &*detector.reason), ("Unknown", HEALTHY));
    node.start(IN_FORCE);
    let daemon = node.daemon.as_mut().unwrap();
    daemon.wait_until("the node is ready", || {
        assert_eq!(detector.turn(&node.netns), []);
        detector.status == "False"
    });
    assert_eq!(detector.reason, HEALTHY);
    rename_over(&node.config, BROKEN);
    daemon.wait_until("the problem is shown", || !detector.turn(&node.netns).is_empty());
    rename_over(&node.config, GOOD);
    daemon.wait_until("it is over", || detector.turn(&node.netns).is_empty());
    assert_eq!((detector.status, &*detector.reason), ("False", HEALTHY));
}
