#!/usr/bin/env bash
# build.sh ARCHITECTURE...: the image for each of amd64 and arm64 that is named, and what is linked into it, in the target
# directory (README.md beside this file). IMAGE_SOURCE: where the source is to be had, for the image's labels.
set -euo pipefail
cd "$(dirname "$0")/../.."

declare -A targets=([amd64]=x86_64-unknown-linux-gnu [arm64]=aarch64-unknown-linux-gnu)
declare -A machines=([amd64]=x86_64 [arm64]=aarch64)

metadata=$(mktemp)
trap 'rm -f "$metadata"' EXIT
"${CARGO:-cargo}" metadata --format-version 1 --locked >"$metadata"
package() { jq --raw-output ".packages[] | select(.name == \"ip-masq-agent\") | .$1" "$metadata"; }
version=$(package version)
directory=$(jq --raw-output .target_directory "$metadata")
output=$directory/image
mkdir -p "$output"

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
# the commit, with "-dirty" if something that git knows has been changed since
revision=$(git describe --always --dirty --abbrev=40 --exclude='*')

binaries=()
for architecture; do
    target=${targets[$architecture]:?one of ${!targets[*]} is wanted}
    machine=${machines[$architecture]}
    make --no-print-directory static STATIC_TARGET="$target"
    binary=$directory/$target/release/ip-masq-agent
    compiler=gcc
    if [ "$machine" != "$(uname -m)" ]; then
        compiler=$machine-linux-gnu-gcc
        # Nothing of the emulator but the processor: the binary needs no library, so that what starts here starts there.
        "qemu-$machine-static" "$binary" --version
    fi
    # what the static libc.a belongs to
    libc=$(printf '#include <features.h>\n__GLIBC__.__GLIBC_MINOR__\n' | "$compiler" -E -P - | tr -d ' ' | tail -n 1)
    list=$output/ip-masq-agent-$version-$architecture.cdx.json
    deploy/image/sbom.py --binary "$binary" --metadata "$metadata" --target "$target" --created "$SOURCE_DATE_EPOCH" \
        --rust "$(rustc -vV | sed -n 's/^release: //p')" --libc "$libc" >"$list.new"
    mv "$list.new" "$list"
    binaries+=(--binary "$architecture=$binary")
done

# image DIRECTORY [OPTION...]: the layout, and the same as an archive beside it
image() {
    local name=$1
    shift
    deploy/image/layout.py "${binaries[@]}" --output "$output/$name" --version "$version" --created "$SOURCE_DATE_EPOCH" \
        --revision "$revision" --source "${IMAGE_SOURCE:-}" --description "$(package description)" \
        --licenses "$(package license)" "$@"
}
image "ip-masq-agent-$version"
image "ip-masq-agent-$version-nonroot" --non-root
echo "in $output"
