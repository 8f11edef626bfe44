"""Finished rows, streamed out of a run that may still be going on, wherever they lie.

Rows are immutable once in the log, so the reader needs no long transaction: it fixes the last sequence
number and then reads page after page below it, each in a short read of its own. What it yields is the run as
it stood when it began, and the WAL is never pinned. Rows may leave SQLite for a shard meanwhile: each look at the
tables also looks which shards there are by then, so that none is missed and none comes twice.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from typing import Any, Literal, NamedTuple

import apsw

from star_agents.core.calls import Purpose
from star_agents.core.records import Graded
from star_agents.storage import shards
from star_agents.storage.codec import read_graded, read_plan
from star_agents.storage.database import reader
from star_agents.storage.lost import OnLost, tolerant
from star_agents.storage.shards import Shard

PAGE_ROWS = 256
"""Rows read at once: a few megabytes."""

Order = Literal["seed", "commit"]

_PAGE = """
SELECT log.seq, log.seed, log.batch, log.version, plan.crc32, plan.body, plan.embedding, log.crc32, log.body
FROM log JOIN plan ON plan.seed = log.seed
WHERE log.{key} > ? AND log.seq <= ? ORDER BY log.{key} LIMIT ?
"""

_SHARD_PAGE = ("seq", "seed", "batch", "version", "plan_crc32", "plan_body", "embedding", "crc32", "body")

_CALLS = """
SELECT seed, purpose, slot, endpoint, model FROM reply
WHERE seed IN (SELECT value FROM json_each(?)) AND ok AND purpose IN ('rewrite', 'respond')
ORDER BY seed, purpose, slot, ordinal
"""

WRITERS = frozenset({Purpose.REWRITE, Purpose.RESPOND})


@dataclass(frozen=True, slots=True)
class Call:
    """Who wrote a text: the model as the server named itself, and the endpoint."""

    purpose: Purpose
    slot: int
    endpoint: str
    model: str


@dataclass(frozen=True, slots=True)
class FinishedRow:
    """One line of the log. `batch` counts from 1; `version` is that of the weights which the batch led to."""

    seq: int
    batch: int
    version: int
    graded: Graded
    calls: tuple[Call, ...]


class _Stored(NamedTuple):
    """A finished row as it lies in a table or a file."""

    seq: int
    seed: int
    batch: int
    version: int
    plan_crc: int
    plan_body: bytes
    embedding: bytes
    crc: int
    body: bytes
    calls: tuple[Call, ...]


def iter_rows(
    path: Path,
    *,
    order: Order = "seed",
    after: int = -1,
    wanted: Callable[[int], bool] = lambda _: True,
    on_lost: OnLost | None = None,
) -> Iterator[FinishedRow]:
    """Every finished row after a seed number, or in commit order after a sequence number; a page in memory.

    Rows whose seed number is not `wanted` are passed over without looking into them. With `on_lost` a file that is gone
    or damaged is told, and the others are read.

    Raises:
        LostFileError: a file is gone or damaged, and there is no `on_lost`.
        StoreError: the database cannot be read, or a row is damaged; it names the row.
    """
    with reader(path) as connection:
        last = connection.execute("SELECT ifnull(max(seq), 0) FROM log").get  # the newest never leave
        source = _Source(connection, shards.folder_of(path), "seed" if order == "seed" else "seq", last, on_lost)
        for stored in _by_seed(source, after) if order == "seed" else _by_commit(source, after):
            if wanted(stored.seed):
                yield _finished(stored)


def _finished(stored: _Stored) -> FinishedRow:
    seed = stored.seed
    plan = read_plan(f"plan of seed {seed}", stored.plan_crc, stored.plan_body, stored.embedding)
    graded = read_graded(f"result of seed {seed}", stored.crc, stored.body, plan)
    return FinishedRow(stored.seq, stored.batch, stored.version, graded, stored.calls)


@dataclass(frozen=True, slots=True)
class _Source:
    """The rows up to `last`, in the order of `key`."""

    connection: apsw.Connection
    folder: Path
    key: Literal["seed", "seq"]
    last: int
    on_lost: OnLost | None

    def look(self, after: int, *, seq: int = -1) -> tuple[list[Shard], list[_Stored]]:
        """One moment of the run: the shards with rows after `seq`, and the next page of the tables."""
        self.connection.execute("BEGIN")
        try:
            listed = shards.listed(self.connection, after=seq)
            query = _PAGE.format(key=self.key)
            page: list[tuple[Any, ...]] = self.connection.execute(query, (after, self.last, PAGE_ROWS)).fetchall()
            calls = _calls(self.connection.execute(_CALLS, (str([row[1] for row in page]),)))
        finally:
            self.connection.execute("COMMIT")
        return listed, [_Stored._make((*row, calls.get(row[1], ()))) for row in page]

    def of_shard(self, shard: Shard, after: int) -> Iterator[_Stored]:
        """A shard's rows after `after`."""
        wanted = ("seed", "purpose", "slot", "endpoint", "model", "ok")
        replies = tolerant(shard.read_replies(self.folder, wanted), self.on_lost)
        calls = _calls(row[:-1] for row in replies if row[-1] and row[1] in WRITERS)
        for row in tolerant(shard.read_rows(self.folder, _SHARD_PAGE, by=self.key), self.on_lost):
            seq, seed = row[:2]
            if seq <= self.last and (seed if self.key == "seed" else seq) > after:
                yield _Stored._make((*row, calls.get(seed, ())))


def _by_commit(source: _Source, after: int) -> Iterator[_Stored]:
    while True:
        listed, page = source.look(after, seq=after)
        for shard in listed:
            yield from source.of_shard(shard, after)
            after = shard.seq_hi  # also where its rows are lost
        if listed:
            continue  # what was in the tables may be in a shard by now
        yield from page
        if not page:
            return
        after = page[-1].seq


def _by_seed(source: _Source, after: int) -> Iterator[_Stored]:
    """A merge of the tables with the shards; a shard is opened when its turn comes, and few are open at once.

    An entry of the heap is a seed that a stream does not go below, and the row of that seed where it was read.
    The tables are looked at when nobody has an earlier row: whatever left them since then is in a shard that is
    known from this look on, and no row of it was yielded.
    """
    numbers, known = count(), set[int]()
    tables = next(numbers)
    heap: list[tuple[int, int, Iterator[_Stored], _Stored | None]] = [(after + 1, tables, iter(()), None)]
    while heap:
        _, number, stream, row = heappop(heap)
        if row is not None:
            yield row
            if number == tables:
                after = row.seed
        row = next(stream, None)
        if row is None and number == tables:
            listed, page = source.look(after)
            for shard in listed:
                if shard.seq_lo not in known and shard.seed_hi > after:
                    heappush(heap, (max(shard.seed_lo, after + 1), next(numbers), source.of_shard(shard, after), None))
                known.add(shard.seq_lo)
            stream = iter(page)
            row = next(stream, None)
        if row is not None:
            heappush(heap, (row.seed, number, stream, row))


def _calls(rows: Iterable[tuple[Any, ...]]) -> dict[int, tuple[Call, ...]]:
    calls: dict[int, tuple[Call, ...]] = {}
    for seed, purpose, slot, endpoint, model in rows:
        calls[seed] = (*calls.get(seed, ()), Call(Purpose(purpose), slot, endpoint, model))
    return calls
