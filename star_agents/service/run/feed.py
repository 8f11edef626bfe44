"""Seeds of a run that is fed while it goes on: those of its file first, then those that come.

Laws: the number of a fed seed is the number of rows of the file plus its place in the inbox, so later starts find the
same seed under the same number; a row is durable before whoever fed it is told; and rows that come when the source has
ended are refused, not lost: those taken in before and not planned are the next start's.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from star_agents.core.errors import ConfigError, NotNowError
from star_agents.core.ports import SeedSource
from star_agents.core.records import Seed
from star_agents.service.run.inbox import Fed, Inbox, InboxReader
from star_agents.storage.row_files import decode
from star_agents.storage.seed_rows import RowFormat, to_seed

MAX_TOLD = 10
"""Lines of a feeding whose problems are told."""

log = logging.getLogger(__name__)


class FileSeeds(SeedSource, Protocol):
    """The seeds of the run's file."""

    bad: int
    """Rows that could not be used."""


class FedSeeds:
    """`core.ports.SeedSource`: a file of `num_rows` rows, then the inbox; `keep_alive` waits for more.

    `next_seed` is the first number that no earlier start has planned.
    """

    def __init__(
        self, file: FileSeeds | None, inbox: Inbox, *, num_rows: int, next_seed: int, keep_alive: bool
    ) -> None:
        self._file = file
        self._inbox = inbox
        self._num_rows = num_rows
        self._next = max(0, next_seed - num_rows)
        self._reader = InboxReader(inbox, self._next)
        self._keep_alive = keep_alive
        self._is_over = False
        self._has_come = asyncio.Event()
        self._appending = asyncio.Lock()

    @property
    def bad(self) -> int:
        """Rows of the file that could not be used."""
        return 0 if self._file is None else self._file.bad

    @property
    def num_fed(self) -> int:
        """Rows that were fed so far, over all starts."""
        return self._inbox.count

    @property
    def offsets(self) -> dict[str, int]:
        """How far each followed file was read."""
        return self._inbox.offsets

    async def read(self, limit: int) -> list[Seed]:
        """Return the next seeds, at most `limit`; an empty list means the end. A cancelled read loses none.

        Raises:
            SeedError: the file cannot be read on.
            StoreError: the inbox cannot be read.
        """
        if self._file is not None and (seeds := await self._file.read(limit)):
            return seeds
        while self._next >= self._inbox.count:
            if not self._keep_alive and not self._appending.locked():
                self._is_over = True
                return []
            self._has_come.clear()
            await self._has_come.wait()
        rows = await asyncio.to_thread(self._reader.read, limit)
        first = self._num_rows + self._next
        self._next += len(rows)
        return [to_seed(first + index, row, "auto") for index, row in enumerate(rows)]

    async def feed(self, fed: Fed, *, at: int | None = None) -> int:
        """Take rows in; returns how many have been fed then. `at` is how many the feeder knows of: see `missing`.

        Raises:
            NotNowError: the source has ended, or `at` is ahead of what there is.
            StoreError: they are not durable.
        """
        async with self._appending:
            if self._is_over:
                raise NotNowError("the seeds of this run have ended; set service.keep_alive and resume it")
            rows = fed.rows if at is None else missing(fed.rows, at=at, count=self._inbox.count)
            if rows or fed.origin:
                await self._append(replace(fed, rows=rows))
            return self._inbox.count

    async def _append(self, fed: Fed) -> None:
        """Whoever is cancelled meanwhile waits all the same: one thread at a time writes."""
        writing = asyncio.get_running_loop().run_in_executor(None, self._inbox.append, fed)
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await writing
            raise
        finally:
            self._has_come.set()


def missing(rows: Sequence[object], *, at: int, count: int) -> Sequence[object]:
    """Those of `rows`, of which the first is the `at`-th to be fed, that are not among the `count` that have been.

    So a feeder that was never told may send the same again.

    Raises:
        NotNowError: there are rows in between that nobody fed.
    """
    if at > count:
        raise NotNowError(f"{count} rows have been fed, and these are said to come after {at}")
    return rows[count - at :]


def read_rows(content: bytes, row_format: RowFormat = "auto") -> list[object]:
    """The rows of JSON lines, each of which holds a seed, in the shape that the inbox takes.

    Raises:
        ConfigError: some hold none; the first lines with their problems.
    """
    rows: list[object] = []
    problems: list[str] = []
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(plain_row(decode(line), row_format))
        except ValueError as error:  # UnusableRowError is one
            problems.append(f"line {number}: {error}")
    if problems:
        raise ConfigError(*problems[:MAX_TOLD])
    return rows


def plain_row(value: object, row_format: RowFormat) -> dict[str, str]:
    """The seed of a row in one shape for all, so that it means the same whatever a later config says.

    Raises:
        UnusableRowError: it holds none.
    """
    seed = to_seed(0, value, row_format)
    row = {"instruction": seed.instruction, "input": seed.context, "output": seed.response}
    return row if seed.source_id is None else row | {"id": seed.source_id}
