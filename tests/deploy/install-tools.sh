#!/usr/bin/env bash
# install-tools.sh DIRECTORY: puts what judges deploy/ into DIRECTORY, and changes nothing else on the machine: no package is
# installed (Debian's prometheus would start a server), each is only unpacked. Does nothing if all is there already.
#
#   DIRECTORY/bin/      promtool, kustomize, as Debian has them
#   DIRECTORY/python/   Python's packages of requirements.txt, in an environment of their own
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
tools=$1
mkdir -p "$tools/bin"

# unpack PACKAGE SUITE PROGRAM: PROGRAM out of Debian's PACKAGE in SUITE, whichever suite this machine runs.
unpack() {
    local package=$1 suite=$2 program=$3 work
    [ -x "$tools/bin/$(basename "$program")" ] && return
    work=$(mktemp -d)
    "$here/../../deploy/image/unpack.sh" "$suite" "$work/root" "$package"
    install -m 755 "$work/root/$program" "$tools/bin/"
    rm -rf "$work"
}

unpack prometheus bookworm /usr/bin/promtool
# bookworm's kubectl is of 1.20, before kustomize had components.
unpack kustomize trixie /usr/bin/kustomize

if ! cmp -s "$here/requirements.txt" "$tools/python/requirements.txt"; then
    rm -rf "$tools/python"
    python3 -m venv "$tools/python"
    "$tools/python/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
    cp "$here/requirements.txt" "$tools/python/"
fi
