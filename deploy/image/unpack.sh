#!/usr/bin/env bash
# unpack.sh [--source] SUITE DIRECTORY PACKAGE...: unpacks Debian's packages of SUITE into DIRECTORY, whichever suite this machine
# runs. Nothing is installed and no script of a package is run; what a package depends on has to be named too. PACKAGE=VERSION*
# takes a version. With --source the files of the source packages are put there, packed as they are.
set -euo pipefail

kind=deb
if [ "$1" = --source ]; then
    kind=deb-src
    shift
fi
suite=$1 directory=$(mkdir -p "$2" && cd "$2" && pwd)
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,cache/archives/partial,files}
echo "$kind [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main" >"$work/sources.list"
options=(-q -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)

fetch() {
    apt-get "${options[@]}" update && cd "$work/files" || return
    if [ $kind = deb ]; then
        apt-get "${options[@]}" download "$@"
    else
        apt-get "${options[@]}" source --download-only "$@"
    fi
}

echo "fetching $* of Debian's $suite"
fetch "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
if [ $kind = deb ]; then
    for package in "$work"/files/*.deb; do
        dpkg-deb -x "$package" "$directory"
    done
else
    cp "$work"/files/* "$directory/"
fi
