//! `deploy/kubernetes/`: what kustomize makes of it, held against Kubernetes' schemas, the agent's own command line, and the
//! manifests that it takes the place of.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::Stdio;

use ip_masq_agent::cli::{self, Check, Cli, StatusQuestion, Verb};
use ip_masq_agent::http::{Listen, SocketPath};
use serde_json::{Value, json};

use super::swap;
use super::tools::{assert_golden, kustomized, python};

/// The oldest and the newest version whose schema is known, and some between.
const VERSIONS: [&str; 3] = ["1.25", "1.30", "1.37"];

const COMPONENTS: [&str; 9] = [
    "components/node-label",
    "components/node-label-beta",
    "components/metrics",
    "components/pod-monitor",
    "components/scrape-annotations",
    "components/state-dir",
    "components/seccomp-localhost",
    "components/configmap",
    "components/admission",
];

/// Everything that is built: its name, the folder, and the components with it.
fn built() -> Vec<(String, String)> {
    let mut all: Vec<(String, &str, Vec<&str>)> = ["base", "overlays/gke", "overlays/tke", "overlays/azure", "cleanup"]
        .map(|folder| (folder.replace('/', "-"), folder, Vec::new()))
        .to_vec();
    all.extend(COMPONENTS.map(|component| (component.replace('/', "-"), "base", vec![component])));
    all.push(("all-on-base".to_owned(), "base", COMPONENTS.to_vec()));
    let with_azure = COMPONENTS.map(|component| component.replace("/admission", "/admission-azure"));
    all.push(("all-on-azure".to_owned(), "overlays/azure", with_azure.iter().map(String::as_str).collect()));
    all.into_iter().map(|(name, folder, components)| (name, kustomized(&[folder], &components))).collect()
}

