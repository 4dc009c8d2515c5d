#!/usr/bin/env python3
"""Writes what is linked into a binary as a CycloneDX 1.5 list (SBOM), from the list that the binary itself carries.

    sbom.py --binary PATH --metadata METADATA.json --target TARGET --created SECONDS --rust VERSION --libc VERSION >FILE.cdx.json

The list in the binary is that of `cargo auditable`: the section .dep-v0, zlib-packed JSON. METADATA.json is `cargo metadata
--format-version 1`, for what the section leaves out: licences, and which crates are procedural macros. Those run in the compiler,
so they and what only they need do not count, nor does what is for build scripts alone.
The standard library and libc.a come with the compiler and the linker, so no list of Cargo's has them.

Formats: https://github.com/rust-secure-code/cargo-auditable (PARSING.md), https://cyclonedx.org/docs/1.5/json/.
"""

import argparse
import datetime
import hashlib
import json
import pathlib
import struct
import sys
import uuid
import zlib

SECTION = b".dep-v0"

# A list of a few hundred packages is some 10 KiB; a section that unpacks to more than this is none.
LARGEST_LIST = 8 << 20


class Broken(Exception):
    """The binary is not what was expected."""


def section(binary, name):
    """The content of an ELF section (elf(5), 64 bit, little-endian), or None."""
    if binary[:6] != b"\x7fELF\x02\x01":
        raise Broken("it is no 64-bit little-endian ELF file")
    offset, = struct.unpack_from("<Q", binary, 0x28)
    size, count, names = struct.unpack_from("<3H", binary, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", binary, offset + size * number) for number in range(count)]
    if names >= count:
        return None
    strings = headers[names][4]
    for name_offset, _, _, _, start, length in headers:
        if binary[strings + name_offset:].split(b"\0", 1)[0] == name:
            return binary[start:start + length]
    return None


def packages(binary):
    """The list as PARSING.md has it: packages that name their dependencies by their place in the list."""
    try:
        packed = section(binary, SECTION)
        if packed is None:
            raise Broken("it has no section .dep-v0: build it by `make static`, which calls `cargo auditable`")
        return json.loads(zlib.decompressobj().decompress(packed, LARGEST_LIST))["packages"]
    except (struct.error, zlib.error, ValueError, KeyError, TypeError) as error:
        raise Broken(f"its list of dependencies cannot be read ({error!r})") from error


def linked(listed, macros):
    """Those of the list that the root reaches by other ways than procedural macros and build scripts."""
    def counts(package):
        return package.get("kind", "runtime") == "runtime" and identity(package) not in macros

    waiting = [package for package in listed if package.get("root")]
    if not waiting:
        raise Broken("its list of dependencies names no package as the root")
    reached = set()
    while waiting:
        package = waiting.pop()
        if id(package) not in reached:
            reached.add(id(package))
            waiting += filter(counts, needs(package, listed))
    return [package for package in listed if id(package) in reached]


def needs(package, listed):
    return [listed[place] for place in package.get("dependencies", [])]


def identity(package):
    return package["name"], package["version"]


def component(kind, name, version, purl, licence):
    """A component; its purl, or the name of a crate that is in no registry, is how others refer to it."""
    found = {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl}
    if licence:
        found["licenses"] = [{"expression": licence}]
    return found


def crate(package, licences):
    name, version = identity(package)
    # Crates of the workspace and crates of the registry are told apart as the purl type cargo does.
    where = "" if package["source"] == "crates.io" else "?repository_url=local"
    return component("library", name, version, f"pkg:cargo/{name}@{version}{where}", licences.get((name, version)))


def sbom(binary, metadata, arguments):
    """The whole document. Nothing in it depends on when or where it is written."""
    licences = {identity(package): package["license"] for package in metadata}
    macros = {identity(package) for package in metadata if any("proc-macro" in made["kind"] for made in package["targets"])}
    listed = packages(binary)
    parts = linked(listed, macros)
    crates = {id(package): crate(package, licences) for package in parts}
    root = next(crates[id(package)] for package in parts if package.get("root"))
    std = component("library", "rust-std", arguments.rust, f"pkg:generic/rust-std@{arguments.rust}", "MIT OR Apache-2.0")
    libc = component("library", "glibc", arguments.libc, f"pkg:generic/glibc@{arguments.libc}", "LGPL-2.1-or-later")
    digest = hashlib.sha256(binary).hexdigest()
    dependencies = [{"ref": std["bom-ref"], "dependsOn": [libc["bom-ref"]]}, {"ref": libc["bom-ref"], "dependsOn": []}]
    for package in parts:
        refs = sorted(crates[id(other)]["bom-ref"] for other in needs(package, listed) if id(other) in crates)
        dependencies.append({"ref": crates[id(package)]["bom-ref"], "dependsOn": [*refs, std["bom-ref"]]})
    created = datetime.datetime.fromtimestamp(arguments.created, datetime.timezone.utc)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'sha256:{digest}')}",
        "version": 1,
        "metadata": {
            "timestamp": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                **root, "type": "application",
                "hashes": [{"alg": "SHA-256", "content": digest}],
                "properties": [{"name": "target", "value": arguments.target}],
            },
        },
        "components": [part for part in crates.values() if part is not root] + [std, libc],
        "dependencies": dependencies,
    }


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True, type=pathlib.Path)
    parser.add_argument("--metadata", required=True, type=pathlib.Path, help="what `cargo metadata --format-version 1` says")
    parser.add_argument("--target", required=True, help="what the binary was built for, such as x86_64-unknown-linux-gnu")
    parser.add_argument("--created", required=True, type=int, metavar="SECONDS", help="SOURCE_DATE_EPOCH: the commit's time")
    parser.add_argument("--rust", required=True, help="the version of the standard library")
    parser.add_argument("--libc", required=True, help="the version of libc.a")
    return parser.parse_args()


def main():
    arguments = parse()
    try:
        metadata = json.loads(arguments.metadata.read_text())
        document = sbom(arguments.binary.read_bytes(), metadata["packages"], arguments)
    except (OSError, Broken) as error:
        sys.exit(f"sbom.py: {arguments.binary}: {error}")
    json.dump(document, sys.stdout, indent=1, sort_keys=True, ensure_ascii=False)
    print()


if __name__ == "__main__":
    main()
