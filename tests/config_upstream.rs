//! The configuration file, against what upstream was recorded to make of it (`testdata/upstream/README.md`).

// Helpers of tests may panic as the tests themselves may: it is a failed test with a line number.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;

use ip_masq_agent::config::{self, Config, ConfigError, Context, Reading};
use ip_masq_agent::net::Cidr;
use serde_json::Value;

/// What stands in one of the files of `testdata/upstream`, one JSON value a line.
fn recorded(file: &str) -> Vec<Value> {
    let text = fs::read_to_string(format!("testdata/upstream/{file}")).unwrap();
    let cases: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!cases.is_empty(), "{file} is empty");
    cases
}

fn content(case: &Value) -> Vec<u8> {
    match &case["config_base64"] {
        Value::String(base64) => decode_base64(base64),
        _ => case["config"].as_str().unwrap().as_bytes().to_vec(),
    }
}

fn decode_base64(text: &str) -> Vec<u8> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits =
        text.chars().filter_map(|c| DIGITS.find(c)).flat_map(|digit| (0..6).rev().map(move |bit| digit >> bit & 1));
    bits.collect::<Vec<_>>()
        .chunks_exact(8)
        .map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | u8::try_from(*bit).unwrap()))
        .collect()
}

/// Where the recorded agent reads a file otherwise, and why we do not.
const DIFFERENT: [(&str, &str, &str); 6] = [
    ("cidr-null-element", "found null, expected a range", "upstream puts some default range in the place of null"),
    ("list-blank-elem", "found null, expected a range", "upstream puts some default range in the place of null"),
    ("json-elem-null", "found null, expected a range", "upstream puts some default range in the place of null"),
    ("mask-08", "leading zeros", "upstream creates the chain and the jump, but no rules, because iptables refuses /08"),
    ("dup-inf-overwritten", "infinite", "upstream forgets a doubled key's first value before it looks at it"),
    ("tag-timestamp-bad", "", "upstream checks points in time, which no key of ours has; here they are texts"),
];

/// Is it one of the differences, and just as it is described?
fn is_different(name: &str, result: &Result<Reading, ConfigError>) -> bool {
    DIFFERENT.iter().any(|(different, ours, _)| {
        *different == name
            && match result {
                Ok(_) => ours.is_empty(),
                Err(error) => !ours.is_empty() && error.to_string().contains(ours),
            }
    })
}

#[test]
fn each_recorded_file_gives_upstreams_outcome_and_ranges() {
    let mut checked = 0;
    for case in recorded("cases.jsonl").iter().filter(|case| case["file"] == "file" || case["file"] == "k8s") {
        let name = case["name"].as_str().unwrap();
        let has = |flag: &str| case["flags"].as_array().unwrap().iter().any(|given| given == flag);
        let context = Context { all_reserved_ranges: has("--nomasq-all-reserved-ranges"), ipv6: has("--enable-ipv6") };
        let result = config::parse(&content(case), &context);
        checked += 1;
        if is_different(name, &result) {
            continue;
        }
        match (case["outcome"].as_str().unwrap(), result) {
            ("config-error", Err(_)) => {}
            ("applied", Ok(reading)) => {
                assert_eq!(ranges_in_force(&reading.config, context), returned(case), "{name}");
            }
            // The flags are to blame, not the file.
            (outcome, Ok(_)) if outcome.starts_with("exited") || outcome == "rules-error" => {}
            (outcome, result) => panic!("{name}: upstream {outcome}, we {result:?}"),
        }
    }
    assert!(checked > 80, "only {checked} cases");
}

/// The destinations that the recorded rules return, per family.
fn returned(case: &Value) -> [Vec<String>; 2] {
    [("nat_v4", "0.0.0.0/0"), ("nat_v6", "::/0")].map(|(table, everything)| {
        let rules = case[table].as_array().unwrap().iter().map(|rule| rule.as_str().unwrap());
        let destination = |rule: &str| {
            rule.split_once(" -d ").map_or(everything, |(_, rest)| rest.split(' ').next().unwrap()).to_owned()
        };
        rules.filter(|rule| rule.ends_with("-j RETURN")).map(destination).collect()
    })
}

/// The same for a configuration: link-local first.
fn ranges_in_force(config: &Config, context: Context) -> [Vec<String>; 2] {
    let list = |is_ipv6: bool, link_local: &str, masqueraded: bool| {
        let first = (!masqueraded).then(|| link_local.to_owned());
        let cidrs = config.non_masquerade_cidrs.iter().map(|entry| entry.cidr);
        let rest = cidrs.filter(|cidr| cidr.network().is_ipv6() == is_ipv6).map(|cidr| cidr.to_string());
        first.into_iter().chain(rest).collect()
    };
    let ipv4 = list(false, "169.254.0.0/16", config.masq_link_local.value);
    let ipv6 = if context.ipv6 { list(true, "fe80::/10", config.masq_link_local_ipv6.value) } else { Vec::new() };
    [ipv4, ipv6]
}

#[test]
fn each_recorded_reading_is_ours_too() {
    let mut checked = 0;
    for case in recorded("readings.jsonl") {
        let name = case["name"].as_str().unwrap();
        let context = Context { all_reserved_ranges: false, ipv6: case["ipv6"] == true };
        let result = config::parse(&content(&case), &context);
        checked += 1;
        if is_different(name, &result) {
            continue;
        }
        match (&case["read"], result) {
            (Value::Null, Err(_)) => {}
            (Value::Object(read), Ok(Reading { config, .. })) => {
                let cidrs = read["nonMasqueradeCIDRs"].as_array().unwrap().iter();
                let cidrs: Vec<Cidr> = cidrs.map(|cidr| cidr.as_str().unwrap().parse().unwrap()).collect();
                let interval: config::Duration = read["resyncInterval"].as_str().unwrap().parse().unwrap();
                let ours: Vec<Cidr> = config.non_masquerade_cidrs.iter().map(|entry| entry.cidr).collect();
                assert_eq!(ours, cidrs, "{name}");
                assert_eq!(config.masq_link_local.value, read["masqLinkLocal"], "{name}");
                assert_eq!(config.masq_link_local_ipv6.value, read["masqLinkLocalIPv6"], "{name}");
                assert_eq!(config.resync_interval.value, interval.max(Config::MIN_RESYNC_INTERVAL), "{name}");
            }
            (_, result) => panic!("{name}: upstream {}, we {result:?}", case["error"]),
        }
    }
    assert!(checked > 300, "only {checked} cases");
}
