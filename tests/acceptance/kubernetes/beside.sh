# shellcheck shell=bash disable=SC2154
# Beside kube-proxy in mode iptables, which writes into the same table.

repairs() { metric 'repairs_total{.*}' | awk '{ sum += $1 } END { print sum + 0 }'; }
jumps() { on_node iptables -t nat -S POSTROUTING | sed -n 's/.*-j //p' | paste -sd' '; }
proxy_is_there() { on_node iptables -t nat -S KUBE-SERVICES | grep -F 10.96.0.101 >/dev/null; }

beside_service() {
    ours
    k apply -f "$here/kubernetes/services.yaml" >&2
    in_pod backend "$here/kubernetes/prober.py" serve "$(address_of backend)" >"$run/backend.log" 2>&1 &
    wait_for 10 grep -q serving "$run/backend.log"
    node proxy
    wait_for 60 proxy_is_there
    [ "$(source_at 10.96.0.100:53)" = "$(address_of client)" ]
    [ "$(source_at 10.96.0.101:53)" = "$node_address" ]
    echo "through a Service a pod sees $(source_at 10.96.0.100:53), a masqueraded place $(source_at 10.96.0.101:53)"
}

others_commits() { metric 'foreign_commits_total{.*}' | awk '{ sum += $1 } END { print sum + 0 }'; }
wrote_more_than() { [ "$(others_commits)" -gt "$1" ]; }

# Each new Service makes kube-proxy write the table anew.
beside_no_contest() {
    local repaired wrote flows number
    case $(jumps) in
        "KUBE-POSTROUTING IP-MASQ-AGENT" | "IP-MASQ-AGENT KUBE-POSTROUTING") ;;
        *) echo "POSTROUTING jumps to $(jumps)" >&2 && return 1 ;;
    esac
    repaired=$(repairs)
    begin_stream
    for number in 1 2 3 4 5; do
        wrote=$(others_commits)
        k create service clusterip "extra-$number" --tcp=80:80 "--clusterip=10.96.0.20$number" >&2
        wait_for 60 wrote_more_than "$wrote"
    done
    flows=$(end_stream)
    [ "$(repairs)" = "$repaired" ]
    [ "$(metric 'state{ip_masq_agent_state="contested"}')" = 0.0 ]
    is_ready "$(pod)"
    echo "POSTROUTING jumps to $(jumps), in this order; $(others_commits) commits of others, none had to be repaired; $flows"
}

beside_repaired() {
    local began
    on_node iptables -t nat -F IP-MASQ-AGENT
    began=$(now)
    wait_for 10 chain_has MASQUERADE
    wait_for 30 is_ready "$(pod)"
    echo "a flushed chain is whole again after $(($(now) - began)) ms; POSTROUTING jumps to $(jumps)"
}
