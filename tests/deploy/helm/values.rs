//! Values: those that values.yaml has, those that the schema knows, and those that templates use are the same.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{JUDGED, cases, object};

/// Where the path of a value goes on into the entries of a list.
const ENTRY: &str = "[]";
/// Of no effect without a cluster: what Helm gives to every part of a chart around this one, and how many `ConfigMap`s of a
/// cluster stay (`the_newest_of_the_releases_earlier_configmaps_stay_as_they_are`).
const WITHOUT_EFFECT: [&str; 2] = ["global", "configMap.history"];

/// The schema behind a `$ref`.
fn resolved(schema: &Value) -> &Value {
    match schema["$ref"].as_str().and_then(|target| target.strip_prefix('#')) {
        Some(pointer) => JUDGED["schema"].pointer(pointer).unwrap_or_else(|| panic!("no {pointer}")),
        None => schema,
    }
}

/// Each property that the schema knows, below this one, with its path.
fn properties<'a>(schema: &'a Value, above: &str, found: &mut Vec<(String, &'a Value)>) {
    let schema = resolved(schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        found.push((path.clone(), property));
        properties(property, &path, found);
    }
    if schema["items"].is_object() {
        properties(&schema["items"], &format!("{above}{ENTRY}"), found);
    }
}

fn of_the_schema() -> Vec<(String, &'static Value)> {
    let mut found = Vec::new();
    properties(&JUDGED["schema"], "", &mut found);
    found
}

/// The paths of all values, but for those in maps whose keys anybody may choose.
fn of_values(values: &Value, schema: &Value, above: &str, found: &mut BTreeSet<String>) {
    let schema = resolved(schema);
    let Some(known) = schema["properties"].as_object() else { return };
    for (name, value) in values.as_object().into_iter().flatten() {
        let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        of_values(value, known.get(name).unwrap_or(&Value::Null), &path, found);
        found.insert(path);
    }
}

#[test]
fn each_value_is_described_in_the_schema_which_knows_no_others() {
    let properties = of_the_schema();
    assert!(properties.len() > 100, "{}", properties.len());
    let undescribed: Vec<&String> =
        properties.iter().filter(|(_, schema)| !schema["description"].is_string()).map(|(path, _)| path).collect();
    assert!(undescribed.is_empty(), "without a description: {undescribed:?}");
    let open: Vec<&String> = properties
        .iter()
        .filter(|(_, schema)| {
            let schema = resolved(schema);
            schema["properties"].is_object() && schema["additionalProperties"] != false
        })
        .map(|(path, _)| path)
        .collect();
    assert!(open.is_empty(), "a typo there would go unnoticed: {open:?}");
    assert_eq!(JUDGED["schema"]["additionalProperties"], false);
}

#[test]
fn the_schema_knows_each_value_of_values_yaml() {
    let known: BTreeSet<String> = of_the_schema().into_iter().map(|(path, _)| path).collect();
    let mut defaults = BTreeSet::new();
    of_values(&JUDGED["defaults"], &JUDGED["schema"], "", &mut defaults);
    assert!(defaults.len() > 50, "{}", defaults.len());
    assert_eq!(defaults.difference(&known).collect::<Vec<_>>(), [""; 0]);
    for (path, _) in of_the_schema() {
        let is_at_the_top = !path.contains('.') && !path.contains(ENTRY);
        assert!(
            !is_at_the_top || defaults.contains(&path) || WITHOUT_EFFECT.contains(&&*path),
            "values.yaml has no {path}"
        );
    }
}

#[test]
fn each_value_changes_what_is_rendered() {
    let with_effect: BTreeSet<String> = cases()
        .values()
        .flat_map(|case| object(&case["effects"]))
        .filter(|(_, has_effect)| **has_effect == true)
        .map(|(path, _)| path.clone())
        .collect();
    let known = of_the_schema();
    let idle: Vec<&str> = known
        .iter()
        .map(|(path, _)| path.as_str())
        .filter(|path| !with_effect.contains(*path) && !WITHOUT_EFFECT.contains(path))
        .collect();
    assert!(idle.is_empty(), "in no case of values/ does it matter whether these are set: {idle:#?}");
}

#[test]
fn each_pattern_of_the_schema_is_one_that_a_person_can_read() {
    let patterns = |schema: &'static Value| resolved(schema)["pattern"].as_str();
    let long: Vec<&str> = of_the_schema()
        .iter()
        .filter_map(|(_, schema)| patterns(schema))
        .filter(|pattern| pattern.len() > 110)
        .collect();
    assert!(long.is_empty(), "Helm's message shows the pattern; say it in templates/_check.tpl: {long:#?}");
}
