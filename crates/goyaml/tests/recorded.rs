//! Odd files, against what upstream's readers were recorded to make of them (`testdata/upstream/README.md`): whether they refuse
//! the text, and what it says. What `ip-masq-agent` makes of that is its own test.

// Helpers of tests may panic as the tests themselves may: it is a failed test with a line number.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;

use goyaml::{Document, Value, names_field};
use serde_json::Value as Json;

/// Where upstream reads a file otherwise; `docs/decisions.md` says why.
const DIFFERENT: [&str; 6] = [
    "dup-inf-overwritten",
    "dup-null-key-overwritten",
    "tag-timestamp-bad",
    "bom-twice-lines",
    "empty-mapping-as-key",
    "empty-mapping-then-key",
];

/// How upstream's words begin for a text that is wrong in itself, whatever fields it is decoded into.
const REFUSED: [&str; 5] =
    ["yaml: ", "unsupported map key", "json: unsupported value", "invalid character", "unexpected end of JSON input"];

fn content(case: &Json) -> Vec<u8> {
    let Some(base64) = case["config_base64"].as_str() else {
        return case["config"].as_str().unwrap().as_bytes().to_vec();
    };
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0, 0);
    for digit in base64.trim_end_matches('=').chars() {
        bits = bits << 6 | alphabet.find(digit).unwrap();
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).unwrap());
        }
    }
    bytes
}

/// The value that `encoding/json` decodes last into that field, but for null, which leaves a single value as it is.
fn field<'t>(document: &'t Document<'t>, name: &str) -> Option<Value<'t>> {
    let Some(Value::Map(map)) = document.root().map(|root| root.value()) else { return None };
    let mut effective = map.effective();
    for pair in map.pairs().filter(|pair| names_field(&pair.name(), name)) {
        effective.add(pair);
    }
    effective.into_pairs().into_iter().map(|pair| pair.value.value()).rfind(|value| !matches!(value, Value::Null))
}

#[test]
fn each_recorded_text_is_refused_or_says_what_upstream_read() {
    let recorded = fs::read_to_string("../../testdata/upstream/readings.jsonl").unwrap();
    let (mut refused, mut read) = (0, 0);
    for case in recorded.lines() {
        let case: Json = serde_json::from_str(case).unwrap();
        let name = case["name"].as_str().unwrap();
        if DIFFERENT.contains(&name) {
            continue;
        }
        let content = content(&case);
        let document = goyaml::parse(&content);
        if let Some(error) = case["error"].as_str() {
            let is_wrong = REFUSED.iter().any(|start| error.starts_with(start));
            assert_eq!(document.is_err(), is_wrong, "{name}: upstream {error}, we {document:?}");
            refused += usize::from(is_wrong);
            continue;
        }
        let document = document.unwrap_or_else(|error| panic!("{name}: {error}"));
        for key in ["masqLinkLocal", "masqLinkLocalIPv6"] {
            if let Some(value) = field(&document, key) {
                assert!(matches!(value, Value::Bool(value) if value == case["read"][key]), "{name}: {value:?}");
                read += 1;
            }
        }
        if let Some(value) = field(&document, "nonMasqueradeCIDRs") {
            let Value::List(list) = value else { panic!("{name}: {value:?}") };
            let texts = list.filter_map(|entry| match entry.value() {
                Value::Text(text) => Some(text.into_owned()),
                _ => None,
            });
            let Json::Array(ours) = texts.collect() else { panic!("it is collected from texts") };
            let upstreams = case["read"]["nonMasqueradeCIDRs"].as_array().unwrap();
            // Upstream puts some default range in the place of null.
            if ours.len() == upstreams.len() {
                assert_eq!(&ours, upstreams, "{name}");
                read += 1;
            }
        }
    }
    assert!(refused > 100 && read > 70, "only {refused} refused and {read} read");
}
