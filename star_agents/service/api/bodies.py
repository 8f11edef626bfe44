"""What the HTTP face says, as bytes: JSON, and problems as RFC 9457 has them."""

from collections.abc import Mapping, Sequence

import orjson
from aiohttp import web


def json_response(value: object, *, status: int = 200) -> web.Response:
    """A value of records, mappings and plain data as a JSON document."""
    return web.Response(body=encode(value), status=status, content_type="application/json")


def problem(status: int, title: str, problems: Sequence[str] = ()) -> web.Response:
    """A problem document; `problems` holds one line for each thing to mend."""
    body = orjson.dumps({"status": status, "title": title, **({"problems": list(problems)} if problems else {})})
    return web.Response(body=body, status=status, content_type="application/problem+json")


def encode(value: object) -> bytes:
    """JSON of records, mappings and plain data."""
    return orjson.dumps(value, default=_plain)


def _plain(value: object) -> object:
    """Read-only mappings as JSON objects; anything else is a mistake of ours."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value).__name__)
