"""What every wire format shares: a raw reply, and text and JSON made safe at the edge.

Law: text that leaves here holds no lone surrogate and no NUL, so that UTF-8, SQLite and every reader take it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

import orjson

from star_agents.core.secret import Secret

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
EXCERPT = 200
"""Characters of a server's own words that a message may quote."""


@dataclass(frozen=True, slots=True)
class RawReply:
    """A whole HTTP reply. `headers` are looked up by lower-case name; `wall` is when it came (ISO 8601)."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    latency_s: float
    wall: str


def repaired(text: str) -> str:
    """The text with every lone surrogate and NUL replaced by U+FFFD."""
    if "\0" in text:
        text = text.replace("\0", REPLACEMENT)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def load_json(body: bytes) -> object:
    """Read strict JSON. Lone surrogates and bytes that are not UTF-8 are let through, to be repaired.

    Raises:
        ValueError: it is not JSON, or holds NaN, infinity, or nesting too deep.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(body.decode("utf-8-sig", "replace"), parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def dump_json(value: object) -> bytes:
    """Write JSON, repairing the text in it where that is needed."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return orjson.dumps(_repaired_all(value))


def _repaired_all(value: object) -> object:
    if isinstance(value, str):
        return repaired(value)
    if isinstance(value, list | tuple):
        return [_repaired_all(item) for item in value]
    if isinstance(value, Mapping):
        return {repaired(str(key)): _repaired_all(item) for key, item in value.items()}
    return value


def excerpt(text: str, key: Secret | None) -> str:
    """The first words of a server's text on one line: no key in it, and nothing that a terminal would obey."""
    shown = key.mask(text) if key else text
    printable = "".join(char if char.isprintable() else " " for char in shown[: 2 * EXCERPT])
    return " ".join(printable.split())[:EXCERPT]
