# shellcheck shell=bash disable=SC2154
# What the checks are made of. Sourced by ../kubernetes.sh, which sets `here`, `run` and `passed`, `failed`.

node() { "$here/kubernetes/node.sh" "$@"; }
k() { node k "$@"; }
system() { k -n kube-system "$@"; }
on_node() { node in "$@"; }
now() { echo $(($(date +%s%N) / 1000000)); } # milliseconds

# check WHAT FUNCTION: one line of what was measured, which the function prints; or all that it said.
check() {
    local what=$1 function=$2 measured status log
    case $function in ${ONLY-}*) ;; *) return ;; esac
    # Not as a condition: bash would then go on after what fails within the function.
    set +e
    measured=$(set -eE; trap 'echo "failed: $BASH_COMMAND" >&2' ERR; "$function" 2>"$run/$function.log")
    status=$?
    set -e
    if [ $status = 0 ]; then
        printf 'ok      %s: %s\n' "$what" "$measured"
        passed=$((passed + 1))
    else
        printf 'FAILED  %s: %s\n' "$what" "$measured"
        tail -n 40 "$run/$function.log" | sed 's/^/        /'
        failed=$((failed + 1))
        # one that it began would go on under the next check's policy
        for log in "$run"/stream-*.log; do touch "${log%.log}.stop"; done
        system describe pods -l k8s-app=ip-masq-agent 2>&1 | sed -n '/^Events/,$p' | sed 's/^/        /' || :
        system logs -l k8s-app=ip-masq-agent --tail=15 2>&1 | sed 's/^/        /' || :
    fi
}

# wait_for SECONDS COMMAND...: until the command succeeds.
wait_for() {
    local until=$(($(now) + $1 * 1000))
    shift
    until "$@" >"$run/wait.log" 2>&1; do
        if [ "$(now)" -gt "$until" ]; then
            echo "waited in vain for: $*" >&2
            cat "$run/wait.log" >&2
            return 1
        fi
        sleep 0.1
    done
}

chain() { on_node iptables -t nat -S IP-MASQ-AGENT; }
# Not `grep -q`, which ends at the first match, so that what writes a long list fails, and the pipe with it.
chain_has() { chain | grep -F -e "$1" >/dev/null; }
chain_lacks() { ! chain_has "$1"; }
exempt() { chain_has "-d $1 "; }
not_exempt() { ! exempt "$1"; }

# The newest pod with a label, as the others are on their way out.
newest() {
    system get pods -l "k8s-app=$1" --sort-by=.metadata.creationTimestamp \
        -o 'jsonpath={range .items[*]}{.metadata.name}{"\n"}{end}' | tail -n 1
}
pod() { newest ip-masq-agent; }
is_ready() { [ "$(system get pod "$1" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}')" = "${2:-True}" ]; }
is_not_ready() { is_ready "$1" False; }
# The newest pod is there, runs IMAGE and is ready, and no other one is left.
agent_is_ready() {
    [ "$(system get pods -l k8s-app=ip-masq-agent -o 'jsonpath={.items[*].spec.containers[0].image}')" = "$1" ] &&
        is_ready "$(pod)"
}
has_event() { # POD TEXT
    system get events --field-selector "involvedObject.name=$1" -o 'jsonpath={range .items[*]}{.message}{"\n"}{end}' | grep -E -e "$2" >/dev/null
}
event() { # POD TEXT: the part of it that fits
    system get events --field-selector "involvedObject.name=$1" -o 'jsonpath={range .items[*]}{.message}{"\n"}{end}' |
        grep -oE -e "$2.*" | tail -n 1
}
metric() { on_node curl -sf http://127.0.0.1:10297/metrics | sed -n "s/^ip_masq_agent_$1 //p"; }

# The ConfigMap as a file gives it.
configure() {
    printf '%s\n' "$1" >"$run/config"
    system create configmap ip-masq-agent --from-file="config=$run/config" --dry-run=client -o yaml >"$run/configmap.yaml"
    system apply -f "$run/configmap.yaml" >&2
}

# Without an agent, its configuration and its rules.
remove_agent() {
    system delete daemonset --ignore-not-found -l k8s-app=ip-masq-agent >&2
    system delete daemonset --ignore-not-found ip-masq-agent >&2
    system delete configmap --ignore-not-found ip-masq-agent >&2
    system wait --for=delete pod -l k8s-app=ip-masq-agent --timeout=60s >&2 || :
    on_node iptables -t nat -D POSTROUTING -m comment --comment \
        "ip-masq-agent: ensure nat POSTROUTING directs all non-LOCAL destination traffic to our custom IP-MASQ-AGENT chain" \
        -m addrtype ! --dst-type LOCAL -j IP-MASQ-AGENT >&2 || :
    on_node iptables -t nat -F IP-MASQ-AGENT >&2 || :
    on_node iptables -t nat -X IP-MASQ-AGENT >&2 || :
}

ours() {
    system apply -k "$here/../../deploy/kubernetes/base" >&2
    wait_for 90 agent_is_ready "$image"
}

# in_pod NAME COMMAND...: in the network namespace of that pod.
in_pod() {
    local process
    process=$(process_of "$1")
    shift
    on_node nsenter --target "$process" --net -- "$@"
}
process_of() {
    local container
    container=$(k get pod "$1" -o 'jsonpath={.status.containerStatuses[0].containerID}')
    on_node ctr -n k8s.io tasks list | awk -v id="${container#containerd://}" '$1 == id { print $2 }'
}
address_of() { k get pod "$1" -o 'jsonpath={.status.podIP}'; }
source_at() { in_pod client "$here/kubernetes/prober.py" ask "$1"; }

# New flows from the pod `client` to both places outside, until `end_stream` prints what became of them and fails if one of them met
# anything but the policy.
kept=10.99.0.10
masqueraded=203.0.113.10
node_address=192.0.2.1
begin_stream() {
    stream=$run/stream-$(now)
    in_pod client "$here/kubernetes/prober.py" stream "$stream" \
        "$kept=$(address_of client)" "$masqueraded=$node_address" >"$stream.log" 2>&1 &
}
end_stream() {
    touch "$stream.stop"
    wait_for 30 test -e "$stream"
    jq -r --arg kept "$kept" --arg masqueraded "$masqueraded" \
        '"\(.sent) new flows: \(.as_expected[$kept]) kept, \(.as_expected[$masqueraded]) masqueraded, other sources \(.others), errors \(.errors)"' \
        "$stream"
    jq -e '.others == {} and ([.as_expected[]] | add) == .sent and .sent > 50' "$stream" >/dev/null
}
