"""The OpenAPI document made strict: an answer that holds a field which it does not describe is not as described."""

import copy
from collections.abc import Iterator
from typing import Any

import jsonschema_rs

from star_agents.service.api.routes import read_openapi

Node = dict[str, Any]
JSON = "application/json"


def closed() -> Node:
    """The document, in which no answer may hold more than is described."""
    document = copy.deepcopy(read_openapi())
    for node in _objects(document):
        node.setdefault("additionalProperties", False)
    return document


def mismatch(schema: Node, value: object) -> str:
    """What is wrong with a value, by a schema of the closed document; empty where nothing is."""
    validator = jsonschema_rs.Draft202012Validator({**schema, "components": closed()["components"]})
    return "; ".join(f"{list(error.instance_path)}: {error.message}" for error in validator.iter_errors(value))


def of_answer(path: str, *, method: str = "get", status: str = "200") -> Node:
    """The schema of the JSON that an operation answers with."""
    answer: Node = closed()["paths"][path][method]["responses"][status]["content"][JSON]["schema"]
    return answer


def _objects(node: object) -> Iterator[Node]:
    """Every schema that names properties, at any depth."""
    if isinstance(node, dict):
        if isinstance(node.get("properties"), dict) and "type" in node:
            yield node
        for value in node.values():
            yield from _objects(value)
    elif isinstance(node, list):
        for value in node:
            yield from _objects(value)
