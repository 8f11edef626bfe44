"""What every wire format shares: a raw reply, and text and JSON made safe at the edge.

Law: text that leaves here holds no lone surrogate and no NUL, so that UTF-8, SQLite and every reader take it.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

import orjson

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
EXCERPT = 200
"""Characters of a server's own words that a message may quote."""

_REQUEST_ID = re.compile(r"sa-[0-9a-f]{8}-[0-9]+")


@dataclass(frozen=True, slots=True)
class RawReply:
    """A whole HTTP reply. `headers` are looked up by lower-case name; `wall` is when it came (ISO 8601).

    A stream comes as the body that the same reply would have had in one piece.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    latency_s: float
    wall: str
    sent_id: str = ""
    """The `X-Request-Id` that we sent."""
    is_cut: bool = False
    """A stream that ended without saying that it was over."""
    first_text_s: float | None = None
    """Of a stream, when its first text came, from the start of the send."""

    @property
    def request_id(self) -> str:
        """What the server calls the request, or else what we called it."""
        headers = self.headers
        return headers.get("x-request-id") or headers.get("request-id") or self.sent_id

    def is_for_another(self, reply_id: object) -> bool:
        """True where the reply names a request of ours that is not the one it came for: somebody mixed them up.

        vLLM builds `reply_id` of the id that it was sent, others send it back as a header, most do neither.
        """
        for told in (self.headers.get("x-request-id"), reply_id):
            if isinstance(told, str) and (found := _REQUEST_ID.search(told)) and self.sent_id:
                return found[0] != self.sent_id
        return False


def request_id(client: str, number: int) -> str:
    """The id of a send: `client` is eight hexadecimal digits that no other client has."""
    return f"sa-{client}-{number}"


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
        return json.loads(body.decode("utf-8-sig", "replace"), parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _refuse(digits)


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


def excerpt(text: str) -> str:
    """The first words of a server's text on one line, with nothing that a terminal would obey. Mask it first."""
    printable = "".join(char if char.isprintable() else " " for char in text[: 2 * EXCERPT])
    return " ".join(printable.split())[:EXCERPT]
