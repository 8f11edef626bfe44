"""Looking a run database over before a start goes on with it.

Law: what a crash left half written is undone before anybody reads, and after an unclean stop the file is believed
only when SQLite finds it sound and every checksum of the newest rows matches. A stop was clean when the last
connection emptied the WAL; what is left of it, or of a journal, tells of a crash. Nothing is ever repaired by guessing.
"""

import logging
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import apsw

from star_agents.core.errors import StoreError
from star_agents.storage.codec import checksum
from star_agents.storage.database import BUSY_TIMEOUT_MS, storage_errors
from star_agents.storage.moving import HOT_ROWS
from star_agents.storage.shards import SHARD_ROWS

CHECKED_ROWS = HOT_ROWS + SHARD_ROWS
"""Newest finished rows whose checksums are looked at: all that the tables hold once older ones have moved."""

NAMED = 5
"""Bad rows that a message names."""

log = logging.getLogger(__name__)

_BODIES = (
    "SELECT 'plan of seed ' || seed, crc32, body, embedding FROM plan WHERE seed > (SELECT max(seed) FROM plan) - ?",
    "SELECT 'result of seed ' || seed, crc32, body FROM log WHERE seq > (SELECT max(seq) FROM log) - ?",
    """SELECT purpose || ' reply of seed ' || seed || ', slot ' || slot, crc32, body FROM reply
    WHERE seed > (SELECT max(seed) FROM plan) - ?""",
)


def examine(path: Path) -> None:
    """Undo what is half written, and after an unclean stop see whether the rest is sound. Blocks.

    The caller holds the run folder's lock. It takes about as long as reading the newest rows.

    Raises:
        StoreError: it is damaged; bad rows are named, with the mend.
    """
    is_unclean = any(_is_filled(path.with_name(path.name + suffix)) for suffix in ("-wal", "-journal"))
    with storage_errors(path):
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.set_busy_timeout(BUSY_TIMEOUT_MS)
            if not connection.execute("SELECT count(*) FROM sqlite_schema").get or not is_unclean:
                return  # reading at all has undone what was half written
            log.info("%s: the last stop was no clean one: looking it over", path)
            _check(connection, path)
        finally:
            connection.close()


def bad_rows(connection: apsw.Connection) -> Iterator[str]:
    """The newest rows whose bytes are not what was written, by name."""
    for query in _BODIES:
        for name, crc, *blobs in connection.execute(query, (CHECKED_ROWS,)):
            if checksum(*blobs) != crc:
                yield str(name)


def _check(connection: apsw.Connection, path: Path) -> None:
    problems = [str(row[0]) for row in connection.execute(f"PRAGMA quick_check({NAMED})")]
    if problems != ["ok"]:
        raise StoreError(f"{path}: damaged ({'; '.join(problems)}): restore a copy of the run folder")
    if bad := list(islice(bad_rows(connection), NAMED)):
        raise StoreError(f"{path}: damaged ({', '.join(bad)}): restore a copy of the run folder")


def _is_filled(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0
