//! What `kubectl apply` makes of an object: the strategic merge of three, as the API server's types ask for it.

use serde_json::{Map, Value, json};

/// The manifests that ours takes the place of, as far as their fields matter.
pub(crate) fn predecessors() -> [(&'static str, Value); 3] {
    let daemonset = |metadata: Value, pod: Value| {
        json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata,
            "spec": {
                "selector": {"matchLabels": {"k8s-app": "ip-masq-agent"}},
                "template": {"metadata": {"labels": {"k8s-app": "ip-masq-agent"}}, "spec": pod},
            },
        })
    };
    let volume = |name: &str| {
        let items = json!([{"key": "config", "path": "ip-masq-agent"}]);
        json!({"name": name, "configMap": {"name": "ip-masq-agent", "optional": true, "items": items}})
    };
    let metadata = json!({"name": "ip-masq-agent", "namespace": "kube-system"});
    let tolerations = json!([
        {"effect": "NoSchedule", "operator": "Exists"},
        {"effect": "NoExecute", "operator": "Exists"},
        {"key": "CriticalAddonsOnly", "operator": "Exists"},
    ]);
    // kubernetes-sigs/ip-masq-agent, ip-masq-agent.yaml.
    let upstream = json!({
        "hostNetwork": true,
        "containers": [{
            "name": "ip-masq-agent", "image": "registry.k8s.io/networking/ip-masq-agent:v2.8.0",
            "securityContext": {"privileged": false, "capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}},
            "volumeMounts": [{"name": "config", "mountPath": "/etc/config"}],
        }],
        "volumes": [volume("config")],
    });
    // kubernetes/kubernetes, cluster/addons/ip-masq-agent.
    let add_on = json!({
        "hostNetwork": true, "priorityClassName": "system-node-critical", "serviceAccountName": "ip-masq-agent",
        "containers": [{
            "name": "ip-masq-agent", "image": "registry.k8s.io/networking/ip-masq-agent:v2.12.0",
            "args": ["--masq-chain=IP-MASQ", "--nomasq-all-reserved-ranges"],
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
            "securityContext": {"privileged": true},
            "volumeMounts": [{"name": "config", "mountPath": "/etc/config"}],
        }],
        "nodeSelector": {"kubernetes.io/os": "linux", "node.kubernetes.io/masq-agent-ds-ready": "true"},
        "volumes": [volume("config")], "tolerations": tolerations,
    });
    // The documentation of GKE, for a cluster without the add-on.
    let gke = json!({
        "hostNetwork": true,
        "containers": [{
            "name": "ip-masq-agent", "image": "gke.gcr.io/ip-masq-agent:v2.12.6", "imagePullPolicy": "Always",
            "args": ["--v=2", "--logtostderr=false", "--masq-chain=IP-MASQ", "--random-fully=false"],
            "securityContext": {
                "privileged": true, "allowPrivilegeEscalation": false, "seccompProfile": {"type": "RuntimeDefault"},
                "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]},
            },
            "volumeMounts": [{"name": "config-volume", "mountPath": "/etc/config"}],
        }],
        "volumes": [volume("config-volume")], "tolerations": tolerations,
    });
    let labelled = json!({
        "name": "ip-masq-agent", "namespace": "kube-system", "labels": {"addonmanager.kubernetes.io/mode": "Reconcile"},
    });
    [
        ("upstream", daemonset(metadata.clone(), upstream)),
        ("Kubernetes' add-on", daemonset(labelled, add_on)),
        ("GKE's documentation", daemonset(metadata, gke)),
    ]
}

/// An object after `kubectl apply` of `new`, where `last` was applied before (null: none).
pub(crate) fn applied(last: &Value, live: &Value, new: &Value) -> Value {
    merged(last, live, new, "")
}

fn merged(last: &Value, live: &Value, new: &Value, field: &str) -> Value {
    match (live, new) {
        (Value::Object(live), Value::Object(new)) => Value::Object(merged_maps(last, live, new)),
        (Value::Array(_), Value::Array(_)) => match merge_key(field) {
            Some(key) => {
                let maps = [last, live, new].map(|list| by_key(list, key));
                let empty = Map::new();
                let [last, live, new] = maps.each_ref().map(|map| map.as_object().unwrap_or(&empty));
                let live = if field == "volumes" { retained(live, new) } else { live.clone() };
                let order = merged_maps(&Value::Object(last.clone()), &live, new);
                sorted_as(new, order)
            }
            None => new.clone(),
        },
        _ => new.clone(),
    }
}

/// Fields of the new one, and of the live one those that were not applied before.
fn merged_maps(last: &Value, live: &Map<String, Value>, new: &Map<String, Value>) -> Map<String, Value> {
    let kept = live.iter().filter(|(key, _)| !new.contains_key(*key) && last.get(key).is_none());
    let mut all: Map<String, Value> = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
    for (key, value) in new {
        let (last, live) = (last.get(key).unwrap_or(&Value::Null), live.get(key).unwrap_or(&Value::Null));
        all.insert(key.clone(), merged(last, live, value, key));
    }
    all
}

/// The field by which entries of these lists are told apart (`patchMergeKey`); other lists are replaced.
fn merge_key(field: &str) -> Option<&'static str> {
    Some(match field {
        "containers" | "initContainers" | "volumes" | "env" => "name",
        "volumeMounts" => "mountPath",
        "ports" => "containerPort",
        _ => return None,
    })
}

fn by_key(list: &Value, key: &str) -> Value {
    let entries = list.as_array().into_iter().flatten();
    Value::Object(entries.map(|entry| (entry[key].as_str().unwrap().to_owned(), entry.clone())).collect())
}

/// Volumes without what the new ones do not have (`retainKeys`).
fn retained(live: &Map<String, Value>, new: &Map<String, Value>) -> Map<String, Value> {
    let mut live = live.clone();
    for (name, volume) in &mut live {
        if let (Some(new), Some(volume)) = (new.get(name), volume.as_object_mut()) {
            volume.retain(|key, _| new.get(key).is_some());
        }
    }
    live
}

/// The entries in the order of the new ones, and behind them the others.
fn sorted_as(new: &Map<String, Value>, mut all: Map<String, Value>) -> Value {
    let mut list: Vec<Value> = new.keys().filter_map(|key| all.remove(key)).collect();
    list.extend(all.into_iter().map(|(_, value)| value));
    Value::Array(list)
}

/// Where the second value has more than the first, or something else.
pub(crate) fn differences(first: &Value, second: &Value) -> Vec<String> {
    match (first, second) {
        (Value::Object(first), Value::Object(second)) => in_maps(first, second),
        (Value::Array(one), Value::Array(two))
            if two.iter().all(|entry| entry["name"].is_string()) && !two.is_empty() =>
        {
            let [one, two] = [one, two].map(|list| by_key(&Value::Array(list.clone()), "name"));
            differences(&one, &two)
        }
        _ if first == second => Vec::new(),
        _ => vec![String::new()],
    }
}

fn in_maps(first: &Map<String, Value>, second: &Map<String, Value>) -> Vec<String> {
    let missing = first.keys().filter(|key| !second.contains_key(*key)).map(|key| format!("/{key}"));
    let others = second.iter().flat_map(|(key, value)| {
        let inner = first.get(key).map_or_else(|| vec![String::new()], |first| differences(first, value));
        inner.into_iter().map(move |path| format!("/{}{path}", key.replace('/', "~1"))).collect::<Vec<_>>()
    });
    missing.chain(others).collect()
}
