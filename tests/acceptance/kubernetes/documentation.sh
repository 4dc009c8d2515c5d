# shellcheck shell=bash disable=SC2154
# Kubernetes' page "IP Masquerade Agent User Guide" (tasks/administer-cluster/ip-masq-agent), command by command.

# What `iptables -t nat -L IP-MASQ-AGENT` lists: target and destination of each rule. Debian has a name for one of the networks.
listed() {
    on_node iptables -t nat -L IP-MASQ-AGENT | awk 'NR > 2 { sub("link-local", "169.254.0.0", $5); print $1, $5 }' | paste -sd,
}
lists() { [ "$(listed)" = "$1" ]; }

page_create() {
    sed "s|image: .*|image: $image|" "$here/kubernetes/upstream.yaml" >"$run/ip-masq-agent.yaml"
    k apply -f "$run/ip-masq-agent.yaml" >&2
    k label nodes masq-node beta.kubernetes.io/masq-agent-ds-ready=true >&2
    wait_for 60 agent_is_ready "$image"
    wait_for 10 lists "RETURN 169.254.0.0/16,RETURN 10.0.0.0/8,RETURN 172.16.0.0/12,RETURN 192.168.0.0/16,MASQUERADE anywhere"
    listed
}

page_configmap() {
    local began
    printf 'nonMasqueradeCIDRs:\n  - 10.0.0.0/8\nresyncInterval: 60s\n' >"$run/config"
    began=$(now)
    (cd "$run" && k create configmap ip-masq-agent --from-file=config --namespace=kube-system >&2)
    wait_for 100 lists "RETURN 169.254.0.0/16,RETURN 10.0.0.0/8,MASQUERADE anywhere"
    echo "$(listed) after $(($(now) - began)) ms"
}

page_link_local() {
    local began
    began=$(now)
    configure $'nonMasqueradeCIDRs:\n  - 10.0.0.0/8\nresyncInterval: 60s\nmasqLinkLocal: true'
    wait_for 100 lists "RETURN 10.0.0.0/8,MASQUERADE anywhere"
    echo "$(listed) after $(($(now) - began)) ms"
    remove_agent
}
