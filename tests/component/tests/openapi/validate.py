"""Prints a line for each example that the schemas of an OpenAPI document refuse.

Usage: validate.py DOCUMENT EXAMPLES, both JSON files. Examples are
[[name, value], ...]; the name is that of a schema under #/components/schemas.

Schemas of an API let in what they do not name, so that it may grow. Here they
are closed first: what is sent and not described is refused as well.
"""

import json
import sys

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

# Where a schema holds others that stand for values of their own.
ONE = ("items", "additionalProperties", "contentSchema", "not")
MANY = ("oneOf", "anyOf", "prefixItems")
NAMED = ("properties", "patternProperties")


def close(schema, part=False):
    """`part`: of a whole that is closed itself."""
    if not isinstance(schema, dict):
        return
    for name in ONE:
        close(schema.get(name))
    for name in MANY:
        for one in schema.get(name, []):
            close(one)
    for name in NAMED:
        for one in schema.get(name, {}).values():
            close(one)
    for one in schema.get("allOf", []):
        close(one, part=True)
    has_members = any(name in schema for name in ("properties", "allOf"))
    open_ended = "additionalProperties" in schema
    if not part and not open_ended and (has_members or "$ref" in schema):
        schema["unevaluatedProperties"] = False


def main(document, examples):
    components = document["components"]
    for schema in components["schemas"].values():
        # It is closed where it is referred to.
        close(schema, part=True)
    for number, (name, value) in enumerate(examples):
        schema = {
            "$ref": f"#/components/schemas/{name}",
            "components": components,
            "unevaluatedProperties": False,
        }
        error = best_match(Draft202012Validator(schema).iter_errors(value))
        if error:
            print(f"{number} {name} {error.json_path}: {error.message:.300}")


main(*(json.load(open(path)) for path in sys.argv[1:]))
