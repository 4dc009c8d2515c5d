#!/usr/bin/env python3
"""Writes an image of upstream's agent as upstream has it: its binary, and iptables with the libraries that it loads.

    upstream_image.py AGENT OUTPUT      AGENT: upstream's binary, or ours in its place; OUTPUT: a directory, and OUTPUT.tar

What iptables needs is taken from this machine. The name is that of upstream's manifest, so that the manifest stays as it is.
"""

import hashlib
import io
import pathlib
import platform
import re
import subprocess
import sys
import tarfile

sys.dont_write_bytecode = True  # not beside the sources
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "deploy" / "image"))
import layout as oci  # noqa: E402

NAME = "registry.k8s.io/networking/ip-masq-agent:v2.8.0"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
PROGRAMS = ["iptables", "ip6tables", "iptables-save", "iptables-restore", "ip6tables-save", "ip6tables-restore"]


def files():
    """Where each file goes, and its content."""
    tool = pathlib.Path("/usr/sbin/xtables-nft-multi")
    extensions = sorted(pathlib.Path("/usr/lib").glob("*/xtables/lib*.so"))
    found = {f"usr/sbin/{name}": tool.read_bytes() for name in PROGRAMS}
    for file in [tool, *extensions]:
        listed = subprocess.run(["ldd", file], capture_output=True, text=True, check=True).stdout
        for path in re.findall(r"(/\S+) \(0x", listed):
            found[path.lstrip("/")] = pathlib.Path(path).read_bytes()
    found.update({str(path).lstrip("/"): path.read_bytes() for path in extensions})
    return found


def main():
    agent, output = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    layout = oci.Layout(output, 0)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        # its log is files there
        directory = oci.entry("tmp", 0o1777, 0)
        directory.type = tarfile.DIRTYPE
        archive.addfile(directory)
        for path, content in sorted({"ip-masq-agent": agent.read_bytes(), **files()}.items()):
            oci.add_file(archive, oci.entry(path, 0o755, 0), content)
    layer = buffer.getvalue()
    config = {
        **oci.PLATFORMS[ARCHITECTURE],
        "config": {"Entrypoint": ["/ip-masq-agent"], "Env": ["PATH=/usr/sbin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": layout.blob(oci.CONFIG, oci.as_json(config)),
        "layers": [layout.blob(oci.LAYER, oci.gzip(layer))],
    }
    named = {**layout.blob(oci.MANIFEST, oci.as_json(manifest)), "annotations": {"io.containerd.image.name": NAME}}
    layout.write("index.json", oci.as_json({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [named]}))
    layout.archive(output.with_name(output.name + ".tar"))


if __name__ == "__main__":
    main()
