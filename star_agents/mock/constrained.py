"""Answers that must have a form: one of a list, or JSON by a schema.

Law: what comes out obeys the constraint, and is chosen by the same digest as prose is: by the request alone.
The forms are vLLM's `structured_outputs` and older `guided_*`, and `response_format` of OpenAI.
"""

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import orjson

_PIECES = re.compile(r"\w+|[^\w]+")
MAX_DEPTH = 16
_WORDS = ("water", "bread", "river", "stone", "paper", "light")


def constrained_words(body: Mapping[str, Any], source: bytes) -> tuple[list[str], Sequence[str]] | None:
    """The tokens of the answer and what its decisive token was chosen from, or None for a free answer."""
    options = _choices(body)
    if options:
        said = options[_draw(source, "choice") % len(options)]
        return _PIECES.findall(said) or [said], options
    schema = _schema(body)
    if schema is None:
        return None
    value = _value(schema, source, "$")
    return _PIECES.findall(orjson.dumps(value).decode()), _first_enum(schema)


def _choices(body: Mapping[str, Any]) -> list[str]:
    structured = body.get("structured_outputs")
    given = structured.get("choice") if isinstance(structured, dict) else body.get("guided_choice")
    return [str(option) for option in given] if isinstance(given, list) else []


def _schema(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    wanted = body.get("response_format")
    if isinstance(wanted, dict):
        if wanted.get("type") == "json_object":
            return {"type": "object", "properties": {"answer": {"type": "string"}}}
        schema = wanted.get("json_schema")
        if isinstance(schema, dict):
            found = schema.get("schema", {})
            return found if isinstance(found, dict) else {}
    structured = body.get("structured_outputs")
    found = structured.get("json") if isinstance(structured, dict) else body.get("guided_json")
    return found if isinstance(found, dict) else None


def _first_enum(schema: Mapping[str, Any]) -> Sequence[str]:
    if isinstance(schema.get("enum"), list):
        return [str(option) for option in schema["enum"]]
    for part in (schema.get("properties") or {}).values():
        if isinstance(part, dict) and (options := _first_enum(part)):
            return options
    return ()


def _draw(source: bytes, place: str) -> int:
    return int.from_bytes(blake2b(source, digest_size=8, person=place[-16:].encode()[-16:]).digest(), "big")


def _value(schema: Mapping[str, Any], source: bytes, place: str) -> object:
    """A value that the schema allows; `place` says where it stands. Knows the keywords that judges use."""
    draw = _draw(source, place)
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][draw % len(schema["enum"])]
    if "const" in schema:
        return schema["const"]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if kind == "object" and place.count(".") < MAX_DEPTH:
        parts = schema.get("properties") or {}
        return {name: _value(part, source, f"{place}.{name}") for name, part in parts.items()}
    if kind == "array":
        return [_value(schema.get("items") or {}, source, f"{place}[]")]
    if kind in {"integer", "number"}:
        low = schema.get("minimum", 0)
        return low + draw % (int(schema.get("maximum", low + 10)) - int(low) + 1)
    scalars = {"boolean": bool(draw % 2), "null": None}
    return scalars.get(kind, _WORDS[draw % len(_WORDS)])
