#!/usr/bin/env bash
# Records again what the commands in these files (the lines with a $) exchange with the kernel.
# Needs strace, iptables, nft, conntrack and ip. Run it as: unshare --map-root-user --net ./capture.sh
set -euo pipefail
cd "$(dirname "$0")"

# The bytes of a hexadecimal dump by strace, without offsets and letters; an empty line between datagrams.
bytes() {
    awk '/^ \| 0+  / { if (seen++) print "" } /^ \| / { print substr($0, 11, 49) }' | sed 's/  */ /g; s/^ //; s/ $//'
}

record() {
    local file=$1 call=$2 direction=$3 commands
    mapfile -t commands < <(grep '^\$ ' "$file")
    for command in "${commands[@]}"; do
        printf '%s\n' "$command"
        eval "strace --trace=$call --raw=$call --$direction=all ${command#\$ }" 2>&1 >/dev/null | bytes
        printf '\n'
    done >"$file.new"
    mv "$file.new" "$file"
}

for tool in iptables-nft ip6tables-nft; do
    record "$tool.sent" sendmsg write
    record "$tool.received" recvmsg read
done
for family in ip ip6; do
    record "nft-$family.sent" sendmsg write
    record "nft-$family.received" recvmsg read
done
# In this order: the flows that the first makes are those that the next lists and the last deletes.
record conntrack.sent sendto write
record conntrack.received recvmsg read
record conntrack-delete.sent sendto write
record ip-address.received recvmsg read
