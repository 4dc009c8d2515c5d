"""Evaluates the ValidatingAdmissionPolicy of deploy/admission as an API server does.

    admission.py MANIFESTS.yaml

Each line of the input is a ConfigMap as JSON; for each, a line is written with the messages of its refusal, a list that is empty if
it is let through. Expressions are compiled with the types that Kubernetes gives them, by Google's implementation of CEL with its
extension for texts, which Kubernetes has as well.
"""

import json
import sys

import yaml
from cel_expr_python import cel
from cel_expr_python.ext import ext_strings


class Policy:
    def __init__(self, spec):
        self.types = {"object": cel.Type.DYN}
        self.variables = []
        for variable in spec["variables"]:
            name = "variables." + variable["name"]
            expression = self.compiled(variable["expression"])
            self.variables.append((name, expression))
            self.types[name] = expression.return_type()
        self.conditions = [self.compiled(condition["expression"]) for condition in spec["matchConditions"]]
        self.validations = [
            (
                self.compiled(validation["expression"]),
                validation.get("message"),
                self.compiled(validation["messageExpression"]) if "messageExpression" in validation else None,
            )
            for validation in spec["validations"]
        ]

    def compiled(self, expression):
        return cel.NewEnv(variables=self.types, extensions=[ext_strings.ExtStrings()]).compile(expression)

    def refusals(self, configmap):
        data = {"object": configmap}
        if not all(value(condition, data) for condition in self.conditions):
            return []
        for name, expression in self.variables:
            data[name] = value(expression, data)
        refused = [(message, told) for holds, message, told in self.validations if not value(holds, data)]
        return [value(told, data) if told else message for message, told in refused]


def value(expression, data):
    result = expression.eval(data=data)
    if result.type() == cel.Type.ERROR:
        raise ValueError(result.value())
    return result.plain_value()


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        policy = Policy(next(each["spec"] for each in yaml.safe_load_all(file) if each["kind"] == "ValidatingAdmissionPolicy"))
    for line in sys.stdin:
        print(json.dumps(policy.refusals(json.loads(line))), flush=True)


main()
