#!/usr/bin/env bash
# kubernetes.sh TARGET SERVERS: the image that `make image` has put into the target directory, under the manifests of deploy/, on a
# real node of Kubernetes, each check a line. `make acceptance-kubernetes` builds the image and calls it. It needs root and about
# ten minutes, and the first time ten more to build Kubernetes into SERVERS. It leaves nothing behind, however it ends.
#
#   ONLY=policy           only the checks of one group: page, swap, policy, beside, deployed
#   UPSTREAM=FILE         upstream's own agent, to be swapped with ours. Debian's Go 1.19 builds kubernetes-sigs/ip-masq-agent v2.8.0,
#                         which has its dependencies with it: CGO_ENABLED=0 go build -mod=vendor ./cmd/ip-masq-agent
#                         Without it, ours takes upstream's place under upstream's manifest
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$here/../../Cargo.toml")
target=$(cd "$1" && pwd)
archive=$target/image/ip-masq-agent-$version.tar image=ip-masq-agent:$version servers=$2
# shellcheck disable=SC2034
tools=$target/tools # of tests/deploy/install-tools.sh
run=$(mktemp -d /tmp/masq-acceptance-XXXXXX)
passed=0 failed=0
export SERVERS RUN=$run/node
# shellcheck source=tests/acceptance/kubernetes/steps.sh
. "$here/kubernetes/steps.sh"

clean_up() {
    trap '' INT TERM
    node down || :
    rm -rf "$run"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

"$here/kubernetes/servers.sh" "$servers"
SERVERS=$(cd "$servers" && pwd)
export PATH=$SERVERS/debian/usr/bin:$PATH

# pause: what Kubernetes starts to hold the namespaces of a pod
printf '#include <unistd.h>\nint main(void) { for (;;) pause(); }\n' |
    gcc -static -O -o "$run/pause" -x c -
architecture=$(dpkg --print-architecture)
"$here/../../deploy/image/layout.py" --binary "$architecture=$run/pause" --name localhost/pause --version 1 --created 0 \
    --output "$run/pause-image" >"$run/pause.log"

# upstream's agent, for swap.sh
# shellcheck disable=SC2034
upstream_image=registry.k8s.io/networking/ip-masq-agent:v2.8.0
if [ -n "${UPSTREAM-}" ]; then
    "$here/kubernetes/upstream_image.py" "$UPSTREAM" "$run/upstream-image"
    # shellcheck disable=SC2034
    upstream_what="upstream's own agent"
else
    mkdir "$run/ours"
    "$here/kubernetes/extract.py" "$archive" "$architecture" >"$run/ours/ip-masq-agent"
    "$here/kubernetes/upstream_image.py" "$run/ours/ip-masq-agent" "$run/upstream-image"
    # shellcheck disable=SC2034
    upstream_what="our agent in the place of upstream's (UPSTREAM is not set)"
fi

began=$(now)
IMAGES="$run/pause-image.tar $archive $run/upstream-image.tar" node up
echo "$("$SERVERS/bin/kubelet" --version), $(on_node containerd --version | cut -d' ' -f1,3); up after $(($(now) - began)) ms"
ip netns exec masq-acceptance-outside "$here/kubernetes/prober.py" serve $kept $masqueraded >"$run/outside.log" 2>&1 &
disown # nobody has to be told that clean_up ended it
k apply -f "$here/kubernetes/pods.yaml" >"$run/pods.log"
k wait --for=condition=Ready pod/client pod/backend --timeout=60s >>"$run/pods.log"

for checks in documentation swap policy beside deployed; do
    # shellcheck disable=SC1090
    . "$here/kubernetes/$checks.sh"
done

check "documentation: created and labelled" page_create
check "documentation: a ConfigMap" page_configmap
check "documentation: masqLinkLocal" page_link_local
check "upstream's manifest" swap_upstream
check "swapped, undone, swapped" swap_there_and_back
check "pod deleted, its rules stay" swap_pod_deleted
check "ConfigMap edited" policy_edited
check "ConfigMap edited, pod annotated" policy_nudged
check "ConfigMap broken" policy_broken
check "ConfigMap broken, old rules still repaired" policy_broken_is_repaired
check "ConfigMap mended" policy_mended
check "1,000 ranges" policy_many_ranges
check "broken from the start" policy_broken_from_the_start
check "without hostNetwork" policy_without_host_network
check "kube-proxy beside it, Services" beside_service
check "kube-proxy beside it, no contest" beside_no_contest
check "kube-proxy beside it, a flushed chain" beside_repaired
check "components, one after the other" deployed_components
check "providers' overlays" deployed_overlays
check "Helm's chart" deployed_chart

echo "$passed passed, $failed failed"
[ $failed = 0 ]
