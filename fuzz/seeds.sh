#!/usr/bin/env bash
# Makes the seed corpus of every fuzz target in DIRECTORY/<target>/, from rules/, testdata/ and fuzz/corpus-seed/.
set -euo pipefail
(($# == 1)) || { printf 'usage: %s DIRECTORY\n' "$0" >&2; exit 2; }
mkdir -p "$1"
to=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
mkdir -p "$to"/{rules,goyaml,codec,netlink,state,flags}

# A line of flags, then a configuration file.
policy() { # NAME FLAGS FILE
    { printf '%s\n' "$2"; cat "$3"; } >"$to/rules/$1"
}
for case in rules/*/; do
    flags=$(cat "$case/flags" 2>/dev/null || true)
    policy "case-$(basename "$case")" "$(tr '\n' ' ' <<<"$flags")" "$case"/config.*
    printf '%s' "${flags:-run}" >"$to/flags/$(basename "$case")"
done
for file in testdata/config/{odd,bad}/*.{yaml,json}; do
    flags=
    [[ $file == *.ipv6.* ]] && flags=--enable-ipv6
    name=$(basename "$(dirname "$file")")-$(basename "$file")
    policy "$name" "$flags" "$file"
    cp "$file" "$to/goyaml/$name"
done
cp "$to"/rules/* "$to/codec/"

# What was recorded, as `netlink` reads it: a byte of switches, then datagrams behind their lengths, once for each of the
# eight things that can be asked for. In the recordings a line with a `$` is a command, and an empty line parts datagrams.
datagram() { # HEXADECIMAL-BYTE…
    printf '%b' "$(printf '\\x%02x\\x%02x' $(($# % 256)) $(($# / 256)))$(printf '\\x%s' "$@")"
}
recording() { # FILE NAME
    local number=0 line bytes=() out
    while IFS= read -r line || [[ -n $line ]]; do
        case $line in
        '$ '*)
            out=$2-$((number += 1))
            : >"$out"
            ;;
        '') ;;
        *) read -ra more <<<"$line" && bytes+=("${more[@]}") && continue ;;
        esac
        ((${#bytes[@]} == 0)) || datagram "${bytes[@]}" >>"$out"
        bytes=()
    done < <(cat "$1"; echo)
}
for file in testdata/netlink/*.received; do
    recording "$file" "$work/$(basename "$file")"
done
for file in "$work"/*; do
    for asked in 0 1 2 3 4 5 6 7; do
        # Followed by what ends a dump.
        { printf '%b' "$(printf '\\x%02x' $((asked * 32 + 1)))"; cat "$file"; } >"$to/netlink/$(basename "$file")-$asked"
    done
done

cp fuzz/corpus-seed/state/* testdata/state/* "$to/state/"
cp fuzz/corpus-seed/flags/* "$to/flags/"
