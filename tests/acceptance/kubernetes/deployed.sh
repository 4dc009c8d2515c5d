# shellcheck shell=bash disable=SC2154
# Each component, each provider's overlay and the chart, once on a node. kubectl of 1.20 knows no components, so kustomize renders.

deploy=$here/../../deploy
rendered() { "$tools/bin/kustomize" build "$1"; }

# All pods of a DaemonSet are those of its newest template, and ready.
daemonset_is_ready() {
    system get daemonset "$1" -o json | jq -e '.status.observedGeneration == .metadata.generation and
        ([.status | .desiredNumberScheduled, .updatedNumberScheduled, .numberReady] == [1, 1, 1])' >/dev/null
}

deployed_components() {
    local component tried=()
    remove_agent
    k label nodes masq-node node.kubernetes.io/masq-agent-ds-ready=true beta.kubernetes.io/masq-agent-ds-ready=true --overwrite >&2
    mkdir -p "$run/kustomization"
    for component in node-label node-label-beta metrics scrape-annotations state-dir configmap; do
        [ -d "$deploy/kubernetes/components/$component" ] || continue
        cat >"$run/kustomization/kustomization.yaml" <<END
resources: [$(realpath --relative-to="$run/kustomization" "$deploy/kubernetes/base")]
components: [$(realpath --relative-to="$run/kustomization" "$deploy/kubernetes/components/$component")]
END
        rendered "$run/kustomization" >"$run/rendered.yaml"
        k apply -f "$run/rendered.yaml" >&2
        wait_for 90 daemonset_is_ready ip-masq-agent
        chain_has MASQUERADE
        case $component in
            metrics) on_node curl -sf http://10.250.0.1:10297/readyz >&2 ;;
            state-dir) on_node find /var/lib/ip-masq-agent -type f | grep . >/dev/null ;;
        esac
        tried+=("$component")
    done
    echo "${tried[*]}"
}

# overlay NAME DAEMONSET CONFIGMAP KEY CHAIN
overlay() {
    [ -d "$deploy/kubernetes/overlays/$1" ]
    printf 'nonMasqueradeCIDRs: [198.51.100.0/24]\n' >"$run/config"
    system create configmap "$3" --from-file="$4=$run/config" >&2
    rendered "$deploy/kubernetes/overlays/$1" >"$run/rendered.yaml"
    k apply -f "$run/rendered.yaml" >&2
    wait_for 90 daemonset_is_ready "$2"
    on_node iptables -t nat -S "$5" | grep -F -e "-d 198.51.100.0/24 " >/dev/null
    system delete daemonset "$2" >&2
    system delete configmap "$3" >&2
}

deployed_overlays() {
    remove_agent
    overlay gke ip-masq-agent ip-masq-agent config IP-MASQ
    overlay tke ip-masq-agent ip-masq-agent-config config IP-MASQ-AGENT
    overlay azure azure-ip-masq-agent azure-ip-masq-agent-config ip-masq-agent IP-MASQ-AGENT
    echo "gke, tke and azure follow the ConfigMap that the provider names"
}

deployed_chart() {
    remove_agent
    "$tools/python/bin/python" - "$deploy/helm/ip-masq-agent" >"$run/rendered.yaml" <<'END'
import sys
import helm_python
values = {"config": {"nonMasqueradeCIDRs": ["198.51.100.0/24"]}}
chart = helm_python.Chart.load(sys.argv[1])
for path, text in sorted(chart.render(values, name="ip-masq-agent", namespace="kube-system").items()):
    if path.endswith(".yaml") and text.strip():
        print("---\n" + text)
END
    k apply --namespace=kube-system -f "$run/rendered.yaml" >&2
    wait_for 90 daemonset_is_ready ip-masq-agent
    wait_for 30 exempt 198.51.100.0/24
    echo "what Helm's own code renders is Ready and follows its values"
    k delete --namespace=kube-system -f "$run/rendered.yaml" >&2
}
