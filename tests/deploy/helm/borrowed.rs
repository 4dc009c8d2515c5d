//! What the chart has from elsewhere in `deploy/`. Helm reads no file outside of a chart, so there are copies.

use std::fs;

use serde_json::Value;

use super::{CHART, assert_stands, cases, list, of_kind, path, text};
use crate::support::ran::Ran;
use crate::tools::python;

/// Where each file stands below `deploy/`, and its copy in the chart.
const FILES: [(&str, &str); 3] = [
    ("deploy/admission/policy.yaml", "files/admission/policy.yaml"),
    ("deploy/admission/binding.yaml", "files/admission/binding.yaml"),
    ("deploy/alerts/ip-masq-agent.rules.yaml", "files/ip-masq-agent.rules.yaml"),
];

#[test]
fn the_charts_copies_are_equal_to_the_files_they_were_made_of() {
    for (original, copy) in FILES {
        let text = fs::read_to_string(path(original)).unwrap_or_else(|error| panic!("{original}: {error}"));
        assert_stands(&format!("{CHART}/{copy}"), &text);
    }
}

#[test]
fn the_admission_policy_judges_the_configmaps_of_the_release_where_it_is() {
    for (name, namespace, names, action) in [
        ("add-ons", "kube-system", "'^(ip-masq-agent(-.*)?)$'", "Deny"),
        ("elsewhere", "networking", "'^(ip-masq-agent(-.*)?|masq[.]config|masq[.]canary)$'", "Warn"),
    ] {
        let case = &cases()[name];
        let policy = &of_kind(case, "ValidatingAdmissionPolicy")[0]["spec"];
        let constraints = &policy["matchConstraints"]["namespaceSelector"]["matchLabels"];
        assert_eq!(constraints["kubernetes.io/metadata.name"], namespace, "{name}");
        let condition = text(&policy["matchConditions"][0]["expression"]);
        assert_eq!(condition, format!("object.metadata.name.matches({names})"), "{name}");
        let binding = &of_kind(case, "ValidatingAdmissionPolicyBinding")[0]["spec"];
        assert_eq!(list(&binding["validationActions"]), [Value::from(action)], "{name}");
    }
}

#[test]
fn a_kubernetes_without_admission_policies_is_named_as_such() {
    // Helm takes a version for `helm lint` only, which goes on where a template fails, and says so on stderr.
    let code = "import helm_python, sys\n\
        helm_python.lint(sys.argv[1], {'admissionPolicy': {'enabled': True}}, kube_version=sys.argv[2])";
    let said = |version: &str| {
        let mut lint = python();
        lint.args(["-c", code, CHART, version]);
        Ran::of(lint).ended_with(0).stderr
    };
    let old = said("v1.29.0");
    assert!(old.contains("admissionPolicy.enabled is true, but this is Kubernetes v1.29.0; expected 1.30"), "{old}");
    assert_eq!(said("v1.30.0"), "");
}

#[test]
fn alerts_and_metrics_agree_on_the_name_of_the_job() {
    let rule = of_kind(&cases()["add-ons"], "PrometheusRule")[0].to_string();
    let job = "job=\\\"ip-masq-agent\\\"";
    assert!(rule.contains(job), "the alerts go by another job: {rule}");
    assert!(rule.contains("https://git.example/ip-masq-agent/docs/operations.md#"), "{rule}");
    let case = &cases()["everything"];
    let label = text(&of_kind(case, "PodMonitor")[0]["spec"]["jobLabel"]);
    assert_eq!(of_kind(case, "DaemonSet")[0]["spec"]["template"]["metadata"]["labels"][label], "ip-masq-agent");
}
