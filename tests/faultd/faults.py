"""What can go wrong on cue, and scripts that say when.

A script is asked once for each request and names a fault or none. `Chance` decides by the request and by how
often it has come, never by the order of arrival: the same run meets the same faults, however it is timed.
"""

import json
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """How a reply differs from the right one; what is not given stays as it would have been."""

    name: str
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    delay_s: float = 0.0
    hangs: bool = False
    """Says nothing until the client goes away."""
    cut_after: int | None = None
    """Bytes of the whole reply to send before the connection ends."""
    resets: bool = False
    """It ends with a RST instead of a FIN."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as a script sees it. `times` is how often the same one has come before."""

    number: int
    fingerprint: str
    times: int
    body: Mapping[str, Any]


Script = Callable[[Seen], Fault | None]


def failing(status: int, error: Mapping[str, Any] | None = None, **headers: str) -> Fault:
    """A bad status; `retry_after="5"` becomes the header `retry-after: 5`."""
    body = json.dumps({"error": error or {"message": f"status {status}", "type": "server_error"}}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(name=f"http_{status}", status=status, headers=named, body=body)


def saying(name: str, body: object) -> Fault:
    """A good status with this body: bytes as they are, anything else as JSON."""
    return Fault(name=name, body=body if isinstance(body, bytes) else json.dumps(body).encode())


def choosing(name: str, **choice: Any) -> Fault:  # noqa: ANN401  # JSON
    """A good reply whose one choice is this."""
    usage = {"prompt_tokens": 3, "completion_tokens": 4}
    return saying(name, {"object": "chat.completion", "model": "m", "choices": [choice], "usage": usage})


NO_REPLY = Fault(name="no_reply", cut_after=0)
RESET = Fault(name="reset", cut_after=0, resets=True)
BLACK_HOLE = Fault(name="black_hole", hangs=True)
LIMITED = failing(429, {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"})
OUT_OF_QUOTA = failing(429, {"message": "pay first", "type": "insufficient_quota", "code": "insufficient_quota"})
TOO_LONG = failing(400, {"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"})
BAD_REQUEST = failing(400, {"message": "no such field", "type": "invalid_request_error", "code": None})
ERROR_INSIDE = saying("error_inside", {"error": {"message": "engine died", "type": "server_error", "code": 500}})
HTML = Fault(
    name="html", headers={"content-type": "text/html"}, body=b"<html><body>Sign in to the network</body></html>"
)
NOTHING = saying("empty_body", b"")
NO_CHOICES = saying("no_choices", {"choices": [], "usage": None})
SILENT = choosing("silent", finish_reason="stop", message={"role": "assistant", "content": ""})
THINKING = choosing(
    "thinking", finish_reason="stop", message={"role": "assistant", "content": None, "reasoning_content": "hm"}
)
REFUSED = choosing("filtered", finish_reason="content_filter", message={"role": "assistant", "content": None})

CATALOGUE: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        NO_REPLY,
        RESET,
        Fault(name="reset_mid_body", cut_after=180, resets=True),
        Fault(name="short_body", cut_after=180),
        BLACK_HOLE,
        Fault(name="slow", delay_s=1.0),
        failing(429, {"code": "rate_limit_exceeded"}, retry_after="0.2"),
        failing(500),
        failing(503),
        BAD_REQUEST,
        ERROR_INSIDE,
        HTML,
        NOTHING,
        NO_CHOICES,
        SILENT,
        THINKING,
        REFUSED,
    )
}
"""Faults that a command line can ask for by name."""

MENDABLE = ("no_reply", "reset", "reset_mid_body", "short_body", "http_429", "http_500", "http_503", "error_inside")
"""Those that a further try mends: what `--fault-rate` draws from unless told otherwise."""


def never(_: Seen) -> None:
    """The script of a healthy server."""


def always(fault: Fault) -> Script:
    """Fail every request."""
    return lambda _: fault


def first(count: int, fault: Fault) -> Script:
    """Fail the first requests to arrive, then none."""
    return lambda seen: fault if seen.number < count else None


def in_turn(faults: Iterable[Fault | None]) -> Script:
    """One entry a request, in order of arrival; none after the last."""
    left = iter(tuple(faults))
    return lambda _: next(left, None)


@dataclass(frozen=True, slots=True)
class Chance:
    """Fails a share of the sends, drawn by name from `seed`."""

    rate: float
    seed: int = 0
    names: tuple[str, ...] = MENDABLE

    def __call__(self, seen: Seen) -> Fault | None:
        chance = random.Random(f"{self.seed} {seen.fingerprint} {seen.times}")
        return CATALOGUE[chance.choice(self.names)] if chance.random() < self.rate else None
