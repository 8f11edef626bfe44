"""A source of rows in blocks of a fixed size, so that a row is always in the same block, wherever reading starts.

Unlike a seed of a run, a row that cannot be used keeps its place here: it is in its block, with the reason. And its
instruction may be empty, which can be scored as the public programs do, though nobody could answer it.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from star_agents.core.records import Seed
from star_agents.storage.row_files import RawRow, RowFile
from star_agents.storage.seed_rows import UnusableRowError, to_seed


@dataclass(frozen=True, slots=True)
class UnusableRow:
    """A row that holds no instruction; `reason` says why, and `place` where, for a person."""

    number: int
    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class RowBlock:
    """The rows numbered `first` and on, without a gap."""

    first: int
    rows: tuple[Seed | UnusableRow, ...]

    @property
    def seeds(self) -> tuple[Seed, ...]:
        """The rows that can be used."""
        return tuple(row for row in self.rows if isinstance(row, Seed))

    @property
    def num_unusable(self) -> int:
        """How many cannot."""
        return len(self.rows) - len(self.seeds)


class RowBlocks:
    """Blocks of `size` rows from row `start`, a multiple of the size; the last block may be shorter.

    Reads in a thread, one block at a time.
    """

    def __init__(self, file: RowFile, *, size: int, start: int = 0) -> None:
        self._size = size
        self._rows: Iterator[RawRow] = file.rows(start)

    async def read(self) -> RowBlock | None:
        """Return the next block, or None at the end.

        Raises:
            SeedError: the source cannot be read on.
        """
        rows = await asyncio.to_thread(lambda: [_read(row) for row in islice(self._rows, self._size)])
        return RowBlock(rows[0].number, tuple(rows)) if rows else None


def _read(row: RawRow) -> Seed | UnusableRow:
    if row.problem is not None:
        return UnusableRow(row.number, row.place, row.problem)
    try:
        return to_seed(row.number, row.value, "auto", may_be_empty=True)
    except UnusableRowError as error:
        return UnusableRow(row.number, row.place, str(error))
