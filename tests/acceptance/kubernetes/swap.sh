# shellcheck shell=bash disable=SC2154
# From upstream to this agent and back, while a pod begins new flows.

swap_upstream() {
    remove_agent
    k apply -f "$here/kubernetes/upstream.yaml" >&2
    wait_for 60 agent_is_ready "$upstream_image"
    wait_for 60 chain_has MASQUERADE
    [ "$(source_at "$kept")" = "$(address_of client)" ]
    [ "$(source_at "$masqueraded")" = "$node_address" ]
    echo "$upstream_what; $(chain | grep -c '^-A') rules"
}

swap_there_and_back() {
    local before there back flows
    begin_stream
    before=$(now)
    ours
    there=$(now)
    system rollout undo daemonset/ip-masq-agent >&2
    wait_for 90 agent_is_ready "$upstream_image"
    back=$(now)
    system rollout undo daemonset/ip-masq-agent >&2
    wait_for 90 agent_is_ready "$image"
    flows="there again in $(($(now) - back)) ms: "
    flows+=$(end_stream)
    echo "there in $((there - before)) ms, back in $((back - there)) ms, $flows"
}

swap_pod_deleted() {
    local old
    old=$(pod)
    begin_stream
    system delete pod "$old" >&2
    chain_has MASQUERADE
    wait_for 60 agent_is_ready "$image"
    [ "$(pod)" != "$old" ]
    end_stream
}
