#!/usr/bin/env python3
"""Prints the binary out of an archive that `make image` wrote.

    extract.py ARCHIVE ARCHITECTURE >FILE
"""

import io
import json
import sys
import tarfile


def main():
    with tarfile.open(sys.argv[1]) as archive:
        def blob(descriptor):
            return archive.extractfile("blobs/sha256/" + descriptor["digest"].removeprefix("sha256:")).read()

        top = json.load(archive.extractfile("index.json"))["manifests"][0]
        manifests = json.loads(blob(top))["manifests"]
        manifest = next(entry for entry in manifests if entry["platform"]["architecture"] == sys.argv[2])
        layer = blob(json.loads(blob(manifest))["layers"][0])
    with tarfile.open(fileobj=io.BytesIO(layer)) as files:
        sys.stdout.buffer.write(files.extractfile("ip-masq-agent").read())


if __name__ == "__main__":
    main()
