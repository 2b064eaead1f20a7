"""What partners get, held against the schemas of openapi.json."""

import copy
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from streamer.deliver.openapi import document


@cache
def schema(name: str, *, closed: bool = False) -> Draft202012Validator:
    """Of a component. `closed`: what it does not name is an error too."""
    described = copy.deepcopy(document())
    if closed:
        for each in described["components"]["schemas"].values():
            if "properties" in each:
                each["additionalProperties"] = False
    registry: Any = Registry().with_resource(
        "urn:document", Resource.from_contents(described, default_specification=DRAFT202012)
    )
    return Draft202012Validator(
        {"$ref": f"urn:document#/components/schemas/{name}"},
        registry=registry,
        format_checker=Draft202012Validator.FORMAT_CHECKER,
    )
