#!/usr/bin/env python3
"""Writes the container image as an OCI image layout, a directory and the same as a .tar, without a daemon.

    layout.py --binary amd64=PATH --binary arm64=PATH --version 0.1.0 --created 1700000000 --output DIRECTORY

An image is one layer with one file, the static binary. All times are --created, names are in a fixed order and gzip's
header has neither name nor time, so the same input gives the same bytes, and with them the same digest.

What it follows: https://github.com/opencontainers/image-spec (1.1): image-layout.md, image-index.md, manifest.md,
config.md, layer.md, annotations.md.
"""

import argparse
import datetime
import hashlib
import io
import json
import pathlib
import shutil
import struct
import sys
import tarfile
import zlib

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

# How the specification writes a platform, by Go's name of the architecture.
PLATFORMS = {
    "amd64": {"architecture": "amd64", "os": "linux"},
    "arm64": {"architecture": "arm64", "os": "linux", "variant": "v8"},
}

PROGRAM = "ip-masq-agent"

# A node pulls this before it has rules, so it has to stay small.
LARGEST_LAYER = 3 << 20

# The value of the extended attribute security.capability (struct vfs_cap_data of linux/capability.h): revision 2 with the flag
# "effective", CAP_NET_ADMIN (12) permitted, nothing inheritable. Each of its bytes is below 0x80, so it is its own UTF-8.
NET_ADMIN = struct.pack("<5I", 0x0200_0001, 1 << 12, 0, 0, 0).decode("ascii")

# Who the process is. Root by default: Kubernetes gives a container that is not root no ambient capabilities, so that the
# NET_ADMIN of its securityContext reaches nobody else, unless the file brings it along.
ROOT = "0:0"
NON_ROOT = "65532:65532"


class Layout:
    """A directory as image-layout.md describes it."""

    def __init__(self, directory, created):
        self.directory = directory
        self.created = created
        shutil.rmtree(directory, ignore_errors=True)
        (directory / "blobs" / "sha256").mkdir(parents=True)
        self.write("oci-layout", as_json({"imageLayoutVersion": "1.0.0"}))

    def write(self, name, content):
        (self.directory / name).write_bytes(content)

    def blob(self, media_type, content):
        """Stores a blob and returns its descriptor."""
        digest = hashlib.sha256(content).hexdigest()
        self.write(f"blobs/sha256/{digest}", content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def archive(self, path):
        """Writes the whole directory as a tar, which `ctr images import` and `podman load` read."""
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
            for file in sorted(self.directory.rglob("*")):
                if file.is_file():
                    name = file.relative_to(self.directory).as_posix()
                    add_file(archive, entry(name, 0o644, self.created), file.read_bytes())


def as_json(value):
    """The one way in which a value is written, so that it has one digest."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def entry(name, mode, created):
    info = tarfile.TarInfo(name)
    info.mode, info.mtime = mode, created
    return info


def add_file(archive, info, content):
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def layer_of(binary, created, capable):
    """The layer: the binary and nothing else, owned by root."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = entry(PROGRAM, 0o755, created)
        if capable:
            # How a layer carries extended attributes: layer.md, "File attributes".
            info.pax_headers["SCHILY.xattr.security.capability"] = NET_ADMIN
        add_file(archive, info, binary)
    return buffer.getvalue()


def gzip(content):
    """gzip with an empty header (RFC 1952): zlib writes no name, and 0 as the time."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return compressor.compress(content) + compressor.flush()


def image(layout, architecture, binary, arguments, labels):
    """Adds the image of one architecture, and returns the descriptor of its manifest."""
    layer = layer_of(binary, arguments.created, arguments.non_root)
    packed = gzip(layer)
    if len(packed) > LARGEST_LAYER:
        sys.exit(f"layout.py: the layer for {architecture} has {len(packed)} bytes, and {LARGEST_LAYER} is the most that "
                 "is allowed. Was the binary built by `make static`, which strips it?")
    config = {
        "created": labels["org.opencontainers.image.created"],
        **PLATFORMS[architecture],
        "config": {
            "Entrypoint": [f"/{PROGRAM}"],
            "Labels": labels,
            "User": NON_ROOT if arguments.non_root else ROOT,
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": layout.blob(CONFIG, as_json(config)),
        "layers": [layout.blob(LAYER, packed)],
        "annotations": labels,
    }
    print(f"  {architecture}: {len(packed)} bytes packed, {len(binary)} unpacked")
    return {**layout.blob(MANIFEST, as_json(manifest)), "platform": PLATFORMS[architecture]}


def labels_of(arguments):
    """annotations.md, "Pre-Defined Annotation Keys"; what is not known is left out."""
    created = datetime.datetime.fromtimestamp(arguments.created, datetime.timezone.utc)
    labels = {
        "created": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "title": PROGRAM,
        "description": arguments.description,
        "version": arguments.version,
        "revision": arguments.revision,
        "source": arguments.source,
        "licenses": arguments.licenses,
    }
    return {f"org.opencontainers.image.{key}": value for key, value in labels.items() if value}


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", action="append", required=True, metavar="ARCHITECTURE=PATH",
                        help=f"a static binary, once for each of {', '.join(PLATFORMS)}")
    parser.add_argument("--output", required=True, type=pathlib.Path, help="the directory; the archive is beside it, with .tar")
    parser.add_argument("--name", default=f"docker.io/library/{PROGRAM}",
                        help="what importers call the image; the default is what `image: ip-masq-agent` of a manifest means")
    parser.add_argument("--version", required=True)
    parser.add_argument("--created", required=True, type=int, metavar="SECONDS", help="SOURCE_DATE_EPOCH: the commit's time")
    parser.add_argument("--revision", default="", help="the commit")
    parser.add_argument("--source", default="", help="where the source is to be had")
    parser.add_argument("--description", default="")
    parser.add_argument("--licenses", default="")
    parser.add_argument("--non-root", action="store_true",
                        help=f"run as {NON_ROOT}, with CAP_NET_ADMIN as a capability of the file")
    arguments = parser.parse_args()
    binaries = {}
    for text in arguments.binary:
        architecture, _, path = text.partition("=")
        if architecture not in PLATFORMS or not path or architecture in binaries:
            parser.error(f"--binary {text}: expected ARCHITECTURE=PATH, each architecture once, of {', '.join(PLATFORMS)}")
        try:
            binaries[architecture] = pathlib.Path(path).read_bytes()
        except OSError as error:
            sys.exit(f"layout.py: {error}. `make image` builds the binaries first")
    return arguments, dict(sorted(binaries.items()))


def main():
    arguments, binaries = parse()
    labels = labels_of(arguments)
    tag = arguments.version + ("-nonroot" if arguments.non_root else "")
    print(f"{arguments.name}:{tag}")
    layout = Layout(arguments.output, arguments.created)
    manifests = [image(layout, architecture, binary, arguments, labels) for architecture, binary in binaries.items()]
    index = layout.blob(INDEX, as_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests, "annotations": labels}))
    # One image a layout: with two, `podman load` and `crane push` ask which is meant. skopeo reads the tag of the first
    # annotation, containerd, podman and docker the whole name of the second.
    names = {"org.opencontainers.image.ref.name": tag, "io.containerd.image.name": f"{arguments.name}:{tag}"}
    layout.write("index.json", as_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [{**index, "annotations": names}]}))
    layout.archive(arguments.output.with_name(arguments.output.name + ".tar"))
    print(f"  {index['digest']}")


if __name__ == "__main__":
    main()
