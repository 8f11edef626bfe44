"""Finished rows, streamed out of a run that may still be going on.

Rows are immutable once in the log, so the reader needs no long transaction: it fixes the last sequence
number and then reads page after page below it, each in a short read of its own. What it yields is the run as
it stood when it began, and the WAL is never pinned.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import apsw

from star_agents.core.calls import Purpose
from star_agents.core.records import Graded
from star_agents.storage.codec import read_graded, read_plan
from star_agents.storage.database import reader

PAGE_ROWS = 256
"""Rows read at once: a few megabytes."""

Order = Literal["seed", "commit"]

_PAGE = """
SELECT log.seq, log.seed, log.batch, log.version, plan.crc32, plan.body, plan.embedding, log.crc32, log.body
FROM log JOIN plan ON plan.seed = log.seed
WHERE log.{key} > ? AND log.seq <= ? ORDER BY log.{key} LIMIT ?
"""

_CALLS = """
SELECT seed, purpose, slot, endpoint, model FROM reply
WHERE seed IN (SELECT value FROM json_each(?)) AND ok AND purpose IN ('rewrite', 'respond')
ORDER BY seed, purpose, slot, ordinal
"""


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


def iter_rows(path: Path, *, order: Order = "seed", after: int = -1) -> Iterator[FinishedRow]:
    """Every finished row after a seed number, or in commit order after a sequence number; a page in memory.

    Raises:
        StoreError: the database cannot be read, or a row is damaged; it names the row.
    """
    key = "seed" if order == "seed" else "seq"
    with reader(path) as connection:
        last = connection.execute("SELECT ifnull(max(seq), 0) FROM log").get
        while page := _page(connection, key, after, last):
            calls = _calls(connection, [row[1] for row in page])
            for seq, seed, batch, version, plan_crc, plan_body, embedding, crc, body in page:
                plan = read_plan(f"plan of seed {seed}", plan_crc, plan_body, embedding)
                graded = read_graded(f"result of seed {seed}", crc, body, plan)
                yield FinishedRow(seq, batch, version, graded, tuple(calls.get(seed, ())))
                after = seed if order == "seed" else seq


def _page(connection: apsw.Connection, key: str, after: int, last: int) -> list[tuple[Any, ...]]:
    return list(connection.execute(_PAGE.format(key=key), (after, last, PAGE_ROWS)))


def _calls(connection: apsw.Connection, seeds: list[int]) -> dict[int, list[Call]]:
    calls: dict[int, list[Call]] = {}
    for seed, purpose, slot, endpoint, model in connection.execute(_CALLS, (str(seeds),)):
        calls.setdefault(seed, []).append(Call(Purpose(purpose), slot, endpoint, model))
    return calls
