#!/usr/bin/env bash
# node.sh: a Kubernetes of one node (etcd, kube-apiserver, kube-controller-manager, kube-scheduler, containerd, kubelet and, if asked
# for, kube-proxy) in network, mount, PID and cgroup namespaces of its own. The host's rules, /run, /var and sysctls stay as they are.
#
#   node.sh up             brings it up; IMAGES="a.tar b.tar" are imported, PROXY=iptables starts kube-proxy too
#   node.sh proxy          starts kube-proxy (mode iptables) on a node that has none
#   node.sh k ARGUMENTS    kubectl as the cluster's administrator
#   node.sh in COMMAND     COMMAND on the node: its network, its mounts, its processes
#   node.sh down           ends it, and removes all that `up` made
#
# SERVERS: the directory of servers.sh. RUN: a directory for all that it writes. It needs root, and cgroup v1 (kubelet 1.20 does).
set -euo pipefail

me=$(readlink -f "$0")
: "${SERVERS:?}" "${RUN:?}"
export SERVERS RUN IMAGES=${IMAGES-} PROXY=${PROXY-}
namespace=masq-acceptance-node
outside=masq-acceptance-outside
node=masq-node
address=10.250.0.1
pods=10.244.0.0/24
kubectl=$SERVERS/bin/kubectl
export PATH=$SERVERS/debian/usr/bin:$SERVERS/debian/usr/sbin:$SERVERS/bin:$PATH:/usr/sbin:/sbin

# The first process of the PID namespace: the only child of the `unshare` that made it.
first_process() { [ -s "$RUN/holder" ] && pgrep -P "$(cat "$RUN/holder")"; }
on_node() { nsenter --target "$(first_process)" --net --mount --pid --cgroup --wdns="$PWD" -- "$@"; }

# The world outside: one address that the default policy exempts, and one that it masquerades. It knows the way to the pods, so
# that both get their answers.
make_networks() {
    ip netns add $namespace
    ip netns add $outside
    ip -n $namespace link set lo up
    ip -n $outside link set lo up
    ip -n $namespace link add masq-node type bridge
    ip -n $namespace addr add $address/24 dev masq-node
    ip -n $namespace link set masq-node up
    # kubelet looks for a default route; nothing is behind this one. It asks the clouds' metadata servers, which has to fail at once.
    ip -n $namespace route add default via $address dev masq-node
    ip -n $namespace route add unreachable 169.254.0.0/16
    ip -n $namespace link add outside type veth peer name node netns $outside
    ip -n $namespace addr add 192.0.2.1/24 dev outside
    ip -n $namespace link set outside up
    ip -n $outside addr add 192.0.2.2/24 dev node
    ip -n $outside addr add 10.99.0.10/32 dev lo
    ip -n $outside addr add 203.0.113.10/32 dev lo
    ip -n $outside link set node up
    ip -n $outside route add $pods via 192.0.2.1
    ip -n $namespace route add 10.99.0.0/16 via 192.0.2.2
    ip -n $namespace route add 203.0.113.0/24 via 192.0.2.2
}

