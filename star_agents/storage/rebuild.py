"""Files of finished rows that are gone, made again from what a migration kept: `run.db.schema-N`, where it holds them.

Law: a file is made again only of every row that it held, each with its checksum. The list in the database and the files
agree at the end, or a file is still missing: where the bytes come out otherwise than they were (another version of the
Parquet library) both files go, then the list changes, then both come back, so that a crash in between leaves a gap that
the next start closes.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import apsw

from star_agents.core.errors import StoreError
from star_agents.storage.database import BUSY_TIMEOUT_MS, reader, storage_errors
from star_agents.storage.moving import read_range
from star_agents.storage.publish import sync_folder
from star_agents.storage.shards import Prepared, Shard, folder_of, listed, missing, prepared

log = logging.getLogger(__name__)


def rebuild(path: Path) -> None:
    """Make files again that are gone, as far as a kept copy holds their rows. Blocks. The caller holds the lock.

    Raises:
        StoreError: the database cannot be read or written, or the files not be written.
    """
    with reader(path) as connection:
        shards = {shard.seq_lo: shard for shard in listed(connection)}
    folder = folder_of(path)
    for number in sorted({lost.seq_lo for lost in missing(folder, tuple(shards.values()))}):
        shard = shards[number]
        again = next(_again(path, shard), None)
        if again is not None:
            with storage_errors(path):
                _put_back(path, shard, again)
            log.warning("rows %d to %d were gone from %s and are made again", shard.seq_lo, shard.seq_hi, folder)


def _again(path: Path, shard: Shard) -> Iterator[Prepared]:
    """The shard as each copy has it that has all of it."""
    for copy in sorted(path.parent.glob(f"{path.name}.schema-*")):
        try:
            with reader(copy) as connection:
                rows, replies = read_range(connection, (shard.seq_lo, shard.seq_hi))
        except StoreError as error:
            log.warning("%s: of no help: %s", copy, error)
            continue
        if len(rows) != shard.rows:
            continue
        again = prepared(rows, replies)
        if _counts(again.shard) == _counts(shard):
            yield again


def _counts(shard: Shard) -> tuple[int, ...]:
    return shard.seq_lo, shard.seq_hi, shard.seed_lo, shard.seed_hi, shard.rows, shard.failures


def _put_back(path: Path, shard: Shard, again: Prepared) -> None:
    folder = folder_of(path)
    if again.shard != shard:
        for file in shard.files(folder):
            file.unlink(missing_ok=True)
        if folder.is_dir():
            sync_folder(folder)
        _list_again(path, again.shard)
    again.write(folder)


def _list_again(path: Path, shard: Shard) -> None:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(
            "UPDATE shard SET rows_crc32 = ?, replies_crc32 = ? WHERE seq_lo = ?",
            (shard.rows_crc32, shard.replies_crc32, shard.seq_lo),
        )
    finally:
        connection.close()
