"""What Helm's own code makes of the chart, as JSON for the tests: judge.py CHART CASES REFUSED VERSION...

CASES is a folder of values; REFUSED a list of values that must not be accepted; VERSION one of Kubernetes whose schemas judge
the objects. Nothing is decided here.
"""

import copy
import json
import pathlib
import random
import sys

import helm_python
import kubernetes_validate
import yaml

from cluster import cluster

# As in the documentation; the chart's names do not depend on the release's.
RELEASE = {"name": "ip-masq-agent", "namespace": "kube-system"}
# The namespace of the case of that name.
ELSEWHERE = {"elsewhere": "networking"}
# Since when Kubernetes has what older schemas cannot know.
SINCE = {"ValidatingAdmissionPolicy": "1.30", "ValidatingAdmissionPolicyBinding": "1.30"}


def render(chart, values, namespace=RELEASE["namespace"]):
    """The files, as `helm template` has them: the schema judges the values first."""
    files = chart.render(values, **{**RELEASE, "namespace": namespace})
    return {path.split("/", 1)[1]: text for path, text in sorted(files.items()) if text.strip()}


def objects(files):
    texts = [text for path, text in files.items() if path.endswith(".yaml")]
    return [item for text in texts for item in yaml.load_all(text, yaml.CSafeLoader) if item]


def faults(item, versions):
    """What the schemas of Kubernetes say against an object. They know no kinds of others."""
    found = []
    since = SINCE.get(item["kind"], "1.0")
    for version in (version for version in versions if number(version) >= number(since)):
        try:
            kubernetes_validate.validate(item, version, strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            found.append(f"{version}: no schema for {item['kind']} of {item['apiVersion']}")
        except kubernetes_validate.ValidationError as error:
            path = ".".join(map(str, error.path))
            found.append(f"{version}: {item['kind']} {item['metadata']['name']}: {path}: {error.message}")
    return found


def number(version):
    return tuple(map(int, version.split(".")))


def paths(values, above=()):
    """The path of each value in a tree of values, those of trees included. Into lists, but not of what stands in them."""
    entries = values.items() if isinstance(values, dict) else enumerate(values)
    for key, value in entries:
        if not isinstance(key, int):
            yield (*above, key)
        if isinstance(value, (dict, list)):
            yield from paths(value, (*above, key))


def written(path):
    """A path as the schema's properties are called: `rings[].name`."""
    return "".join("[]" if isinstance(key, int) else f".{key}" for key in path).lstrip(".")


def without(values, path):
    values = copy.deepcopy(values)
    inner = values
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return values


def effects(chart, values, rendered, namespace):
    """For each path in the values, whether something else is rendered without it."""
    changed = {}
    for path in paths(values):
        if not changed.get(written(path)):
            changed[written(path)] = attempt(chart, without(values, path), namespace) != rendered
    return changed


def random_rings(count):
    """Rings at random, from a seed of their own, for the evaluator of affinities."""
    source = random.Random(1)
    for _ in range(count):
        terms = [[random_term(source) for _ in range(source.randint(1, 2))] for _ in range(source.randint(0, 3))]
        rings = [{"name": f"r{number}", "nodeSelectorTerms": own} for number, own in enumerate(terms)]
        yield {"rings": [*rings, {"name": "rest"}]}


def random_term(source):
    keys = source.sample(["a", "b"], source.randint(1, 2))
    return {"matchExpressions": [random_requirement(source, key) for key in keys]}


def random_requirement(source, key):
    operator = source.choice(["In", "NotIn", "Exists", "DoesNotExist"])
    values = {"values": source.sample(["p", "q", "r"], source.randint(1, 2))} if "In" in operator else {}
    return {"key": key, "operator": operator, **values}


def attempt(chart, values, namespace=RELEASE["namespace"]):
    """The files, or what Helm says against the values."""
    try:
        return render(chart, values, namespace)
    except helm_python.HelmError as error:
        return str(error)


def beside_earlier(chart, values):
    """What is rendered in a cluster that has these ConfigMaps: ten of the release's, from young to old, and others."""
    own = [f"ip-masq-agent-{number:010x}" for number in range(10)]
    ages = {name: f"2026-01-{20 - number:02}T00:00:00Z" for number, name in enumerate(own)}
    others = {"ip-masq-agent-of-other": {"release": "other"}, "ip-masq-agent-aaaaaaaaaa": {"release": "other"},
              "ip-masq-agent-bbbbbbbbbb": {"immutable": False}, "ip-masq-agent": {}, "kube-root-ca.crt": {"release": None}}
    maps = [config_map(name, created) for name, created in ages.items()]
    maps += [config_map(name, "2026-02-01T00:00:00Z", **other) for name, other in others.items()]
    random.Random(1).shuffle(maps)
    with cluster(RELEASE["namespace"], maps) as config:
        files = config.render(chart, values, **RELEASE)
    return {"own": own, "found": maps, "objects": objects(files)}


def config_map(name, created, release=RELEASE["name"], immutable=True):
    annotations = {"annotations": {"meta.helm.sh/release-name": release}} if release else {}
    metadata = {"name": name, "namespace": RELEASE["namespace"], "creationTimestamp": created, **annotations}
    # As a later version of the chart would not write it.
    data = {"config": f"nonMasqueradeCIDRs: [10.0.0.0/8]   # of {name}\n\n"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "immutable": immutable, "data": data}


def refusal(chart, values):
    said = attempt(chart, values)
    return said if isinstance(said, str) else None


def main(chart_path, cases_path, refused_path, *versions):
    chart = helm_python.Chart.load(chart_path)
    cases = {}
    for path in sorted(pathlib.Path(cases_path).glob("*.yaml")):
        values = helm_python.values_from_yaml(path.read_text())
        namespace = ELSEWHERE.get(path.stem, RELEASE["namespace"])
        files = render(chart, values, namespace)
        made = objects(files)
        kubernetes = [item for item in made if not item["apiVersion"].startswith("monitoring.coreos.com/")]
        cases[path.stem] = {
            "values": values,
            "faults": [fault for item in kubernetes for fault in faults(item, versions)],
            "configurations": {
                item["metadata"]["name"]: yaml.safe_load(item["data"]["config"])
                for item in made
                if item["kind"] == "ConfigMap"
            },
            "effects": effects(chart, values, files, namespace),
            "files": files,
            "objects": made,
        }
    refused = yaml.safe_load(pathlib.Path(refused_path).read_text())
    for case in refused:
        case["said"] = refusal(chart, case["values"])
    random_cases = [{"values": values, "objects": objects(render(chart, values))} for values in random_rings(40)]
    flags = chart.schema["properties"]["flags"]["properties"]
    judged = {
        "lint": helm_python.lint(chart_path, strict=True),
        "defaults": chart.values,
        "schema": chart.schema,
        "cases": cases,
        "refused": refused,
        "random": random_cases,
        "flagExamples": {
            f"{flag}={example}": refusal(chart, {"flags": {flag: example}})
            for flag, schema in flags.items()
            for example in schema["examples"]
        },
        "metadata": chart.metadata,
        "besideEarlier": beside_earlier(chart, cases["config"]["values"]),
        "besideEarlierInPlace": beside_earlier(chart, cases["in-place"]["values"]),
    }
    json.dump(judged, sys.stdout)


main(*sys.argv[1:])
