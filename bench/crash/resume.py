"""A store with as many finished rows as are wanted, made in seconds, and how long a start takes to go on with it."""

import random
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from bench.clients.stages import DIMENSIONS
from bench.crash.small_run import MANIFEST
from star_agents.core.calls import CallKey, Completion, FinishReason, Purpose, Request, SamplingParams, Usage
from star_agents.core.records import (
    Candidate,
    Grade,
    Graded,
    MemoryEntry,
    PairWeights,
    Plan,
    RowSource,
    Seed,
    Selection,
    Settled,
    Slot,
    Tally,
    Update,
)
from star_agents.storage import shards
from star_agents.storage.codec import Packer, checksum
from star_agents.storage.database import open_writer
from star_agents.storage.integrity import examine
from star_agents.storage.journal import Journal
from star_agents.storage.moving import HOT_ROWS
from star_agents.storage.recovery import recover
from star_agents.storage.shards import REPLIES, ROWS, SHARD_ROWS, folder_of

OPEN_PLANS, REPLIES_A_SEED, TEXT = 64, 6, 700
ENTRIES = 10_000
"""In the memory bank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """Seconds and bytes."""

    rows: int
    look_over_s: float
    """After an unclean stop: what is half written, `quick_check`, checksums of the newest rows."""
    load_s: float
    database_bytes: int
    shard_bytes: int

    @property
    def total_s(self) -> float:
        """Until the stages could start, models and the memory's index aside."""
        return self.look_over_s + self.load_s


def make(path: Path, num_rows: int) -> None:
    """A run of so many finished rows: all but the newest in shards, and some seeds in flight. Not in good order."""
    connection = open_writer(path, MANIFEST)
    moved = max(0, num_rows - HOT_ROWS) // SHARD_ROWS * SHARD_ROWS
    for shard in _shards(path, moved):
        values = ", ".join("?" * len(shard))
        connection.execute(f"INSERT INTO shard VALUES ({values})", shard)  # noqa: S608  # marks
    connection.execute("INSERT INTO sqlite_sequence VALUES ('log', ?)", (moved,))
    journal = Journal(connection, MANIFEST.pairs)
    p = tuple(1 / len(MANIFEST.pairs) for _ in MANIFEST.pairs)
    connection.execute("BEGIN")
    for number in range(moved, num_rows + OPEN_PLANS):
        one = plan(number)
        journal.assign(one)
        for slot in range(REPLIES_A_SEED):
            journal.respond(*answered(number, slot))
    for first in range(moved, num_rows, 32):
        batch = range(first, min(first + 32, num_rows))
        journal.learn(
            Update(PairWeights(first // 32 + 1, MANIFEST.pairs, p), tuple(map(finished, batch)), (), Tally(()))
        )
    journal_entries(connection, journal)
    connection.execute("COMMIT")
    reader = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    reader.execute("SELECT count(*) FROM plan").fetchall()  # keeps the WAL where it is, as a crash would
    connection.close()
    reader.close()


def resume(path: Path, num_rows: int) -> Resumed:
    """What a start does before it opens its models."""
    began = time.perf_counter()
    examine(path)
    looked = time.perf_counter()
    found = recover(path, capacity=ENTRIES)
    loaded = time.perf_counter()
    if (found.standing.finished, len(found.open_plans)) != (num_rows, OPEN_PLANS):
        raise AssertionError(found.standing)
    return Resumed(
        rows=num_rows,
        look_over_s=looked - began,
        load_s=loaded - looked,
        database_bytes=path.stat().st_size,
        shard_bytes=sum(file.stat().st_size for file in folder_of(path).glob("*")),
    )


def text(number: int) -> str:
    """Text that compresses as prose does."""
    chance = random.Random(number)
    return " ".join(chance.choices(_WORDS, k=TEXT // 6))


_WORDS = [
    f"{first}{second}" for first in ("wa", "bri", "sto", "ga", "le") for second in ("ter", "dge", "ne", "rden", "tt")
]
_CHANCE = random.Random(1)
_VECTOR = array("f", [_CHANCE.uniform(-1, 1) for _ in range(DIMENSIONS)]).tobytes()


def plan(number: int) -> Plan:
    """A seed with one slot a reply."""
    slots = tuple(Slot(slot, MANIFEST.pairs[slot % len(MANIFEST.pairs)]) for slot in range(REPLIES_A_SEED))
    return Plan(Seed(number, text(number), "Done."), slots, number // 32, embedding=_VECTOR)


def answered(number: int, slot: int) -> tuple[Request, Completion]:
    """A call and its answer."""
    key = CallKey(number, Purpose.RESPOND, slot)
    said = Completion(text(number + slot), FinishReason.STOP, Usage(100, 120), "m", "e0", 1.0)
    return Request(key, "e0", (), SamplingParams(64), number, agent="r0", pair="keep+r0"), said


def finished(number: int) -> Graded:
    """A seed's result."""
    outcomes = tuple(Candidate(slot, text(number), text(number + slot), "m") for slot in range(REPLIES_A_SEED))
    grades = tuple(Grade(slot, pi=0.5 - slot / 20) for slot in range(REPLIES_A_SEED))
    return Graded(Settled(plan(number), outcomes), {}, {}, grades, Selection(RowSource.CANDIDATE, 0, 0.5))


def journal_entries(connection: apsw.Connection, journal: Journal) -> None:
    """A full memory bank."""
    last = connection.execute("SELECT max(version) FROM policy").get
    weights = PairWeights(last + 1, MANIFEST.pairs, tuple(1 / len(MANIFEST.pairs) for _ in MANIFEST.pairs))
    entries = tuple(MemoryEntry(number, MANIFEST.pairs[0], 0.5, _VECTOR) for number in range(ENTRIES))
    journal.learn(Update(weights, (), entries, Tally(())))


def _shards(path: Path, moved: int) -> Iterator[tuple[Any, ...]]:
    """Shards of rows that are alike but for their numbers: a start reads none of them."""
    packer = Packer()
    body, plan_body = packer.graded(finished(0)), packer.plan(plan(0))
    reply = packer.pack(answered(0, 0)[1])
    row = dict.fromkeys(ROWS, 0) | {"source": "candidate", "reason": None, "body": body, "crc32": checksum(body)}
    row |= {"plan_body": plan_body, "plan_crc32": checksum(plan_body, _VECTOR), "embedding": _VECTOR}
    call = dict.fromkeys(REPLIES, 0) | {"purpose": "respond", "ok": 1, "body": reply, "crc32": checksum(reply)}
    call |= {"endpoint": "e0", "model": "m", "agent": "r0", "pair": "keep+r0", "reason": ""}
    for first in range(0, moved, SHARD_ROWS):
        span = range(first, first + SHARD_ROWS)
        rows = [tuple((row | {"seq": number + 1, "seed": number}).values()) for number in span]
        replies = [
            tuple((call | {"seed": number, "slot": slot}).values()) for number in span for slot in range(REPLIES_A_SEED)
        ]
        made = shards.prepared(rows, replies)
        made.write(folder_of(path))
        shard = made.shard
        yield tuple(getattr(shard, name) for name in shard.__slots__)
