//! What is rendered, and what Kubernetes makes of it.

use serde_json::{Map, Value};

use super::{JUDGED, TESTS, assert_stands, cases, list, map, object, of_kind, path, text};
use crate::tools::{output, python, unpacked};

#[test]
fn helm_lints_the_chart_without_a_warning() {
    let lint = &JUDGED["lint"];
    assert_eq!(list(&lint["errors"]), [] as [Value; 0]);
    let said: Vec<&Value> = list(&lint["messages"]).iter().map(|message| &message["error"]).collect();
    assert_eq!(said, ["icon is recommended"], "an icon is for catalogues");
}

#[test]
fn each_case_is_rendered_as_its_golden_file_says() {
    for (name, case) in cases() {
        let files = object(&case["files"]).iter().map(|(path, text)| {
            let text = text.as_str().unwrap();
            format!("# {path}\n{}\n", text.trim_end().trim_start_matches('\n'))
        });
        assert_stands(&format!("{TESTS}/rendered/{name}.txt"), &files.collect::<Vec<_>>().join("\n"));
    }
    let blessed = std::fs::read_dir(path(TESTS).join("rendered")).unwrap();
    let blessed = blessed.map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned());
    let stale: Vec<String> = blessed.filter(|name| !cases().contains_key(name)).collect();
    assert!(stale.is_empty(), "without a case: {stale:?}");
}

