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
from star_agents.storage.copied import leftovers
from star_agents.storage.database import BUSY_TIMEOUT_MS, reader, storage_errors
from star_agents.storage.lost import Lost
from star_agents.storage.moving import HOT_ROWS
from star_agents.storage.shards import SHARD_ROWS, folder_of, listed, missing

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

_ALL = (
    "SELECT 'the manifest', crc32, body FROM manifest",
    "SELECT 'plan of seed ' || seed, crc32, body, embedding FROM plan",
    "SELECT purpose || ' reply of seed ' || seed || ', slot ' || slot, crc32, body FROM reply",
    "SELECT 'result of seed ' || seed, crc32, body FROM log",
    "SELECT 'policy of version ' || version, crc32, p, state FROM policy",
    "SELECT 'epoch of version ' || version, crc32, body FROM epoch",
    "SELECT 'the tally', crc32, body FROM tally",
    "SELECT 'command ' || id, crc32, body FROM command",
    "SELECT 'memory entry of seed ' || seed, crc32, embedding FROM bank",
)


def examine(path: Path) -> None:
    """Undo what is half written, and after an unclean stop see whether the rest is sound. Blocks.

    The caller holds the run folder's lock. It takes about as long as reading the newest rows.

    Raises:
        StoreError: it is damaged; bad rows are named, with the mend.
    """
    is_unclean = bool(leftovers(path))
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


def problems(path: Path) -> Iterator[str]:
    """Everything that is wrong with a database, by name; for any process, at any time. Blocks while it reads it whole.

    Raises:
        StoreError: it cannot be read at all.
    """
    with reader(path) as connection:
        found = [str(row[0]) for row in connection.execute("PRAGMA quick_check")]
        yield from found if found != ["ok"] else ()
        for query in _ALL:
            for name, crc, *blobs in connection.execute(query):
                if checksum(*blobs) != crc:
                    yield f"{name} is damaged"


def shard_problems(path: Path) -> tuple[int, tuple[Lost, ...]]:
    """How many shards are listed, and which of their files are missing or have changed. Blocks.

    Raises:
        StoreError: the database cannot be read.
    """
    with reader(path) as connection:
        shards = listed(connection)
    return len(shards), tuple(lost for shard in shards for lost in shard.problems(folder_of(path)))


def missing_files(path: Path) -> tuple[Lost, ...]:
    """Files of finished rows that are listed and not there; only names are looked at. Blocks.

    Raises:
        StoreError: the database cannot be read.
    """
    with reader(path) as connection:
        return missing(folder_of(path), listed(connection))


def _check(connection: apsw.Connection, path: Path) -> None:
    found = [str(row[0]) for row in connection.execute(f"PRAGMA quick_check({NAMED})")]
    if found != ["ok"]:
        raise StoreError(f"{path}: damaged ({'; '.join(found)}): restore a copy of the run folder")
    if bad := list(islice(bad_rows(connection), NAMED)):
        raise StoreError(f"{path}: damaged ({', '.join(bad)}): restore a copy of the run folder")
