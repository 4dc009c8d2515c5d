# shellcheck shell=bash disable=SC2154
# What becomes of a change of the ConfigMap, good or bad.

policy_edited() {
    local began
    ours
    configure $'nonMasqueradeCIDRs:\n  - 10.0.0.0/8\n  - 172.16.0.0/12\n  - 192.168.0.0/16'
    wait_for 100 not_exempt 203.0.113.0/24
    began=$(now)
    configure $'nonMasqueradeCIDRs:\n  - 10.0.0.0/8\n  - 203.0.113.0/24'
    wait_for 100 exempt 203.0.113.0/24
    echo "rules follow $(($(now) - began)) ms after kubectl apply (kubelet looks every 3 s here); $masqueraded sees $(source_at "$masqueraded")"
    [ "$(source_at "$masqueraded")" = "$(address_of client)" ]
}

policy_nudged() {
    local began
    configure $'nonMasqueradeCIDRs:\n  - 10.0.0.0/8'
    began=$(now)
    system annotate pod "$(pod)" "nudge=$began" --overwrite >&2
    wait_for 100 not_exempt 203.0.113.0/24
    echo "rules follow $(($(now) - began)) ms after the pod is annotated, which makes kubelet look"
}

policy_broken() {
    local broken
    broken=$(now)
    configure $'nonMasqueradeCIDRs:\n  - 10.0.0.0/8\n  - 10.0.0.0/33'
    wait_for 100 is_not_ready "$(pod)"
    wait_for 30 has_event "$(pod)" 'policy invalid: .*ip-masq-agent:3'
    echo "not Ready after $(($(now) - broken)) ms; event: $(event "$(pod)" 'policy invalid')"
}

policy_broken_is_repaired() {
    local began
    on_node iptables -t nat -D IP-MASQ-AGENT 2
    began=$(now)
    wait_for 10 exempt 10.0.0.0/8
    is_not_ready "$(pod)"
    echo "a rule that was deleted is back after $(($(now) - began)) ms"
}

policy_mended() {
    local began
    began=$(now)
    configure $'nonMasqueradeCIDRs:\n  - 10.0.0.0/8\n  - 172.16.0.0/12'
    wait_for 100 exempt 172.16.0.0/12
    wait_for 30 is_ready "$(pod)"
    [ "$(system get pod "$(pod)" -o 'jsonpath={.status.containerStatuses[0].restartCount}')" = 0 ]
    echo "in force and Ready after $(($(now) - began)) ms, no restart in between"
}

policy_many_ranges() {
    local list uid container group
    list=$(for ((n = 0; n < 1000; n++)); do printf '\n  - 100.%d.%d.0/24' $((64 + n / 250)) $((n % 250)); done)
    configure "cidrLimit: 1000"$'\n'"nonMasqueradeCIDRs:$list"
    wait_for 100 exempt 100.67.249.0/24
    wait_for 30 is_ready "$(pod)"
    # and once more from nothing, as a start needs the most
    system delete pod "$(pod)" >&2
    wait_for 60 agent_is_ready "$image"
    uid=$(system get pod "$(pod)" -o 'jsonpath={.metadata.uid}')
    container=$(system get pod "$(pod)" -o 'jsonpath={.status.containerStatuses[0].containerID}')
    group=$(on_node find /sys/fs/cgroup/memory -type d -path "*pod$uid/${container#containerd://}")
    [ "$(on_node cat "$group/memory.limit_in_bytes")" = $((64 << 20)) ]
    [ "$(system get pod "$(pod)" -o 'jsonpath={.status.containerStatuses[0].restartCount}')" = 0 ]
    echo "$(chain | grep -c RETURN) exempt; at most $(($(on_node cat "$group/memory.max_usage_in_bytes") >> 10)) KiB of 65536, of which \
$(on_node sed -n 's/^total_rss //p' "$group/memory.stat" | awk '{ print int($1 / 1024) }') KiB are the process' own now"
}

policy_broken_from_the_start() {
    remove_agent
    configure $'nonMasqueradeCIDRs:\n  - 10.0.0.0/8\n  - fourty-two'
    system apply -k "$here/../../deploy/kubernetes/base" >&2
    wait_for 60 chain_has MASQUERADE # by the flags' defaults, as there is nothing else
    wait_for 30 has_event "$(pod)" 'policy invalid: .*ip-masq-agent:3'
    is_not_ready "$(pod)"
    echo "not Ready; event: $(event "$(pod)" 'policy invalid')"
    configure $'nonMasqueradeCIDRs:\n  - 10.0.0.0/8'
    wait_for 100 not_exempt 172.16.0.0/12
    wait_for 30 is_ready "$(pod)"
}

policy_without_host_network() {
    local name=ip-masq-agent-in-pod-network
    # beside the right one, so under another name
    k kustomize "$here/../../deploy/kubernetes/base" |
        sed "s/hostNetwork: true/hostNetwork: false/; s/k8s-app: ip-masq-agent/k8s-app: $name/; s/^  name: ip-masq-agent$/  name: $name/" >"$run/in-pod.yaml"
    k apply -f "$run/in-pod.yaml" >&2
    wait_for 60 has_event "$(newest $name)" "not in the host's network"
    is_not_ready "$(newest $name)"
    echo "not Ready; event: $(event "$(newest $name)" "not in the host's network")"
    system delete daemonset $name >&2
    is_ready "$(pod)"
}