#[test]
fn the_schemas_of_kubernetes_accept_each_object_of_each_case() {
    let faults: Vec<String> = cases()
        .iter()
        .flat_map(|(name, case)| list(&case["faults"]).iter().map(move |fault| format!("{name}: {fault}")))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_default_is_by_meaning_what_the_kustomize_base_is() {
    let mut kustomize = unpacked("kustomize");
    kustomize.args(["build", "deploy/kubernetes/base"]);
    let scratch = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(scratch.path(), output(kustomize)).unwrap();
    let mut to_json = python();
    to_json.args(["-c", "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))"]);
    to_json.arg(scratch.path());
    let base: Vec<Value> = serde_json::from_str(&output(to_json)).unwrap();
    let chart = list(&cases()["defaults"]["objects"]);
    let normal = |objects: &[Value]| objects.iter().cloned().map(normal).collect::<Vec<_>>();
    assert_eq!(normal(chart), normal(&base));
}

/// An object without what Helm alone has, and what Kubernetes would fill in.
fn normal(mut object: Value) -> Value {
    let is_helms = |label: &str| label.starts_with("app.kubernetes.io/") || label.starts_with("helm.sh/");
    for labels in ["/metadata/labels", "/spec/template/metadata/labels"] {
        if let Some(labels) = object.pointer_mut(labels) {
            labels.as_object_mut().unwrap().retain(|label, _| !is_helms(label));
        }
    }
    if let Some(spec) = object["spec"].as_object_mut() {
        let default = |key: &str| match key {
            "minReadySeconds" => Some(0),
            "revisionHistoryLimit" => Some(10),
            _ => None,
        };
        spec.retain(|key, value| default(key).is_none_or(|default| *value != default));
    }
    object
}

#[test]
fn helms_labels_are_never_part_of_a_selector() {
    for (name, case) in cases() {
        let daemon_sets = of_kind(case, "DaemonSet");
        assert!(!daemon_sets.is_empty(), "{name}");
        for daemon_set in daemon_sets {
            let selector = map(&daemon_set["spec"]["selector"]["matchLabels"]);
            assert_eq!(selector.keys().collect::<Vec<_>>(), ["k8s-app"], "{name}");
            let labels = map(&daemon_set["spec"]["template"]["metadata"]["labels"]);
            assert_eq!(labels["k8s-app"], selector["k8s-app"], "{name}: pods that no selector finds");
            let of_a_version = labels.keys().find(|label| label.contains("version") || label.contains("chart"));
            assert_eq!(of_a_version, None, "{name}: a new version of the chart alone would roll the pods");
        }
    }
}

#[test]
fn a_configuration_becomes_a_configmap_with_just_its_keys_and_values() {
    let mut number = 0;
    for (name, case) in cases() {
        let configurations = object(&case["configurations"]);
        let rings = case["values"]["rings"].as_array().cloned().unwrap_or_default();
        let asked: Vec<Map<String, Value>> =
            std::iter::once(&case["values"]).chain(&rings).map(|level| map(&level["config"])).collect();
        for (config_map, found) in configurations {
            assert!(asked.contains(&map(found)), "{name}: {config_map} has {found}");
            number += 1;
        }
    }
    assert!(number >= 6, "{number}");
}

#[test]
fn a_configmap_is_immutable_where_its_name_is_its_content() {
    let mut hashed = 0;
    for (name, case) in cases() {
        for config_map in of_kind(case, "ConfigMap") {
            let own_name = text(&config_map["metadata"]["name"]);
            let is_hash = |end: &str| end.len() == 10 && end.chars().all(|digit| digit.is_ascii_hexdigit());
            let is_hashed = own_name.rsplit('-').next().is_some_and(is_hash);
            assert_eq!(config_map["immutable"] == true, is_hashed, "{name}: {own_name}");
            hashed += usize::from(is_hashed);
        }
    }
    assert!(hashed >= 4, "{hashed}");
}

#[test]
fn the_newest_of_the_releases_earlier_configmaps_stay_as_they_are() {
    let beside = &JUDGED["besideEarlier"];
    let now = of_kind(&cases()["config"], "ConfigMap")[0];
    let rendered = of_kind(beside, "ConfigMap");
    let (of_now, earlier): (Vec<&Value>, Vec<&Value>) =
        rendered.into_iter().partition(|config_map| config_map["metadata"]["name"] == now["metadata"]["name"]);
    assert_eq!(of_now, [now]);
    let names: Vec<&Value> = earlier.iter().map(|config_map| &config_map["metadata"]["name"]).collect();
    assert_eq!(names, list(&beside["own"])[..5].iter().collect::<Vec<_>>(), "configMap.history is 5");
    for config_map in earlier {
        let name = &config_map["metadata"]["name"];
        let found = list(&beside["found"]).iter().find(|found| found["metadata"]["name"] == *name).unwrap();
        assert_eq!((&config_map["data"], &config_map["immutable"]), (&found["data"], &Value::Bool(true)), "{name}");
    }
    assert_eq!(
        of_kind(&JUDGED["besideEarlierInPlace"], "ConfigMap").len(),
        1,
        "edited in place there are no earlier ones"
    );
}

#[test]
fn pods_mount_a_configmap_that_is_rendered_or_not_the_charts() {
    for (name, case) in cases() {
        let made: Vec<&Value> = of_kind(case, "ConfigMap").into_iter().map(|item| &item["metadata"]["name"]).collect();
        for daemon_set in of_kind(case, "DaemonSet") {
            let volumes = list(&daemon_set["spec"]["template"]["spec"]["volumes"]);
            let mounted = &volumes.iter().find(|volume| volume["name"] == "config").unwrap()["configMap"];
            let is_made = made.contains(&&mounted["name"]);
            let is_named =
                text(&mounted["name"]).starts_with("of-three") || ["existing", "elsewhere"].contains(&&**name);
            assert_eq!(mounted["optional"] == true, !is_made && !is_named, "{name}: {mounted}");
        }
    }
}

#[test]
fn the_notes_name_each_daemonset_and_how_to_look_at_it() {
    for (name, case) in cases() {
        let notes = text(&case["files"]["templates/NOTES.txt"]);
        for daemon_set in of_kind(case, "DaemonSet") {
            let line = format!("rollout status daemonset/{}\n", text(&daemon_set["metadata"]["name"]));
            assert!(notes.contains(&line), "{name}: {line} is not in\n{notes}");
        }
        let namespace = text(&of_kind(case, "DaemonSet")[0]["metadata"]["namespace"]);
        let back = format!("helm -n {namespace} rollback");
        for needed in ["-- /ip-masq-agent status --status-socket", "reason=Unhealthy", &back] {
            assert!(notes.contains(needed), "{name}: {needed} is not in\n{notes}");
        }
        assert!(notes.lines().all(|line| !line.contains("<no value>") && !line.ends_with(' ')), "{name}:\n{notes}");
    }
}

#[test]
fn the_chart_has_the_version_of_the_agent() {
    for key in ["version", "appVersion"] {
        assert_eq!(JUDGED["metadata"][key], env!("CARGO_PKG_VERSION"), "{key} of Chart.yaml");
    }
}
