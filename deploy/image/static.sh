#!/usr/bin/env bash
# static.sh TARGET: builds the static binary for TARGET into cargo's target directory.
#
# It carries the list of what is linked into it (`cargo auditable`), and the same commit gives the same bytes wherever the
# checkout, the target directory and cargo's and rustup's own directories are: none of their paths gets into it.
set -euo pipefail
cd "$(dirname "$0")/../.."

target=$1
cargo=${CARGO:-cargo}
target_directory=$("$cargo" metadata --format-version 1 --no-deps --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
sysroot=$(rustc --print sysroot)
release=$(rustc -vV | sed -n 's/^release: //p')
commit=$(rustc -vV | sed -n 's/^commit-hash: //p')

command -v cargo-auditable >/dev/null || "$cargo" install cargo-auditable --locked
"$cargo" fetch --locked --target "$target"

# With --target the flags do not reach build scripts and procedural macros, which cannot be static.
flags=(-C target-feature=+crt-static)
# Addresses that the program relocates at its start are listed in the short form (RELR), which static programs can read since
# glibc 2.36; one that cannot would not come through the run that follows. A linker that does not know it for a target says so.
flags+=(-C link-arg=-Wl,-z,pack-relative-relocs)
# of two paths that fit, the later flag counts: the target directory is often within the checkout
flags+=("--remap-path-prefix=$PWD=/ip-masq-agent" "--remap-path-prefix=$target_directory=/target")
for sources in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
    flags+=("--remap-path-prefix=$sources=/cargo")
done
# as the standard library that rustup brings has it
flags+=("--remap-path-prefix=$sysroot/lib/rustlib/src/rust=/rustc/$commit")
options=(--release --locked --target "$target")

if [ "$target" != "$(rustc -vV | sed -n 's/^host: //p')" ]; then
    # Debian's cross compilers are called like the target without its vendor.
    linker=${target/-unknown/}-gcc
    command -v "$linker" >/dev/null ||
        { echo "static.sh: $linker is missing, which links for $target: \`make deps-image\` installs it" >&2; exit 1; }
    name=${target//-/_}
    export "CARGO_TARGET_${name^^}_LINKER=$linker"
    # `rustup target add` brings the standard library. Where its server cannot be reached, the library is built here.
    if [ ! -d "$(rustc --print target-libdir --target "$target")" ] && ! rustup target add "$target"; then
        sources=$target_directory/tools/rust-src-$release
        [ -d "$sources/usr" ] || deploy/image/unpack.sh trixie-backports "$sources" "rust-src=$release*" ||
            { echo "static.sh: neither rustup nor Debian has the standard library of Rust $release for $target" >&2; exit 1; }
        # cargo looks for them in the toolchain otherwise, which is not ours to add to
        export __CARGO_TESTS_ONLY_SRC_ROOT=$sources/usr/src/rustc-$release/library RUSTC_BOOTSTRAP=1
        flags+=("--remap-path-prefix=$sources/usr/src/rustc-$release=/rustc/$commit")
        options+=(-Z "build-std=std,panic_abort")
    fi
fi

# parted by 0x1f, as paths may have blanks in them
CARGO_ENCODED_RUSTFLAGS=$(printf '%s\x1f' "${flags[@]}") && export CARGO_ENCODED_RUSTFLAGS=${CARGO_ENCODED_RUSTFLAGS%$'\x1f'}
exec "$cargo" auditable build "${options[@]}"
