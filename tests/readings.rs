//! Odd configuration files, against what upstream's reader was recorded to make of them (`testdata/upstream/README.md`).

// Helpers of tests may panic as the tests themselves may: it is a failed test with a line number.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[cfg(test)]
mod support;

use std::fs;

use ip_masq_agent::config::{self, Config, ConfigErrors, Context, Reading};
use ip_masq_agent::net::Cidr;
use serde_json::Value;

use support::decode_base64;

/// The recorded files, one JSON value a line.
fn recorded() -> Vec<Value> {
    let text = fs::read_to_string("testdata/upstream/readings.jsonl").unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn content(case: &Value) -> Vec<u8> {
    match &case["config_base64"] {
        Value::String(base64) => decode_base64(base64),
        _ => case["config"].as_str().unwrap().as_bytes().to_vec(),
    }
}

/// Where the recorded agent reads a file otherwise, and why we do not.
const DIFFERENT: [(&str, &str, &str); 8] = [
    ("list-blank-elem", "found null, expected a range", "upstream puts some default range in the place of null"),
    ("json-elem-null", "found null, expected a range", "upstream puts some default range in the place of null"),
    ("dup-inf-overwritten", "infinite", "upstream forgets a doubled key's first value before it looks at it"),
    ("dup-null-key-overwritten", "an empty key", "upstream forgets a doubled key's first value before it looks at it"),
    ("tag-timestamp-bad", "", "upstream checks points in time, which no key of ours has; here they are texts"),
    ("bom-twice-lines", "", "behind a second byte order mark upstream skips the first character of each line"),
    (
        "empty-mapping-as-key",
        "a list or a mapping as a key",
        "upstream takes {} for the document and what is behind it for nothing",
    ),
    ("empty-mapping-then-key", "no key where one is expected", "the same"),
];

/// Whether it is one of the differences, exactly as described.
fn is_different(name: &str, result: &Result<Reading, ConfigErrors>) -> bool {
    DIFFERENT.iter().any(|(different, ours, _)| {
        *different == name
            && match result {
                Ok(_) => ours.is_empty(),
                Err(error) => !ours.is_empty() && error.to_string().contains(ours),
            }
    })
}

#[test]
fn each_recorded_reading_is_ours_too() {
    let mut checked = 0;
    for case in recorded() {
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
                let second = config::Duration::from_secs(1);
                let floor =
                    if interval <= config::Duration::from_secs(0) { second } else { Config::MIN_RESYNC_INTERVAL };
                assert_eq!(config.resync_interval.value, interval.max(floor), "{name}");
            }
            (_, result) => panic!("{name}: upstream {}, we {result:?}", case["error"]),
        }
    }
    assert!(checked > 300, "only {checked} cases");
}
