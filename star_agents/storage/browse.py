"""A look at finished rows by number, wherever they lie: a page of them, or one with every call that was made for it.

Law: a look costs what it shows and never what the run has done. It reads through the index of the log, or one shard,
and holds nothing open.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import apsw

from star_agents.core.calls import Completion, Purpose, Reply
from star_agents.core.records import VerdictSource
from star_agents.storage import shards
from star_agents.storage.codec import read_reply, read_scored
from star_agents.storage.database import reader
from star_agents.storage.rows import FinishedRow, iter_rows

_REPLY = ("purpose", "slot", "ordinal", "agent", "crc32", "body")
_REPLIES = f"SELECT seed, {', '.join(_REPLY)} FROM reply WHERE seed = ? ORDER BY purpose, slot, ordinal"  # noqa: S608
_NEWEST = "SELECT seed, crc32, body FROM log ORDER BY seq DESC LIMIT ?"


@dataclass(frozen=True, slots=True)
class Called:
    """A call that was made for a seed, and what it brought."""

    purpose: Purpose
    slot: int
    ordinal: int
    agent: str
    reply: Reply

    @property
    def text(self) -> str:
        """What the model wrote, or why it wrote nothing."""
        return self.reply.text if isinstance(self.reply, Completion) else self.reply.message


@dataclass(frozen=True, slots=True)
class ScorePoint:
    """IFD of one candidate under both models (Eq. 4), and what became of it."""

    small: float
    large: float
    is_base: bool
    is_selected: bool


def last_row(path: Path) -> int:
    """The number of the newest finished row; 0 before the first. Blocks, as all of these do.

    Raises (all of these):
        StoreError: the run cannot be read, or a row is damaged; it names the row.
    """
    with reader(path) as connection:
        return int(connection.execute("SELECT ifnull(max(seq), 0) FROM log").get)  # the newest never leave


def read_page(path: Path, *, first: int, limit: int) -> tuple[FinishedRow, ...]:
    """At most `limit` rows, in the order of their commits, from the number `first` on."""
    return tuple(islice(iter_rows(path, order="commit", after=first - 1), limit))


def read_row(path: Path, number: int) -> tuple[FinishedRow, tuple[Called, ...]] | None:
    """One row and the calls that were made for it, or None where there is no such row."""
    row = next(iter_rows(path, order="commit", after=number - 1), None)
    if row is None or row.seq != number:
        return None
    return row, tuple(_calls(path, number, row.graded.settled.plan.seed.number))


def number_of_seed(path: Path, seed: int) -> int | None:
    """The number of the row that a seed led to, or None where it is not finished."""
    with reader(path) as connection:
        found = connection.execute("SELECT seq FROM log WHERE seed = ?", (seed,)).get
        may_hold = [shard for shard in shards.listed(connection) if shard.seed_lo <= seed <= shard.seed_hi]
    if found is not None:
        return int(found)
    folder = shards.folder_of(path)
    pairs = (pair for shard in may_hold for pair in shard.read_rows(folder, ("seq", "seed")))
    return next((number for number, of in pairs if of == seed), None)


def read_points(path: Path, *, limit: int) -> tuple[ScorePoint, ...]:
    """The candidates of the newest `limit` rows that both models have scored; of those that are still in SQLite."""
    with reader(path) as connection:
        rows: list[tuple[Any, ...]] = connection.execute(_NEWEST, (limit,)).fetchall()
    return tuple(point for row in rows for point in _points(*row))


def _points(seed: int, crc: int, body: bytes) -> Iterator[ScorePoint]:
    scored = read_scored(f"result of seed {seed}", crc, body)
    for slot, scores in scored.scores.items():
        small, large = scores.small.ifd, scores.large.ifd if scores.large else None
        if small is not None and large is not None:
            verdict = scored.verdicts.get(slot)
            is_base = verdict is not None and verdict.source is VerdictSource.BASE
            yield ScorePoint(small, large, is_base, slot == scored.selection.slot)


def _calls(path: Path, number: int, seed: int) -> Iterator[Called]:
    with reader(path) as connection:
        connection.execute("BEGIN")  # it may leave for a shard between two looks
        is_here = connection.execute("SELECT 1 FROM log WHERE seq = ?", (number,)).get
        rows = connection.execute(_REPLIES, (seed,)).fetchall()
        listed = [] if is_here else _shards_of(connection, number)
    folder = shards.folder_of(path)
    moved = (row for shard in listed for row in shard.read_replies(folder, ("seed", *_REPLY)) if row[0] == seed)
    return _read(rows or moved)


def _shards_of(connection: apsw.Connection, number: int) -> list[shards.Shard]:
    return [shard for shard in shards.listed(connection, after=number - 1) if shard.seq_lo <= number <= shard.seq_hi]


def _read(rows: Iterable[tuple[Any, ...]]) -> Iterator[Called]:
    for seed, purpose, slot, ordinal, agent, crc, body in rows:
        reply = read_reply(f"{purpose} reply of seed {seed}, slot {slot}, ordinal {ordinal}", crc, body)
        yield Called(Purpose(purpose), slot, ordinal, agent, reply)
