"""Finished rows as JSON lines, page by page, while the run goes on.

Law: the order is that of the commits, and `seq` counts it; a row that was once behind a place is behind it for ever, so
whoever keeps the last `seq` it has dealt with misses no row and gets none twice, whatever is restarted.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

import orjson

from star_agents.storage.formats import SHAPES
from star_agents.storage.lineage import selected
from star_agents.storage.rows import iter_rows

PAGE_ROWS = 128
"""Seeds read at once."""

RowShape = Literal["messages", "alpaca", "sharegpt"]
ROW_SHAPES: tuple[RowShape, ...] = ("messages", "alpaca", "sharegpt")


class Tail:
    """The finished rows of a run after `after`, which moves with what is read. One thread at a time reads."""

    def __init__(self, database: Path, *, after: int, shape: RowShape) -> None:
        self.after = after
        """Of the last finished seed that was read, whether it left a row or not."""
        self._database = database
        self._shape = shape
        self._rows: Iterator[tuple[int, bytes | None]] | None = None

    def read(self) -> list[bytes] | None:
        """The next lines, of at most `PAGE_ROWS` seeds, or None where no more are finished by now. Blocks.

        What is read goes on where it was: a file of many rows is not begun anew for each page.

        Raises:
            StoreError: the run cannot be read, or a row is damaged.
        """
        if self._rows is None:
            self._rows = lines_after(self._database, after=self.after, shape=self._shape)
        page = list(islice(self._rows, PAGE_ROWS))
        if len(page) < PAGE_ROWS:
            self._rows = None
        if not page:
            return None
        self.after = page[-1][0]
        return [line for _, line in page if line is not None]


def lines_after(database: Path, *, after: int, shape: RowShape) -> Iterator[tuple[int, bytes | None]]:
    """Every seed that is finished by now, after a sequence number: its own, and its row; None where it left none.

    Raises:
        StoreError: the run cannot be read, or a row is damaged.
    """
    for row in iter_rows(database, order="commit", after=after):
        example = selected(row)
        line = None if example is None else orjson.dumps({"seq": row.seq, **SHAPES[shape](example)})
        yield row.seq, line