/// Manifests as values, after these versions of Kubernetes have accepted them.
fn read(manifests: &str, versions: &[&str]) -> Vec<Value> {
    let mut command = python();
    command.arg("tests/deploy/manifests.py").args(versions).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(manifests.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "not accepted:\n{manifests}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn daemonset(manifests: &str) -> Value {
    let is_it = |each: &Value| each["kind"] == "DaemonSet";
    read(manifests, &[]).into_iter().find(is_it).unwrap_or_else(|| panic!("no DaemonSet:\n{manifests}"))
}

fn with(folder: &str, components: &[&str]) -> Value {
    daemonset(&kustomized(&[folder], components))
}

fn container(daemonset: &Value) -> &Value {
    &daemonset["spec"]["template"]["spec"]["containers"][0]
}

/// A list of texts as the agent's command line, with the variable of the host's address as kubelet replaces it.
fn parsed(list: &Value, host: &str) -> Cli {
    let words = list.as_array().unwrap().iter().map(|word| word.as_str().unwrap().replace("$(HOST_IP)", host));
    let words = std::iter::once("/ip-masq-agent".to_owned()).chain(words);
    cli::parse(words.map(OsString::from)).unwrap_or_else(|stop| panic!("{list}: {stop}"))
}

#[test]
fn everything_is_built_as_the_goldens_have_it_and_kubernetes_accepts_it() {
    let mut together = String::new();
    for (name, manifests) in built() {
        assert_golden(&format!("kustomize/{name}.yaml"), &manifests);
        // Each component is also in `all-on-base`.
        if !name.starts_with("components-") {
            together += "---\n";
            together += &manifests;
        }
    }
    let all = read(&together, &VERSIONS);
    assert_eq!(all.iter().filter(|each| each["kind"] == "DaemonSet").count(), 7);
}

#[test]
fn the_pod_is_confined_and_runs_on_every_node() {
    for (folder, name) in [("base", "ip-masq-agent"), ("overlays/azure", "azure-ip-masq-agent")] {
        let daemonset = with(folder, &[]);
        let (pod, container) = (&daemonset["spec"]["template"]["spec"], container(&daemonset));
        assert_eq!((&daemonset["metadata"]["name"], &container["name"]), (&json!(name), &json!(name)));
        let security = json!({
            "runAsUser": 0, "runAsNonRoot": false, "privileged": false, "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        });
        assert_eq!(container["securityContext"], security);
        let resources = json!({"requests": {"cpu": "5m", "memory": "8Mi"}, "limits": {"memory": "64Mi"}});
        assert_eq!(container["resources"], resources);
        let expected = [
            ("hostNetwork", json!(true)),
            ("priorityClassName", json!("system-node-critical")),
            ("automountServiceAccountToken", json!(false)),
            ("tolerations", json!([{"operator": "Exists"}])),
            ("nodeSelector", json!({"kubernetes.io/os": "linux"})),
        ];
        for (key, value) in expected {
            assert_eq!(pod[key], value, "{key}");
        }
        assert_eq!(daemonset["spec"]["updateStrategy"]["rollingUpdate"], json!({"maxUnavailable": "10%"}));
        assert_eq!(container["terminationMessagePolicy"], "FallbackToLogsOnError");
    }
}

#[test]
fn there_is_no_configmap_that_could_take_the_place_of_an_operators_own() {
    for folder in ["base", "overlays/gke", "overlays/tke", "overlays/azure", "cleanup"] {
        let kinds: Vec<_> =
            read(&kustomized(&[folder], &[]), &[]).into_iter().map(|each| each["kind"].clone()).collect();
        assert_eq!(kinds, ["DaemonSet"], "{folder}");
    }
    let volume = |folder: &str| with(folder, &[])["spec"]["template"]["spec"]["volumes"][0]["configMap"].clone();
    for (folder, name, key) in [
        ("base", "ip-masq-agent", "config"),
        ("overlays/gke", "ip-masq-agent", "config"),
        ("overlays/tke", "ip-masq-agent-config", "config"),
        ("overlays/azure", "azure-ip-masq-agent-config", "ip-masq-agent"),
    ] {
        let items = json!([{"key": key, "path": "ip-masq-agent"}]);
        assert_eq!(volume(folder), json!({"name": name, "optional": true, "items": items}), "{folder}");
    }
}

#[test]
fn a_selector_is_that_of_the_manifest_that_is_replaced_and_selects_the_pods() {
    for (folder, selector) in [
        ("base", json!({"k8s-app": "ip-masq-agent"})),
        ("overlays/gke", json!({"k8s-app": "ip-masq-agent"})),
        ("overlays/tke", json!({"name": "ip-masq-agent"})),
        ("overlays/azure", json!({"k8s-app": "azure-ip-masq-agent", "tier": "node"})),
        ("cleanup", json!({"k8s-app": "ip-masq-agent-cleanup"})),
    ] {
        let daemonset = with(folder, &[]);
        assert_eq!(daemonset["spec"]["selector"], json!({"matchLabels": selector}), "{folder}");
        let labels = &daemonset["spec"]["template"]["metadata"]["labels"];
        for (label, value) in selector.as_object().unwrap() {
            assert_eq!(&labels[label], value, "{folder}");
        }
    }
}

#[test]
fn the_agent_takes_the_arguments_and_listens_where_the_probes_ask() {
    let socket = "/run/ip-masq-agent/agent.sock";
    for folder in ["base", "overlays/gke", "overlays/tke", "overlays/azure"] {
        let daemonset = with(folder, &["components/state-dir"]);
        let container = container(&daemonset);
        let cli = parsed(&container["args"], "10.0.0.1");
        let Listen { address, socket: listening } = &cli.listen;
        assert_eq!((&cli.verb, cli.odd.len()), (&Verb::Run, 0), "{folder}");
        assert_eq!(address, &"127.0.0.1:10297".parse().ok());
        assert_eq!(listening.as_ref().map(SocketPath::path), Some(socket.as_ref()));
        assert_eq!(cli.config.to_str(), Some("/etc/config/ip-masq-agent"));
        for (probe, check) in
            [("startupProbe", Check::Live), ("livenessProbe", Check::Live), ("readinessProbe", Check::Ready)]
        {
            let command = container[probe]["exec"]["command"].as_array().unwrap();
            let asked = parsed(&json!(command[1..]), "");
            assert_eq!(asked.verb, Verb::Status(StatusQuestion::Check(check)), "{folder} {probe}");
            assert_eq!((&command[0], &asked.listen.socket), (&json!("/ip-masq-agent"), listening));
        }
        // Everything that is written is written to a volume: the root is read-only.
        let mounts = container["volumeMounts"].as_array().unwrap();
        let mounted: Vec<_> = mounts.iter().map(|mount| mount["mountPath"].as_str().unwrap()).collect();
        let state = cli.state_dir.unwrap();
        assert_eq!(mounted, ["/etc/config", cli.runtime_dir.to_str().unwrap(), state.to_str().unwrap()]);
    }
    let gke = parsed(&container(&with("overlays/gke", &[]))["args"], "10.0.0.1");
    assert_eq!((gke.flags.chain.to_string().as_str(), gke.flags.all_reserved_ranges), ("IP-MASQ", true));
}

#[test]
fn metrics_are_shown_at_the_hosts_address_whichever_family_it_is_of() {
    let daemonset = with("base", &["components/metrics"]);
    let container = container(&daemonset);
    for (host, address) in [("10.0.0.1", "10.0.0.1:10297"), ("fd00::1", "[fd00::1]:10297")] {
        assert_eq!(parsed(&container["args"], host).listen.address, address.parse().ok());
    }
    assert_eq!(container["ports"][0]["name"], "metrics");
    let variable = json!([{"name": "HOST_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}]);
    assert_eq!(container["env"], variable);
}

#[test]
fn a_configmap_named_by_its_content_is_the_one_that_is_mounted() {
    let all = read(&kustomized(&["base"], &["components/configmap"]), &[]);
    let find = |kind: &str| all.iter().find(|each| each["kind"] == kind).unwrap();
    let (configmap, daemonset) = (find("ConfigMap"), find("DaemonSet"));
    let name = configmap["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("ip-masq-agent-") && configmap["immutable"] == true, "{configmap}");
    assert_eq!(daemonset["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"], name);
}

#[test]
fn clean_up_has_the_rules_out_before_the_pod_counts_as_running() {
    let daemonset = with("cleanup", &[]);
    let pod = &daemonset["spec"]["template"]["spec"];
    let first = parsed(&pod["initContainers"][0]["args"], "");
    assert_eq!(first.verb, Verb::Cleanup { dry_run: false, wait: false });
    assert_eq!(parsed(&container(&daemonset)["args"], "").verb, Verb::Cleanup { dry_run: false, wait: true });
    let agent = with("base", &[]);
    for key in ["hostNetwork", "tolerations", "nodeSelector", "priorityClassName"] {
        assert_eq!(pod[key], agent["spec"]["template"]["spec"][key], "{key}: it has to reach the same nodes");
    }
}

#[test]
fn applied_over_what_kubectl_apply_made_nothing_of_that_is_left() {
    let base = with("base", &[]);
    for (name, before) in swap::predecessors() {
        assert_eq!(swap::applied(&before, &before, &base), base, "{name}");
    }
}

#[test]
fn applied_over_what_kubectl_create_made_only_what_does_no_harm_is_left() {
    let base = with("base", &[]);
    for (name, before) in swap::predecessors() {
        let after = swap::applied(&Value::Null, &before, &base);
        let left: Vec<String> = swap::differences(&base, &after);
        let harmless = [
            "/metadata/labels/addonmanager.kubernetes.io~1mode",
            "/spec/template/spec/nodeSelector/node.kubernetes.io~1masq-agent-ds-ready",
            // A volume that nothing mounts.
            "/spec/template/spec/volumes/config-volume",
        ];
        assert!(left.iter().all(|path| harmless.contains(&path.as_str())), "{name}: {left:?}");
    }
}
