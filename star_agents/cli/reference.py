"""The config reference in Markdown, made of the JSON Schema alone: what the code takes is what the page says.

Pure: a schema in, a text out. Sections are tables of dotted keys; where an endpoint's keys depend on its `kind`, the
row names the kinds that have it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

Node = Mapping[str, Any]
"""A JSON Schema, or a part of one."""

HEAD = """# Config reference

Every key, its type and its default, as `star-agents schema --format markdown` prints them. A dash means that the key
must be given. NAME is a name of your own. What the keys mean: [config.md](config.md).
"""
NULL = {"type": "null"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A key of a section: its dotted path below the section, its type and its default, in Markdown."""

    key: str
    type: str
    default: str
    says: str = ""
    """What the key means, in a line, where the schema tells."""


def reference(schema: Node) -> str:
    """The whole page. `schema` is a JSON Schema of an object of sections, with its parts in `$defs`."""
    parts = schema.get("$defs", {})
    pages = (_section(name, node, parts) for name, node in schema["properties"].items())
    return "\n".join((HEAD, *pages))


def key_rows(schema: Node) -> dict[str, Row]:
    """Every key by its whole dotted path, NAME for names of the user's own: `endpoints.NAME.model`."""
    parts = schema.get("$defs", {})
    found: dict[str, Row] = {}
    for name, section in schema["properties"].items():
        node = _resolved(section, parts)
        entry = _entry(node)
        prefix, node = (f"{name}.NAME", _resolved(entry, parts)) if entry else (name, node)
        rows = _of_kinds(node["oneOf"], parts) if "oneOf" in node else _rows(node, parts, "")
        found |= {f"{prefix}.{row.key}": row for row in rows}
    return found


def section_words(schema: Node) -> dict[str, str]:
    """What each section is for, in the words of its class."""
    parts = schema.get("$defs", {})
    sections = {name: _resolved(node, parts) for name, node in schema["properties"].items()}
    return {name: _paragraph(node["description"]) for name, node in sections.items() if "description" in node}


def _says(node: Node) -> str:
    return _paragraph(node.get("description", "")) if "$ref" not in node else ""


def _section(name: str, node: Node, parts: Node) -> str:
    node = _resolved(node, parts)
    if entry := _entry(node):
        name, node = f"{name}.NAME", _resolved(entry, parts)
    lines = [f"## {name}", ""]
    if says := node.get("description"):
        lines += [_paragraph(says), ""]
    lines += ["| key | type | default |", "|---|---|---|"]
    rows = _of_kinds(node["oneOf"], parts) if "oneOf" in node else list(_rows(node, parts, ""))
    lines += [f"| `{row.key}` | {row.type} | {row.default} |" for row in rows]
    return "\n".join((*lines, ""))


def _of_kinds(kinds: list[Node], parts: Node) -> list[Row]:
    """The rows of a union told apart by `kind`; one that not all kinds have says which do."""
    of_kind = {_resolved(kind, parts)["properties"]["kind"]["const"]: kind for kind in kinds}
    having: dict[str, tuple[Row, list[str]]] = {}
    for name, kind in of_kind.items():
        for row in _rows(_resolved(kind, parts), parts, ""):
            having.setdefault(row.key, (row, []))[1].append(name)
    says = "; ".join(_says(_resolved(kind, parts)["properties"]["kind"]) for kind in of_kind.values())
    first = Row(key="kind", type=_one_of(list(of_kind)), default="-", says=says)
    rows = (
        row if len(names) == len(of_kind) else replace(row, type=f"{row.type}; {_or(names)}")
        for row, names in having.values()
        if row.key != "kind"
    )
    return [first, *rows]


def _rows(node: Node, parts: Node, path: str) -> Iterator[Row]:
    """The keys of an object and of the objects within it, depth first."""
    for name, value in node["properties"].items():
        key = f"{path}{name}"
        inner = _object_of(value, parts)
        if entry := _entry(_resolved(value, parts)):
            yield from _rows(_resolved(entry, parts), parts, f"{key}.NAME.")
        elif inner is None:
            yield Row(key=key, type=_type(value, parts), default=_default(name, value, node), says=_says(value))
        else:
            if NULL in value.get("anyOf", ()):
                yield Row(key=key, type="the keys below, or null", default=_default(name, value, node))
            yield from _rows(inner, parts, f"{key}.")


def _object_of(node: Node, parts: Node) -> Node | None:
    """The object that a value is, or may be beside null."""
    for choice in node.get("anyOf", (node,)):
        resolved = _resolved(choice, parts)
        if "properties" in resolved:
            return resolved
    return None


def _entry(node: Node) -> Node | None:
    """What a mapping of names to sections maps to."""
    entries = [entry for entry in node.get("patternProperties", {}).values() if "$ref" in entry or "oneOf" in entry]
    return entries[0] if entries else None


def _resolved(node: Node, parts: Node) -> Node:
    reference = node.get("$ref")
    return parts[reference.rpartition("/")[2]] if reference else node


def _type(node: Node, parts: Node) -> str:
    node = _resolved(node, parts)
    if choices := node.get("anyOf"):
        return _or([_type(choice, parts) for choice in choices])
    if "const" in node:
        return _code(node["const"])
    if "enum" in node:
        return _one_of(node["enum"])
    if node.get("type") == "array":
        return f"list of {_type(node['items'], parts)}"
    if "patternProperties" in node:
        return f"by NAME: {_type(next(iter(node['patternProperties'].values())), parts)}"
    return f"{node.get('type', 'any value')}{_bounds(node)}"


def _bounds(node: Node) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return " and".join(f" {sign} {node[key]}" for key, sign in signs.items() if key in node)


def _default(name: str, value: Node, owner: Node) -> str:
    if name in owner.get("required", ()):
        return "-"
    return _code(value.get("default", [] if _is_list(value) else {}))


def _is_list(node: Node) -> bool:
    return any(choice.get("type") == "array" for choice in node.get("anyOf", (node,)))


def _one_of(names: list[str]) -> str:
    return _or([_code(name) for name in names])


def _or(names: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _code(value: object) -> str:
    return f"`{value if isinstance(value, str) else orjson.dumps(value).decode()}`"


def _paragraph(text: str) -> str:
    return " ".join(text.split())
