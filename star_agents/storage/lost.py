"""A file of finished rows that is gone, or is not what was written: what was in it, and how to go on without.

Law: what is lost is named, by file and by rows, wherever it is missed; nobody passes over it who was not told to.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from star_agents.core.errors import StoreError

Holds = Literal["rows", "replies"]
HOLDS: tuple[Holds, ...] = ("rows", "replies")
"""What the two files of a shard hold, in the order of `Shard.files`."""

GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A listed file that is gone, or is not what was written: numbers and seeds of the rows that it was for.

    Without its `replies` file a row is whole, but for who was asked and what else was answered; without its `rows` file
    there is none.
    """

    file: str
    holds: Holds
    why: str
    seq_lo: int
    seq_hi: int
    seed_lo: int
    seed_hi: int
    rows: int

    mend: ClassVar[str] = "restore a copy of this file (it never changes), or go on without: --allow-missing"

    def __str__(self) -> str:
        """For a person."""
        what = "rows" if self.holds == "rows" else "the calls of rows"
        span = f"{self.seq_lo} to {self.seq_hi} (of seeds {self.seed_lo} to {self.seed_hi})"
        return f"{self.file}: {self.why}: {what} {span}, {self.rows} in all, are lost with it"


OnLost = Callable[[Lost], None]
"""Told of a file that is passed over."""


class LostFileError(StoreError):
    """A file of finished rows is gone or damaged."""

    def __init__(self, lost: Lost) -> None:
        super().__init__(f"{lost}: {lost.mend}")
        self.lost = lost


def tolerant(rows: Iterator[tuple[Any, ...]], on_lost: OnLost | None) -> Iterator[tuple[Any, ...]]:
    """Rows of a file; none where it is lost and somebody is to be told.

    Raises:
        LostFileError: it is lost, and nobody is.
    """
    try:
        yield from rows
    except LostFileError as error:
        if on_lost is None:
            raise
        on_lost(error.lost)
