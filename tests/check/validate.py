"""validate.py SCHEMA FILE: each of the documents in the list that FILE holds is valid by the JSON schema."""

import json
import sys

import jsonschema

schema = json.load(open(sys.argv[1]))
documents = json.load(open(sys.argv[2]))
assert documents, "no documents"
validator = jsonschema.validators.validator_for(schema)(schema)
for document in documents:
    for error in validator.iter_errors(document):
        sys.exit(f"{error.json_path}: {error.message}")
