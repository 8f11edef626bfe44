"""Records to bytes and back, exactly: `decode(encode(record)) == record`, every float bit for bit.

A body is JSON, zstd-compressed where it is long enough for that to pay; the first byte tells which. A field
that is new in a later version takes its default when an older body is read. A lone surrogate cannot be stored
as UTF-8: it becomes U+FFFD here, because losing a run to one odd character would be worse. Never pickle.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar
from zlib import crc32

import orjson
import zstandard
from pydantic import TypeAdapter, ValidationError

from star_agents.core.calls import Completion, Failure, Reply
from star_agents.core.errors import StoreError
from star_agents.core.records import (
    Epoch,
    Grade,
    Graded,
    Outcome,
    Plan,
    Probe,
    Scores,
    Selection,
    Settled,
    Tally,
    Verdict,
)
from star_agents.storage.manifest import Manifest

MIN_COMPRESSED = 256
"""Bytes of JSON from which on a zstd frame is at least a quarter smaller (measured on instruction data)."""

ZSTD_LEVEL = 3
"""About 4 microseconds a kilobyte to write; the next levels cost double for a few percent."""

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Ending:
    """What the log holds of a `Graded` beside its plan.

    Outcomes are repeated here from the replies they came of: how a reply becomes a candidate is the pipeline's
    business and may change, and a finished row may not.
    """

    outcomes: tuple[Outcome, ...]
    scores: Mapping[int, Scores]
    verdicts: Mapping[int, Verdict]
    grades: tuple[Grade, ...]
    selection: Selection
    probe: Probe | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """The figures of a finished seed, without its texts: a part of the same body, which is much cheaper to read."""

    scores: Mapping[int, Scores]
    verdicts: Mapping[int, Verdict]
    selection: Selection


_PLAN = TypeAdapter(Plan)
_REPLY: TypeAdapter[Reply] = TypeAdapter(Completion | Failure)
_ENDING = TypeAdapter(_Ending)
_SCORED = TypeAdapter(Scored)
_TALLY = TypeAdapter(Tally)
_EPOCH = TypeAdapter(Epoch)
_MANIFEST = TypeAdapter(Manifest)
_TOLD = TypeAdapter(dict[str, Any])


class Packer:
    """Compresses bodies; one for each thread that writes, as a zstd context must not be shared."""

    def __init__(self) -> None:
        self._zstd = zstandard.ZstdCompressor(level=ZSTD_LEVEL)

    def pack(self, value: object) -> bytes:
        """Return the stored form of anything made of dataclasses, mappings, sequences and plain values."""
        body = _json(value)
        return self._zstd.compress(body) if len(body) >= MIN_COMPRESSED else body

    def plan(self, plan: Plan) -> bytes:
        """Return the body of a plan; its embedding is stored beside it."""
        return self.pack({field.name: getattr(plan, field.name) for field in fields(plan) if field.name != "embedding"})

    def graded(self, graded: Graded) -> bytes:
        """Return the body of a log row: everything but the plan, which has a row of its own."""
        ending = _Ending(
            outcomes=graded.settled.outcomes,
            scores=dict(graded.scores),
            verdicts=dict(graded.verdicts),
            grades=graded.grades,
            selection=graded.selection,
            probe=graded.probe,
        )
        return self.pack(ending)


def read_plan(row: str, crc: int, body: bytes, embedding: bytes) -> Plan:
    """The plan that `Packer.plan` stored. `row` names the row for a person.

    Raises (this and the other readers):
        StoreError: the bytes are not what was written; it names the row.
    """
    return replace(_unpack(_PLAN, row, crc, body, embedding), embedding=embedding)


def read_reply(row: str, crc: int, body: bytes) -> Reply:
    """The reply that `Packer.pack` stored."""
    return _unpack(_REPLY, row, crc, body)


def read_graded(row: str, crc: int, body: bytes, plan: Plan) -> Graded:
    """The finished seed that `Packer.graded` stored."""
    ending = _unpack(_ENDING, row, crc, body)
    settled = Settled(plan, ending.outcomes)
    return Graded(settled, ending.scores, ending.verdicts, ending.grades, ending.selection, ending.probe)


def read_scored(row: str, crc: int, body: bytes) -> Scored:
    """The figures of the finished seed that `Packer.graded` stored."""
    return _unpack(_SCORED, row, crc, body)


def read_tally(row: str, crc: int, body: bytes) -> Tally:
    """The counts that `Packer.pack` stored."""
    return _unpack(_TALLY, row, crc, body)


def read_manifest(row: str, crc: int, body: bytes) -> Manifest:
    """The manifest that `Packer.pack` stored."""
    return _unpack(_MANIFEST, row, crc, body)


def read_epoch(row: str, crc: int, body: bytes) -> Epoch:
    """The change of the pool that `Packer.pack` stored."""
    return _unpack(_EPOCH, row, crc, body)


def read_told(row: str, crc: int, body: bytes) -> dict[str, Any]:
    """The plain data that `Packer.pack` stored."""
    return _unpack(_TOLD, row, crc, body)


def read_floats(row: str, crc: int, *blobs: bytes) -> list[tuple[float, ...]]:
    """The values that `float_bytes` stored in each blob of a row, bit for bit."""
    check(row, crc, *blobs)
    return [struct.unpack(f"<{len(blob) // 8}d", blob) for blob in blobs]


def float_bytes(values: tuple[float, ...]) -> bytes:
    """Float64 little-endian, eight bytes a value."""
    return struct.pack(f"<{len(values)}d", *values)


def checksum(*blobs: bytes) -> int:
    """CRC32 of a row's blobs, one after the other."""
    total = 0
    for blob in blobs:
        total = crc32(blob, total)
    return total


def check(row: str, crc: int, *blobs: bytes) -> None:
    """Refuse a row whose blobs have changed since they were written.

    Raises:
        StoreError: they have.
    """
    if checksum(*blobs) != crc:
        raise StoreError(f"the {row} is damaged: its checksum does not match; restore a copy of the run folder")


def _unpack(adapter: TypeAdapter[T], row: str, crc: int, body: bytes, *blobs: bytes) -> T:
    check(row, crc, body, *blobs)
    try:
        text = zstandard.decompress(body) if body.startswith(_ZSTD_MAGIC) else body
        return adapter.validate_json(text)
    except (zstandard.ZstdError, ValidationError) as error:
        raise StoreError(f"the {row} cannot be read, though its checksum matches: {error}") from error


def sound(text: str) -> str:
    """The text as UTF-8 can hold it: surrogate pairs joined, lone surrogates replaced by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _json(value: object) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # a lone surrogate somewhere; anything else fails again below
        return orjson.dumps(repaired(value), option=orjson.OPT_NON_STR_KEYS)


def repaired(value: Any) -> Any:  # noqa: ANN401  # walks any value
    """The same value as plain JSON types, with every text made sound."""
    if isinstance(value, str):
        return sound(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: repaired(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {repaired(key): repaired(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [repaired(item) for item in value]
    return value
