"""Finished ranges of the log leave SQLite for shards, so that the database holds what is open and little more.

The order is: read, write the files, make them durable, and then one commit that lists the shard and takes its rows
out of the tables. Law: at every moment each finished row is in exactly one of the two. The newest rows stay, and so
does the state: what a start needs does not grow with what is done.
"""

from dataclasses import astuple
from pathlib import Path
from typing import Any

import apsw

from star_agents.storage import shards
from star_agents.storage.codec import check
from star_agents.storage.database import reader, storage_errors
from star_agents.storage.failpoints import failpoint
from star_agents.storage.shards import REPLIES, SHARD_ROWS, Shard

HOT_ROWS = 4 * SHARD_ROWS
"""Finished rows that stay in SQLite at least: a reader that follows the run never opens a file."""

Rows = list[tuple[Any, ...]]

_ROWS = """
SELECT log.seq, log.seed, log.batch, log.version, log.source, log.slot, log.pi, log.reason, log.crc32, log.body,
       plan.weights_version, plan.crc32, plan.body, plan.embedding
FROM log JOIN plan USING (seed) WHERE seq BETWEEN ? AND ? ORDER BY seq
"""
_REPLIES = f"""
SELECT {", ".join(f"reply.{name}" for name in REPLIES)} FROM log JOIN reply USING (seed) WHERE seq BETWEEN ? AND ?
ORDER BY reply.seed, purpose, reply.slot, ordinal
"""  # noqa: S608  # our own columns


def write_next(path: Path) -> Shard | None:
    """Write the oldest finished range that is due as a shard, which counts only once `move` lists it. Blocks.

    Raises:
        StoreError: a row is damaged, which is then not moved; or the files cannot be written.
    """
    with reader(path) as connection:
        span = _due(connection)
        if span is None:
            return None
        connection.execute("BEGIN")
        rows, replies = read_range(connection, span)
    failpoint("shard.read")
    with storage_errors(path):
        prepared = shards.prepared(rows, replies)
        prepared.write(shards.folder_of(path))
    failpoint("shard.published")
    return prepared.shard


def read_range(connection: apsw.Connection, span: tuple[int, int]) -> tuple[Rows, Rows]:
    """A range of the log with its plans, and its replies, as the tables hold them.

    Raises:
        StoreError: a row is damaged: what could not be read back is never moved.
    """
    rows: Rows = connection.execute(_ROWS, span).fetchall()
    replies: Rows = connection.execute(_REPLIES, span).fetchall()
    for _, seed, *_, crc, body, _, plan_crc, plan_body, embedding in rows:
        check(f"result of seed {seed}", crc, body)
        check(f"plan of seed {seed}", plan_crc, plan_body, embedding)
    for seed, purpose, slot, *_, crc, body in replies:
        check(f"{purpose} reply of seed {seed}, slot {slot}", crc, body)
    return rows, replies


def move(connection: apsw.Connection, shard: Shard, *, keep_entries: int) -> None:
    """List a shard and take its rows out of the tables; runs inside the writer's transaction.

    Of the memory bank the newest `keep_entries` stay, which is all that a start would load.
    """
    connection.execute("INSERT INTO shard VALUES (?, ?, ?, ?, ?, ?, ?, ?)", astuple(shard))
    failpoint("shard.listed")
    span = (shard.seq_lo, shard.seq_hi)
    seeds = str([seed for (seed,) in connection.execute("SELECT seed FROM log WHERE seq BETWEEN ? AND ?", span)])
    connection.execute("DELETE FROM reply WHERE seed IN (SELECT value FROM json_each(?))", (seeds,))
    connection.execute("DELETE FROM log WHERE seq BETWEEN ? AND ?", span)
    connection.execute("DELETE FROM plan WHERE seed IN (SELECT value FROM json_each(?))", (seeds,))
    connection.execute("DELETE FROM bank WHERE seq <= (SELECT max(seq) FROM bank) - ?", (keep_entries,))
    failpoint("shard.emptied")


def _due(connection: apsw.Connection) -> tuple[int, int] | None:
    """The first and the last number of the oldest range, if more than enough would be left."""
    count = connection.execute("SELECT count(*) FROM log").get
    if count < SHARD_ROWS + HOT_ROWS:
        return None
    first = connection.execute("SELECT min(seq) FROM log").get
    last = connection.execute("SELECT seq FROM log ORDER BY seq LIMIT 1 OFFSET ?", (SHARD_ROWS - 1,)).get
    return first, last
