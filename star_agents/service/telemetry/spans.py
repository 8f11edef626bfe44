"""What is told of a seed's way through a run: spans, in OpenTelemetry's sense, and which seeds are told of.

Laws: one seed is one trace, and its id follows from the run's and the seed's number alone, so a seed that a kill
interrupted goes on in the same trace and a row can be found among the traces. The same share of seeds is told of
whichever process asks. No span holds a text that a model or a person wrote.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Protocol

Value = str | bool | int | float
"""What an attribute may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Something that was done for a seed, from `start_ns` to `end_ns` after 1970.

    `is_root` is the seed itself, of which all its others are children. `is_call` are those that asked another
    server. `error` is why it failed, a short fixed code.
    """

    seed: int
    name: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Value] = field(default_factory=dict)
    error: str | None = None
    is_root: bool = False
    is_call: bool = False


class SpanSink(Protocol):
    """Takes spans as they end. Never blocks, never fails, and may forget."""

    def tell(self, span: Span) -> None:
        """Take one."""
        ...


@dataclass(frozen=True, slots=True)
class Traces:
    """The traces of one run: `run` is a text that no other run has, `share` the part of its seeds that is told of."""

    run: str
    share: float

    def includes(self, seed: int) -> bool:
        """Whether this seed is told of."""
        return int.from_bytes(self._digest(seed)[-8:]) < self.share * 2**64

    def trace_id(self, seed: int) -> int:
        """128 bits (W3C Trace Context, section 3.2.2.3), never 0 but by a chance of 2^-128."""
        return int.from_bytes(self._digest(seed)[:16])

    def root_id(self, seed: int) -> int:
        """The span id of the seed itself: 64 bits."""
        return int.from_bytes(self._digest(seed)[16:24])

    def _digest(self, seed: int) -> bytes:
        return blake2b(f"{self.run}/{seed}".encode(), digest_size=32).digest()
