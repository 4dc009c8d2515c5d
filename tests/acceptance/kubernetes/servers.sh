#!/usr/bin/env bash
# servers.sh DIRECTORY: what a node of Kubernetes needs, into DIRECTORY, where it stays for the next time:
#
#   DIRECTORY/bin      Kubernetes 1.20.2, built from the sources that Debian has it from, with Debian's Go (minutes)
#   DIRECTORY/debian   etcd, containerd, runc and the CNI plugins, only unpacked: their packages would start servers
#
# Debian's source package has all of Kubernetes' dependencies in it, so that nothing else is fetched; Debian itself builds only
# kubectl of it. Another version of Kubernetes can be put into DIRECTORY/bin by hand.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
directory=$(mkdir -p "$1" && cd "$1" && pwd)
servers=(kube-apiserver kubelet kube-controller-manager kube-scheduler kube-proxy kubectl)
version=1.20.5+really1.20.2-1.1+deb12u1

[ -x "$directory/debian/usr/bin/etcd" ] ||
    "$here/../../../deploy/image/unpack.sh" bookworm "$directory/debian" etcd-server containerd runc containernetworking-plugins

missing=()
for server in "${servers[@]}"; do
    [ -x "$directory/bin/$server" ] || missing+=("$server")
done
[ ${#missing[@]} -gt 0 ] || exit 0

[ -x /usr/lib/go-1.19/bin/go ] || apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends golang-1.19-go
work=$directory/build
source=$work/gopath/src/k8s.io/kubernetes
if [ ! -e "$source/go.mod" ]; then
    "$here/../../../deploy/image/unpack.sh" --source bookworm "$work" "kubernetes=$version"
    mkdir -p "$source"
    tar xzf "$work"/kubernetes_*.orig.tar.gz -C "$source" --strip-components=1
fi

export PATH=/usr/lib/go-1.19/bin:$PATH GOPATH=$work/gopath GOCACHE=${GOCACHE:-$work/gocache}
export GO111MODULE=off GOPROXY=off CGO_ENABLED=0
cd "$source"
# The one file that the sources leave to be generated.
if [ ! -e pkg/generated/openapi/zz_generated.openapi.go ]; then
    go build -o "$work/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
    packages=$(grep -rl --include=*.go '+k8s:openapi-gen=' pkg cmd plugin staging/src/k8s.io |
        grep -vE '^staging/src/k8s.io/(code-generator|sample-)' | xargs -n1 dirname | LC_ALL=C sort -u |
        sed 's#^staging/src/#k8s.io/kubernetes/vendor/#;t;s#^#k8s.io/kubernetes/#' | paste -sd,)
    "$work/openapi-gen" -i "$packages" -p k8s.io/kubernetes/pkg/generated/openapi -O zz_generated.openapi \
        -h vendor/k8s.io/code-generator/hack/boilerplate.go.txt -r "$work/violations" 2>"$work/openapi-gen.log" ||
        { cat "$work/openapi-gen.log" >&2; exit 1; }
fi
stamp=k8s.io/kubernetes/vendor/k8s.io/component-base/version
for server in "${missing[@]}"; do
    echo "building $server"
    # without the clouds' libraries and Docker, which are most of the time that it takes
    go build -tags providerless,dockerless -o "$directory/bin/$server" \
        -ldflags "-s -w -X $stamp.gitVersion=v1.20.2 -X $stamp.gitMajor=1 -X $stamp.gitMinor=20" "./cmd/$server"
done
# a gigabyte that is of no more use
rm -rf "$work"
