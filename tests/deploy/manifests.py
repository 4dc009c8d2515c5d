"""Reads manifests (YAML, many documents) from stdin and writes them as a JSON list.

    manifests.py VERSION...

Before, they are held strictly against the schemas of these versions of Kubernetes; those of a custom resource, or of a kind that a
version does not know, are passed over.
"""

import json
import sys

import kubernetes_validate
import yaml

documents = list(yaml.safe_load_all(sys.stdin))
for version in sys.argv[1:]:
    known = tuple(map(int, version.split("."))) >= (1, 30)
    for document in documents:
        group = document["apiVersion"].split("/")[0]
        if group == "monitoring.coreos.com" or group == "admissionregistration.k8s.io" and not known:
            continue
        kubernetes_validate.validate(document, version, strict=True)
json.dump(documents, sys.stdout)
