#!/usr/bin/env bash
# before.sh COMMIT|BINARY|"" DIRECTORY: prints the path of the binary that `make bench BEFORE=…` compares with, or nothing.
# That of a commit is built as `make static` builds it, in a work tree of its own, and kept in DIRECTORY.
set -euo pipefail
before=$1
directory=$(realpath -m -- "$2")

if [[ -z $before ]]; then
    exit
fi
if [[ -f $before ]]; then
    realpath -- "$before"
    exit
fi
commit=$(git rev-parse --verify --quiet "$before^{commit}") || {
    echo "BEFORE=$before is neither a file nor a commit" >&2
    exit 1
}
binary=$directory/$commit
if [[ ! -f $binary ]]; then
    mkdir -p "$directory"
    # Outside of this one: cargo takes a package for part of a workspace above it.
    tree=$(mktemp -d)
    trap 'git worktree remove --force "$tree" >&2' EXIT
    git worktree add --detach --force "$tree" "$commit" >&2
    host=$(rustc -vV | sed -n 's/^host: //p')
    (
        cd "$tree"
        RUSTFLAGS="-C target-feature=+crt-static" CARGO_TARGET_DIR=$directory/target \
            "${CARGO:-cargo}" build --release --locked --target "$host" >&2
    )
    # Named at last, so that it is never half a binary.
    cp "$directory/target/$host/release/ip-masq-agent" "$binary.part"
    mv "$binary.part" "$binary"
fi
realpath -- "$binary"
