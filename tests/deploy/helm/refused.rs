//! Values that are refused: with a message, before anything reaches a cluster.

use super::agent::render;
use super::{JUDGED, list, map, object, text};

#[test]
fn wrong_values_are_refused_and_the_message_names_them() {
    let mut wrong = Vec::new();
    for case in list(&JUDGED["refused"]) {
        let (name, says) = (text(&case["name"]), text(&case["says"]));
        match case["said"].as_str() {
            None => wrong.push(format!("{name}: accepted")),
            Some(said) if !said.contains(says) => wrong.push(format!("{name}: {said:?} has no {says:?}")),
            Some(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_the_chart_refuses_of_files_and_flags_the_agent_refuses_as_well() {
    let mut number = 0;
    for case in list(&JUDGED["refused"]) {
        let Some(status) = case["status"].as_i64() else { continue };
        let values = &case["values"];
        let flags = map(&values["flags"]);
        let flags = flags.iter().map(|(flag, value)| match value.as_str() {
            Some(text) => format!("--{flag}={text}"),
            None => format!("--{flag}={value}"),
        });
        let file = serde_json::to_string(&map(&values["config"])).unwrap();
        let ran = render(flags, &file);
        assert_eq!(ran.status.map(i64::from), Some(status), "{}: {}", case["name"], ran.stderr);
        number += 1;
    }
    assert!(number > 20, "{number}");
}

#[test]
fn every_example_of_a_flag_is_accepted_by_the_chart_and_by_the_agent() {
    for (flag, refusal) in object(&JUDGED["flagExamples"]) {
        assert!(refusal.is_null(), "{flag}: {refusal}");
        // Python writes True.
        let ran = render([format!("--{}", flag.replace("=True", "=true").replace("=False", "=false"))], "{}");
        assert_eq!(ran.status, Some(0), "{flag}: {}", ran.stderr);
    }
}
