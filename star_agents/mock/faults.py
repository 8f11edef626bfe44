"""How a reply can differ from the right one: data, read by whoever sends replies.

Law: a fault is named, frozen and knows nothing of time, sockets or the request it will hit. What it does not
name stays as it would have been. `keeps_right` says whether a client that reads correctly still gets the answer.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from star_agents.mock.answers import Answer
from star_agents.mock.dialect import Event
from star_agents.mock.sse import Framing

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is done to one reply."""

    name: str
    keeps_right: bool = False

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    stamps: Callable[[datetime], Mapping[str, str]] | None = None
    """Headers that tell the time."""
    body: bytes | None = None
    """Said in place of the answer."""
    spool: Callable[[], Iterable[bytes]] | None = None
    """The same, piece by piece and perhaps without end; headers say how it is coded."""

    delay_s: float = 0.0
    """Before anything is sent, on top of the time the answer takes."""
    trickle_s: float = 0.0
    """Between the events of a stream."""
    hangs: bool = False
    """Says nothing until the client goes away."""
    drips_s: float | None = None
    """Says so often that it is alive, in comments or blanks, and nothing else."""
    cut_after: int | None = None
    """Bytes of the whole reply to send before the connection ends."""
    cut_in_half: bool = False
    """The same in the middle of the body of a chunked reply."""
    surplus: bytes = b""
    """More than the reply says that it holds."""
    closes: bool = False
    """The connection ends after the reply, and nobody said so."""
    resets: bool = False
    """It ends with a RST instead of a FIN."""
    down_s: float = 0.0
    """For so long nobody listens afterwards."""

    say: Callable[[Answer], Answer] | None = None
    """The answer is another."""
    change: Callable[[Json], object] | None = None
    """The JSON of the reply is another, and without `restream` that of every event of a stream too."""
    restream: Callable[[Sequence[Event]], Iterable[Event]] | None = None
    """The events of a stream are others."""
    endless: bool = False
    """The text never ends."""
    crosses: bool = False
    """The answer belongs to the request before this one."""
    raw: tuple[bytes, bytes] | None = None
    """In what is sent, the first is replaced by the second: for what no JSON encoder writes."""
    framing: Framing | None = None
    reframe: Callable[[Iterable[bytes]], Iterable[bytes]] | None = None
    """How a stream's events become bytes, and how these are laid out."""

    @property
    def is_instant(self) -> bool:
        """Refusals and broken connections do not take the time that an answer takes."""
        return (self.status or 200) >= 300 or self.hangs or self.cut_after == 0  # noqa: PLR2004  # a status


def error_bytes(status: int, error: Mapping[str, Any] | None) -> bytes:
    """The body of a bad status as OpenAI writes it."""
    return orjson.dumps({"error": error or {"message": f"status {status}", "type": "server_error"}})


def failing(status: int, error: Mapping[str, Any] | None = None, **headers: str) -> Fault:
    """A bad status; `retry_after="5"` becomes the header `retry-after: 5`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(name=f"http_{status}", status=status, headers=named, body=error_bytes(status, error))


def saying(name: str, body: object) -> Fault:
    """A good status with this body: bytes as they are, anything else as JSON."""
    return Fault(name=name, body=body if isinstance(body, bytes) else orjson.dumps(body))


def choosing(name: str, **choice: Any) -> Fault:  # noqa: ANN401  # JSON
    """A good reply whose one choice is this."""
    usage = {"prompt_tokens": 3, "completion_tokens": 4}
    return saying(name, {"object": "chat.completion", "model": "m", "choices": [choice], "usage": usage})