# A control group below the one that we are in, in each hierarchy, for this process and all that it starts.
enter_control_groups() {
    local own id controllers path directory
    own=$(cat /proc/self/cgroup) # read whole: its lines change under the reader otherwise
    while IFS=: read -r id controllers path; do
        [ "$id" = 0 ] && continue
        directory=/sys/fs/cgroup/${controllers#name=}$path
        directory=${directory%/}/masq-acceptance
        echo "$directory" >>"$RUN/cgroups"
        mkdir -p "$directory"
        if [ "$controllers" = cpuset ]; then
            cat "$directory/../cpuset.cpus" >"$directory/cpuset.cpus"
            cat "$directory/../cpuset.mems" >"$directory/cpuset.mems"
            echo 1 >"$directory/cgroup.clone_children"
        fi
        echo "$BASHPID" >"$directory/cgroup.procs"
    done <<<"$own"
}

up() {
    [ -d /sys/fs/cgroup/memory ] || { echo "node.sh: no /sys/fs/cgroup/memory: kubelet 1.20 needs cgroup v1" >&2; exit 1; }
    mkdir -p "$RUN"
    make_networks
    (
        enter_control_groups
        exec setsid nsenter --net=/run/netns/$namespace unshare --mount --pid --fork --cgroup --kill-child "$me" inside
    ) >"$RUN/inside.log" 2>&1 </dev/null &
    echo $! >"$RUN/holder"
    for ((tenths = 0; tenths < 3000; tenths++)); do
        [ -e "$RUN/ready" ] && return
        kill -0 $! 2>/dev/null || break
        sleep 0.1
    done
    echo "node.sh: the node has not come up; the ends of its logs:" >&2
    tail -n 5 "$RUN"/*.log >&2
    exit 1
}

# Mounts of this namespace alone: the control groups as the node sees them, an empty /run, a /var that is thrown away, and files in
# the place of those sysctls that are the whole machine's and that kubelet writes.
mount_own() {
    mount --make-rprivate /
    mount --make-rshared /
    mount -t proc proc /proc
    mount -t sysfs sysfs /sys
    mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
    local id controllers
    while IFS=: read -r id controllers _; do
        [ "$id" = 0 ] && continue
        mkdir "/sys/fs/cgroup/${controllers#name=}"
        case $controllers in
            name=*) mount -t cgroup -o "none,$controllers" cgroup "/sys/fs/cgroup/${controllers#name=}" ;;
            *) mount -t cgroup -o "$controllers" cgroup "/sys/fs/cgroup/$controllers" ;;
        esac
    done </proc/self/cgroup
    mkdir -p "$RUN"/{var,var-work,cni,kubelet,sysctl}
    mount -t overlay -o "lowerdir=/var,upperdir=$RUN/var,workdir=$RUN/var-work" var /var
    mount -t tmpfs -o mode=755 run /run
    echo 'nameserver 127.0.0.1' >/run/resolv.conf
    mount --bind /run/resolv.conf /etc/resolv.conf
    local name value
    while read -r name value; do
        echo "$value" >"$RUN/sysctl/${name##*/}"
        mount --bind "$RUN/sysctl/${name##*/}" "/proc/sys/$name"
    done <<END
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
END
    echo 1 >/proc/sys/net/ipv4/ip_forward
}

# certificate NAME SUBJECT EXTENSIONS
certificate() {
    openssl req -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.csr" -subj "$2"
    openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out "$1.crt" -extfile <(echo "$3")
}

make_certificates() {
    openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=masq-ca
    openssl genrsa -out accounts.key 2048
    openssl rsa -in accounts.key -pubout -out accounts.pub
    local name=DNS:kubernetes.default.svc
    certificate apiserver /CN=kube-apiserver "subjectAltName=$name,DNS:localhost,IP:127.0.0.1,IP:$address,IP:10.96.0.1"
    certificate admin /O=system:masters/CN=admin extendedKeyUsage=clientAuth
    certificate controllers /CN=system:kube-controller-manager extendedKeyUsage=clientAuth
    certificate scheduler /CN=system:kube-scheduler extendedKeyUsage=clientAuth
    certificate kubelet /O=system:nodes/CN=system:node:$node extendedKeyUsage=clientAuth
    certificate proxy /CN=system:kube-proxy extendedKeyUsage=clientAuth
    local user
    for user in admin controllers scheduler kubelet proxy; do
        cat >$user.conf <<END
{apiVersion: v1, kind: Config, current-context: d, contexts: [{name: d, context: {cluster: d, user: u}}],
 clusters: [{name: d, cluster: {server: "https://$address:6443", certificate-authority: $RUN/pki/ca.crt}}],
 users: [{name: u, user: {client-certificate: $RUN/pki/$user.crt, client-key: $RUN/pki/$user.key}}]}
END
    done
}

# background NAME COMMAND...: with its output in a log
background() {
    local name=$1
    shift
    "$@" >"$RUN/$name.log" 2>&1 </dev/null &
}

start_control_plane() {
    background etcd etcd --data-dir "$RUN/etcd" --unsafe-no-fsync
    background apiserver kube-apiserver --etcd-servers=http://127.0.0.1:2379 --advertise-address=$address --secure-port=6443 \
        --cert-dir="$RUN/apiserver" --client-ca-file=ca.crt --tls-cert-file=apiserver.crt --tls-private-key-file=apiserver.key \
        --kubelet-client-certificate=admin.crt --kubelet-client-key=admin.key --kubelet-preferred-address-types=InternalIP \
        --service-account-key-file=accounts.pub --service-account-signing-key-file=accounts.key \
        --service-account-issuer=https://kubernetes.default.svc --service-cluster-ip-range=10.96.0.0/24 \
        --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true
    until curl -sf --cacert ca.crt --cert admin.crt --key admin.key https://$address:6443/readyz >/dev/null; do sleep 0.2; done
    background controllers kube-controller-manager --kubeconfig=controllers.conf --authentication-kubeconfig=controllers.conf \
        --authorization-kubeconfig=controllers.conf --service-account-private-key-file=accounts.key --root-ca-file=ca.crt \
        --use-service-account-credentials --leader-elect=false --cert-dir="$RUN/controllers"
    background scheduler kube-scheduler --kubeconfig=scheduler.conf --leader-elect=false
}

