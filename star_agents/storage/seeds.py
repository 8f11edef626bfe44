"""Seeds from a file, a hub data set or the package, in order and numbered by position.

Laws: the number of a row depends on nothing but its position, so a later start finds the same seed under the
same number, and equal seeds stay two seeds. An unusable row keeps its number, is counted and skipped, and too
many of them end the reading: a run over the wrong file should fail at once and not after a night.
"""

import asyncio
import logging
import threading
from collections import deque
from pathlib import Path

from star_agents.core.errors import SeedError
from star_agents.core.records import Seed
from star_agents.storage.row_files import JsonArray, JsonLines, RawRow, RowFile
from star_agents.storage.row_tables import Hub, Parquet
from star_agents.storage.seed_rows import RowFormat, UnusableRowError, to_seed
from star_agents.storage.shipped import shipped

MIN_TOLERATED = 10
"""Unusable rows that are always tolerated..."""

TOLERATED_ONE_IN = 100
"""...and the share of the rows seen that is."""

MAX_TOLD = 10
"""Unusable rows that are logged one by one; the rest are only counted."""

READ_AHEAD = 32
"""Seeds read when a source is opened."""

_LINES = frozenset({".jsonl", ".ndjson"})
_COMPRESSED = frozenset({".gz", ".zst"})

log = logging.getLogger(__name__)


class Seeds:
    """`core.ports.SeedSource` over a source of rows. Reading happens in a thread; `bad` counts skipped rows."""

    def __init__(
        self, file: RowFile, *, row_format: RowFormat, start: int, limit: int | None, max_bad: int | None
    ) -> None:
        self._file = file
        self._rows = file.rows(start)
        self._row_format = row_format
        self._start = start
        self._limit = limit
        self._max_bad = max_bad
        self._ready: deque[Seed] = deque()  # filled in a thread, emptied on the loop
        self._reading = threading.Lock()  # a cancelled read may still be filling when the next begins
        self._failure: str | None = None
        self._first_problem = ""
        self._seen = 0
        self.bad = 0

    async def read(self, limit: int) -> list[Seed]:
        """Return the next seeds, at most `limit`; an empty list means the end. A cancelled read loses none.

        Raises:
            SeedError: the source cannot be read on, or too many rows are unusable.
        """
        if not self._ready:
            await asyncio.to_thread(self._fill, limit)
        if not self._ready and self._failure is not None:
            raise SeedError(self._failure)
        return [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]

    async def check(self) -> None:
        """Read a little ahead, so that a wrong source is known before anything is started.

        Raises:
            SeedError: it cannot be read, holds no seed, or too many of its first rows are unusable.
        """
        await asyncio.to_thread(self._fill, READ_AHEAD)
        if self._failure is not None:
            raise SeedError(self._failure)

    async def count(self) -> int:
        """The number of rows up to the limit, usable or not: one quick pass over the source.

        Raises:
            SeedError: the source cannot be read.
        """
        total = await asyncio.to_thread(self._file.count)
        return total if self._limit is None else min(total, self._limit)

    async def sha256(self) -> str:
        """A digest that changes when the source does.

        Raises:
            SeedError: the source cannot be read.
        """
        return await asyncio.to_thread(self._file.digest)

    def _fill(self, limit: int) -> None:
        """Read until `limit` seeds are ready, or the source ends or fails, once and for all."""
        with self._reading:
            try:
                while self._failure is None and len(self._ready) < limit and (row := self._next_row()) is not None:
                    self._take(row)
            except SeedError as error:
                self._failure = str(error)

    def _next_row(self) -> RawRow | None:
        row = next(self._rows, None)
        if row is not None and (self._limit is None or row.number < self._limit):
            return row
        self._rows.close()
        if self._start == 0 and self.bad == self._seen:
            told = f"the first: {self._first_problem}" if self._seen else "it has no rows"
            raise SeedError(f"{self._file.name}: no seed to work on; {told}")
        return None

    def _take(self, row: RawRow) -> None:
        self._seen += 1
        if row.problem is not None:
            self._skip(f"{row.place}: {row.problem}")
            return
        try:
            self._ready.append(to_seed(row.number, row.value, self._row_format))
        except UnusableRowError as error:
            self._skip(f"{row.place}: {error}")

    def _skip(self, problem: str) -> None:
        self.bad += 1
        self._first_problem = self._first_problem or problem
        if self.bad <= MAX_TOLD:
            log.warning("skipped %s", problem)
        tolerated = tolerated_rows(self._seen) if self._max_bad is None else self._max_bad
        if self.bad > tolerated:
            raise SeedError(f"{problem}; {self.bad} of {self._seen} rows are unusable: mend them, or check the format")


async def open_seeds(
    path: str, *, row_format: RowFormat = "auto", start: int = 0, limit: int | None = None, max_bad: int | None = None
) -> Seeds:
    """Open a source at the seed numbered `start`, and read far enough to know that it is one.

    `path` is a file (.json, .jsonl, .ndjson, each also .gz or .zst, or .parquet), `hub:org/name` or
    `shipped:name`. `limit` bounds the seed numbers, so a resumed run ends where an unbroken one does. `max_bad`
    is the number of unusable rows to tolerate (default: `tolerated_rows`).

    Raises:
        SeedError: it cannot be read, holds no seed, or too many of its first rows are unusable.
    """
    seeds = Seeds(row_file(path), row_format=row_format, start=start, limit=limit, max_bad=max_bad)
    await seeds.check()
    return seeds


def row_file(path: str) -> RowFile:
    """The reader for a path, by its prefix or its suffix. Nothing is opened yet.

    Raises:
        SeedError: the suffix is unknown.
    """
    if path.startswith("hub:"):
        return Hub(path.removeprefix("hub:"))
    file = shipped(path.removeprefix("shipped:")) if path.startswith("shipped:") else Path(path)
    suffixes = [suffix.lower() for suffix in file.suffixes[-2:]]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    match suffixes[-1:]:
        case [suffix] if suffix in _LINES:
            return JsonLines(file)
        case [".json"]:
            return JsonArray(file)
        case [".parquet"]:
            return Parquet(file)
        case _:
            raise SeedError(f"{path}: unknown kind of file: use .json, .jsonl, .parquet, or either JSON as .gz or .zst")


def tolerated_rows(seen: int) -> int:
    """How many unusable rows are tolerated among so many."""
    return max(MIN_TOLERATED, seen // TOLERATED_ONE_IN)
