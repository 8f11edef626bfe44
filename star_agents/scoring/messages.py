"""What the control process and a worker say to each other: frozen dataclasses, as length-prefixed JSON frames.

A frame is a 4-byte big-endian length and that many bytes of JSON. The conversation is one `Load`, answered by `Ready`
or `Failed`; then requests, each answered once, in their order. A worker may be sent a request before it has answered
the one before; such a request can be taken back until its turn comes, and is then answered by `Withdrawn`.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Literal, TypeVar

import orjson
from pydantic import Field, TypeAdapter

from star_agents.core.records import Sample, Scores
from star_agents.scoring.settings import ScoringSettings

LENGTH = struct.Struct(">I")
"""The head of a frame."""

HELD_AT_MOST = 2
"""Requests that a worker is sent before it has answered the first: one to compute, one to prepare meanwhile."""


@dataclass(frozen=True, slots=True)
class LoadScorer:
    """Become a scorer on this device."""

    settings: ScoringSettings
    device: str
    kind: Literal["load_scorer"] = "load_scorer"


@dataclass(frozen=True, slots=True)
class LoadEmbedder:
    """Become an embedder on this device."""

    model: str
    device: str
    kind: Literal["load_embedder"] = "load_embedder"


@dataclass(frozen=True, slots=True)
class Score:
    """Score these samples."""

    samples: tuple[Sample, ...]
    kind: Literal["score"] = "score"


@dataclass(frozen=True, slots=True)
class Embed:
    """Embed these texts."""

    texts: tuple[str, ...]
    kind: Literal["embed"] = "embed"


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Do not begin request number `number` (counted from 0 as they were sent), if it has not begun."""

    number: int
    kind: Literal["withdraw"] = "withdraw"


@dataclass(frozen=True, slots=True)
class Ready:
    """The models are loaded on `device`, which is one of `device_count` of its sort.

    `fingerprint` says what the replies depend on besides the request (`scoring.fingerprint`).
    """

    device: str
    device_count: int
    fingerprint: Mapping[str, str] = field(default_factory=dict)
    kind: Literal["ready"] = "ready"


@dataclass(frozen=True, slots=True)
class Failed:
    """The models cannot be loaded, and trying again will not help.

    `lacks_room` where the device's memory is too small for them, and `device_count` how many of its sort there are.
    """

    message: str
    lacks_room: bool = False
    device_count: int = 1
    kind: Literal["failed"] = "failed"


@dataclass(frozen=True, slots=True)
class Scored:
    """One `Scores` a sample, in order; what it took in tokens read by the models, and in seconds."""

    scores: tuple[Scores, ...]
    num_tokens: int
    seconds: float
    kind: Literal["scored"] = "scored"


@dataclass(frozen=True, slots=True)
class Embedded:
    """One vector a text, in order, as base64 of little-endian float32."""

    vectors: tuple[str, ...]
    kind: Literal["embedded"] = "embedded"


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The request was taken back before its turn."""

    kind: Literal["withdrawn"] = "withdrawn"


Load = LoadScorer | LoadEmbedder
Greeting = Ready | Failed
Request = Score | Embed
Order = Request | Withdraw
Reply = Scored | Embedded | Withdrawn
Message = Load | Greeting | Order | Reply

M = TypeVar("M")


class Codec(Generic[M]):
    """Reads one of several messages back from a frame's JSON, told apart by `kind`."""

    def __init__(self, messages: Any) -> None:  # noqa: ANN401  # a union, which no annotation can name yet
        self._adapter: TypeAdapter[M] = TypeAdapter(Annotated[messages, Field(discriminator="kind")])

    def decode(self, payload: bytes) -> M:
        """The message inside a frame."""
        return self._adapter.validate_json(payload)


LOAD: Codec[Load] = Codec(Load)
GREETING: Codec[Greeting] = Codec(Greeting)
ORDER: Codec[Order] = Codec(Order)
REPLY: Codec[Reply] = Codec(Reply)


def encode(message: Message) -> bytes:
    """A message as one frame. Its texts must be valid Unicode (`clean` makes them so)."""
    payload = orjson.dumps(message)
    return LENGTH.pack(len(payload)) + payload


def clean(text: str) -> str:
    """The text with lone surrogates, which no encoding can carry, replaced by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