# Without CAP_SYS_RESOURCE, as in many a build machine, nobody may lower a process' oom_score_adj.
start_containerd() {
    cat >"$RUN/containerd.toml" <<END
version = 2
root = "$RUN/containerd"
state = "/run/containerd"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$SERVERS/debian/usr/lib/cni"
    conf_dir = "$RUN/cni"
END
    cat >"$RUN/cni/10-masq.conflist" <<END
{"cniVersion": "0.4.0", "name": "masq", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$pods"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
END
    background containerd containerd --config "$RUN/containerd.toml"
    until ctr version >/dev/null 2>&1; do sleep 0.1; done
    local archive
    for archive in $IMAGES; do
        ctr -n k8s.io images import "$archive"
    done
}

start_kubelet() {
    cat >"$RUN/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $RUN/pki/ca.crt}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
failSwapOn: false
makeIPTablesUtilChains: false
syncFrequency: ${SYNC:-3s}
nodeStatusUpdateFrequency: 2s
evictionHard: {nodefs.available: 1%, imagefs.available: 1%, memory.available: 100Mi}
imageGCHighThresholdPercent: 100
resolvConf: ''
END
    background kubelet kubelet --config="$RUN/kubelet.yaml" --kubeconfig=kubelet.conf --root-dir="$RUN/kubelet" \
        --hostname-override=$node --node-ip=$address --cert-dir="$RUN/kubelet-pki" --container-runtime=remote \
        --container-runtime-endpoint=unix:///run/containerd/containerd.sock
}

# What it would set of conntrack is the whole machine's.
start_proxy() {
    background proxy kube-proxy --kubeconfig="$RUN/pki/proxy.conf" --hostname-override=$node --proxy-mode=iptables --cluster-cidr=$pods \
        --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0 --conntrack-tcp-timeout-close-wait=0
}

inside() {
    mount_own
    mkdir -p "$RUN/pki"
    cd "$RUN/pki"
    make_certificates 2>"$RUN/openssl.log"
    start_control_plane
    start_containerd
    start_kubelet
    [ -z "$PROXY" ] || start_proxy
    local condition='{.status.conditions[?(@.type=="Ready")].status}'
    until [ "$("$kubectl" --kubeconfig=admin.conf get node $node -o "jsonpath=$condition" 2>/dev/null)" = True ]; do sleep 0.2; done
    until "$kubectl" --kubeconfig=admin.conf -n default get serviceaccount default >/dev/null 2>&1; do sleep 0.2; done
    touch "$RUN/ready"
    # The first process has to wait for those that lost their parents.
    while :; do
        wait -n || sleep 1
    done
}

down() {
    local process directory
    # Everything in a PID namespace ends with its first process.
    if process=$(first_process); then
        kill -9 "$process" || :
    fi
    if [ -s "$RUN/holder" ]; then
        for ((tenths = 0; tenths < 100; tenths++)); do
            kill -0 "$(cat "$RUN/holder")" 2>/dev/null || break
            sleep 0.1
        done
    fi
    for process in $(ip netns pids $outside 2>/dev/null); do
        kill -9 "$process" || :
    done
    ip netns del $namespace 2>/dev/null || :
    ip netns del $outside 2>/dev/null || :
    if [ -e "$RUN/cgroups" ]; then
        for ((tenths = 0; tenths < 100; tenths++)); do
            while read -r directory; do
                [ ! -d "$directory" ] || find "$directory" -depth -type d -exec rmdir {} \; 2>/dev/null || :
            done <"$RUN/cgroups"
            while read -r directory; do [ ! -d "$directory" ] || continue 2; done <"$RUN/cgroups"
            break
        done
    fi
    rm -rf "$RUN"
}

case ${1-} in
    up | inside | down) "$1" ;;
    proxy) on_node env RUN="$RUN" SERVERS="$SERVERS" PATH="$PATH" "$me" proxy-inside ;;
    proxy-inside) start_proxy ;;
    k) shift && on_node "$kubectl" --kubeconfig="$RUN/pki/admin.conf" "$@" ;;
    in) shift && on_node "$@" ;;
    *) echo "usage: node.sh up|proxy|k ARGUMENTS|in COMMAND|down" >&2 && exit 2 ;;
esac
