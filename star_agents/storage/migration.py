"""Bringing the database of an earlier version up to date: a copy first, then one transaction.

Law: a crash at any moment leaves the database as it was or as it should be, and a copy that bears its name is
whole. What an earlier schema did not record is marked unknown, never guessed at.
"""

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw

from star_agents.core.calls import Failure
from star_agents.storage.codec import read_reply
from star_agents.storage.database import BUSY_TIMEOUT_MS, put_manifest, schema_version, storage_errors
from star_agents.storage.failpoints import failpoint
from star_agents.storage.manifest import Manifest
from star_agents.storage.publish import sync_folder
from star_agents.storage.recovery import stored_manifest
from star_agents.storage.schema import COMMANDS, MOVED, SCHEMA_VERSION, SPENDING

log = logging.getLogger(__name__)

_WIDEN = """
ALTER TABLE reply ADD COLUMN agent            TEXT    NOT NULL DEFAULT '';
ALTER TABLE reply ADD COLUMN pair             TEXT    NOT NULL DEFAULT '';
ALTER TABLE reply ADD COLUMN reason           TEXT    NOT NULL DEFAULT '';
ALTER TABLE reply ADD COLUMN sends            INTEGER NOT NULL DEFAULT 1;
ALTER TABLE reply ADD COLUMN reasoning_tokens INTEGER;
ALTER TABLE reply ADD COLUMN cached_tokens    INTEGER;
ALTER TABLE reply ADD COLUMN wasted_input     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE reply ADD COLUMN wasted_output    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE reply ADD COLUMN estimated        INTEGER NOT NULL DEFAULT 0;

DROP TRIGGER reply_spends;
ALTER TABLE spend RENAME TO spend_1;
"""

_CARRY = """
INSERT INTO spend
    SELECT endpoint, '', '', '', calls, failures, calls, input_tokens, output_tokens, NULL, NULL, 0, 0, 0 FROM spend_1;
DROP TABLE spend_1;
"""

_POOLS = """
ALTER TABLE policy ADD COLUMN state BLOB NOT NULL DEFAULT x'';

CREATE TABLE epoch (
    version     INTEGER PRIMARY KEY,
    applied_seq INTEGER NOT NULL,
    crc32       INTEGER NOT NULL,
    body        BLOB NOT NULL
) STRICT;
"""

_FREE_BANK = """
ALTER TABLE bank RENAME TO bank_3;

CREATE TABLE bank (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    seed        INTEGER NOT NULL,
    instruction TEXT NOT NULL,
    response    TEXT NOT NULL,
    pi          REAL NOT NULL,
    crc32       INTEGER NOT NULL,
    embedding   BLOB NOT NULL
) STRICT;

INSERT INTO bank SELECT seq, seed, instruction, response, pi, crc32, embedding FROM bank_3;
DROP TABLE bank_3;
"""
"""A memory may outlive the plan that it came of, which moves to a file."""


def migrate(path: Path) -> None:
    """Bring a run database up to date, if it is of an earlier version; one of a newer is left alone. Blocks.

    The copy lies beside it as `run.db.schema-1`, or whatever the version was. The caller holds the run folder's lock.

    Raises:
        StoreError: it is no run database, cannot be written, or a row is damaged; then it is as it was.
    """
    with storage_errors(path):
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.set_busy_timeout(BUSY_TIMEOUT_MS)
            version = schema_version(connection, path)
            if version < SCHEMA_VERSION:
                log.warning("%s: bringing schema %d up to %d; a copy is kept", path, version, SCHEMA_VERSION)
                _copy(connection, path.with_name(f"{path.name}.schema-{version}"))
                failpoint("migrate.copied")
                with connection:  # one transaction, undone by any error
                    if version == 1:
                        _from_1(connection)
                    if version <= 2:  # noqa: PLR2004  # knew one rule, without a state, and one pool
                        connection.execute(_POOLS)
                    if version <= 3:  # noqa: PLR2004  # kept every finished row
                        connection.execute(_FREE_BANK + MOVED)
                    connection.execute(COMMANDS)  # 4 did not write down what it was told to do
                    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                    failpoint("migrate.written")
                failpoint("migrate.done")
        finally:
            connection.close()


def adopt(path: Path, now: Manifest) -> None:
    """Record the settings of a run anew, where a later version tells the same ones in more keys. Blocks.

    The caller holds the run folder's lock, and has found no field in which they differ.

    Raises:
        StoreError: the database cannot be written.
    """
    with storage_errors(path):
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.set_busy_timeout(BUSY_TIMEOUT_MS)
            begun = stored_manifest(connection)
            put_manifest(connection, replace(begun, config=now.config, fingerprint=now.fingerprint))
        finally:
            connection.close()


def _copy(connection: apsw.Connection, copy: Path) -> None:
    """Everything as it is, WAL included, under a name that appears only when it is whole and durable."""
    aside = copy.with_name(f".tmp-{os.getpid()}-{copy.name}")
    descriptor = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        target = apsw.Connection(str(aside), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            with target.backup("main", connection, "main") as backup:
                backup.step()
        finally:
            target.close()
        os.fsync(descriptor)
        aside.replace(copy)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    sync_folder(copy.parent)


def _from_1(connection: apsw.Connection) -> None:
    """Schema 1 kept spending by endpoint alone, and the reason of a failure in its body."""
    for statements in (_WIDEN, SPENDING, _CARRY):  # when SPENDING changes, its text of schema 2 moves here
        connection.execute(statements)
    failed: list[tuple[Any, ...]] = connection.execute(
        "SELECT rowid, seed, crc32, body FROM reply WHERE ok = 0"
    ).fetchall()
    for rowid, seed, crc, body in failed:
        reply = read_reply(f"failure of seed {seed}", crc, body)
        if isinstance(reply, Failure):
            connection.execute(
                "UPDATE reply SET reason = ?, sends = ? WHERE rowid = ?", (reply.reason, reply.attempts, rowid)
            )
