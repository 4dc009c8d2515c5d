//! Which configurations are found, and where each of their bytes is.

use proptest::prelude::*;

use super::*;

/// The names and texts that are found, or why there are none.
fn found(text: &str, key: Option<&str>) -> Result<Vec<(String, String)>, String> {
    match read(text, key).unwrap() {
        Content::NoManifest => Err("no manifest".to_owned()),
        Content::NoConfiguration(why) => Err(why),
        Content::Configurations(found) => {
            Ok(found.into_iter().flatten().map(|embedded| (embedded.name, embedded.text)).collect())
        }
    }
}

#[test]
fn the_configuration_of_each_config_map_of_the_agent_is_found() {
    let map = |name: &str, data: &str| {
        format!(
            "{{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {{\"name\": \"{name}\"}}, \"data\": {data}}}"
        )
    };
    let ok = |found: &[(&str, &str)]| {
        Ok(found.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
    };
    let cases = [
        ("nonMasqueradeCIDRs: []".to_owned(), None, Err("no manifest".to_owned())),
        ("kind: of a key of somebody".to_owned(), None, Err("no manifest".to_owned())),
        (String::new(), None, Err("no manifest".to_owned())),
        (map("a", "{\"config\": \"x\"}"), None, ok(&[("a/config", "x")])),
        (map("a", "{\"config\": \"x\", \"b\": \"y\"}"), Some("b"), ok(&[("a/b", "y")])),
        (
            map("a", "{\"ip-masq-agent\": \"x\", \"ip-masq-agent-reconciled\": \"y\", \"b\": \"z\"}"),
            None,
            ok(&[("a/ip-masq-agent", "x"), ("a/ip-masq-agent-reconciled", "y")]),
        ),
        (
            map("a", "{\"b\": \"y\", \"c\": \"z\"}"),
            None,
            Err("the ConfigMap has no key config; it has b, c".to_owned()),
        ),
        (
            format!(
                "{}\n---\n{}\n",
                map("other", "{\"config\": \"x\"}"),
                map("my-ip-masq-agent-1", "{\"config\": \"y\"}")
            )
            .replacen("{\"apiVersion\"", "# two\n{\"apiVersion\"", 1),
            None,
            ok(&[("my-ip-masq-agent-1/config", "y")]),
        ),
        (
            format!(
                "{{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{}]}}",
                map("ip-masq-agent", "{\"config\": \"x\"}")
            ),
            None,
            ok(&[("ip-masq-agent/config", "x")]),
        ),
        (
            "apiVersion: apps/v1\nkind: DaemonSet\n".to_owned(),
            None,
            Err("there is no ConfigMap of the agent with the key config in it".to_owned()),
        ),
    ];
    for (text, key, expected) in cases {
        assert_eq!(found(&text, key), expected, "{text}");
    }
}

#[test]
fn a_later_document_that_cannot_be_read_is_an_error_at_its_place() {
    let error = read("apiVersion: v1\nkind: Namespace\n---\na: }\n", None).unwrap_err();
    assert_eq!(error.span.line, 4, "{error}");
}

/// A configuration, and manifests that hold it in each way in which YAML and JSON write a text.
fn manifests(text: &str, indent: usize) -> Vec<String> {
    let head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ip-masq-agent}\ndata:\n  # ours\n  config: ";
    let indentation = " ".repeat(2 + indent);
    let block: String = text
        .split_inclusive('\n')
        .map(|line| if line == "\n" { line.to_owned() } else { format!("{indentation}{line}") })
        .collect();
    let mark = if text.ends_with('\n') { "+" } else { "-" };
    let quoted = serde_json::to_string(text).unwrap();
    vec![
        format!("{head}|{mark}\n{block}{}  other: x\n", if text.ends_with('\n') { "" } else { "\n" }),
        format!("{head}{quoted}\n  other: x\n"),
        format!("{head}{}\n", quoted.replace("\\n", "\\n\\\n      ")),
        format!("{head}{}\n", quoted.replace('é', "\\u00e9").replace('-', "\\x2d")),
        serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"config": text}}).to_string(),
        format!("{head}'{}'\n", text.replace('\'', "''").replace('\n', "\n\n   ")),
    ]
}

proptest! {
    #[test]
    fn each_letter_of_a_configuration_is_found_where_the_manifest_has_it(
        lines in prop::collection::vec("[a-zé0-9][a-zé0-9:/'#-]{0,8}( [a-zé0-9:']{1,4})?", 1..5),
        indent in 1_usize..5,
        ends in any::<bool>(),
    ) {
        let mut text = lines.join("\n");
        if ends {
            text.push('\n');
        }
        for manifest in manifests(&text, indent) {
            let Content::Configurations(found) = read(&manifest, None).unwrap() else { panic!("{manifest}") };
            let embedded = &found[0][0];
            prop_assert_eq!(&embedded.text, &text, "{}", manifest);
            for (at, letter) in text.char_indices().filter(|(_, letter)| letter.is_alphanumeric()) {
                let place = embedded.in_manifest(&(at..at + letter.len_utf8())).start;
                let there = &manifest[place..];
                let is_there = there.starts_with(letter) || there.starts_with("\\u00e9") && letter == 'é';
                prop_assert!(is_there, "{at} {letter} at {place} in {manifest}");
            }
        }
    }

    #[test]
    fn no_text_makes_the_search_panic_or_places_anything_outside(text in "(apiVersion: v1\nkind: ConfigMap\ndata:\n  config: )?[ -~\n\"'|>\\\\]{0,60}") {
        if let Ok(Content::Configurations(found)) = read(&text, None) {
            for embedded in found.iter().flatten() {
                let range = embedded.in_manifest(&(0..embedded.text.len()));
                prop_assert!(text.get(range.clone()).is_some(), "{range:?} in {text:?}");
            }
        }
    }
}
