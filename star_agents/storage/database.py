"""Opening the run database: one connection that writes, and readers that cannot.

Every commit is durable when it returns: WAL with `synchronous=FULL`. Two writing connections are never open
at once, which also keeps clear of SQLite's WAL-reset bug (fixed in 3.51.3). SQLite's own errors become
`StoreError` here and nowhere else.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

import apsw

from star_agents.core.errors import StoreError
from star_agents.storage.codec import Packer, checksum
from star_agents.storage.copied import copied
from star_agents.storage.failpoints import failpoint
from star_agents.storage.manifest import Manifest
from star_agents.storage.older import show_as_newest
from star_agents.storage.schema import APPLICATION_ID, COMMANDS, MOVED, SCHEMA_VERSION, SPENDING, TABLES

log = logging.getLogger(__name__)

SAFE_SQLITE = (3, 51, 3)
"""The first without the WAL-reset bug."""

BUSY_TIMEOUT_MS = 5_000
"""How long SQLite itself waits for a lock that another program holds."""

WAL_LIMIT_BYTES = 64 * 2**20
"""The WAL is cut back to this when a checkpoint has emptied it."""

_WRITER_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}",
    "PRAGMA foreign_keys = ON",
)

_MENDS: tuple[tuple[type[apsw.Error], str], ...] = (
    (apsw.FullError, "the disk is full: make room and resume"),
    (apsw.IOError, "the disk failed: check it before you resume"),
    (apsw.NotADBError, "this is not a run database: name another run folder"),
    (apsw.CorruptError, "the database is damaged: restore a copy of the run folder"),
    (apsw.CantOpenError, "it cannot be opened: check that it exists and the rights on its folder"),
    (apsw.ReadOnlyError, "it cannot be written: check the rights on the run folder"),
    (apsw.ConstraintError, "a record came twice or before its plan: report this"),
    (apsw.BusyError, "another program holds it locked: close that program and resume"),
)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite and of the file system into ours, with the mend.

    Raises:
        StoreError: either raised anything at all.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}: check the rights on the run folder") from error
    except apsw.Error as error:
        mend = next((mend for kind, mend in _MENDS if isinstance(error, kind)), "report this")
        raise StoreError(f"{path}: {mend} ({type(error).__name__}: {error})") from error


def open_writer(path: Path, manifest: Manifest) -> apsw.Connection:
    """Open the database to write, beginning the run of `manifest` where there is none. The caller holds the lock.

    Raises:
        StoreError: it cannot be opened, is not ours, or was made by another version.
    """
    with storage_errors(path):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        if _is_new(connection):
            _create(connection, manifest)
        check_schema(connection, path)
        for pragma in _WRITER_PRAGMAS:
            connection.execute(pragma)
    return connection


@contextmanager
def reader(path: Path) -> Iterator[apsw.Connection]:
    """A connection that cannot write, closed at the end. Read briefly: an open read keeps the WAL from shrinking.

    SQLite writes beside a database to read it; where it may not, or would have to undo what a crash left half written,
    a copy is read. The run folder stays as it is. A database of an earlier version is shown as one of this.

    Raises:
        StoreError: there is no run database here, or it cannot be read.
    """
    with storage_errors(path), ExitStack() as stack:
        try:
            connection = _opened(path, apsw.SQLITE_OPEN_READONLY)
        except (apsw.CantOpenError, apsw.ReadOnlyError):
            if not path.is_file():
                raise
            _tell_of_copy(path)
            connection = _opened(stack.enter_context(copied(path)), apsw.SQLITE_OPEN_READWRITE)
        stack.callback(connection.close)
        version = schema_version(connection, path)
        if version > SCHEMA_VERSION:
            raise StoreError(_too_new(path, version))
        show_as_newest(connection, version)
        connection.execute("PRAGMA query_only = ON")
        yield connection


def _opened(path: Path, flags: int) -> apsw.Connection:
    """A connection that has read something: only then is it known whether it can."""
    connection = apsw.Connection(str(path), flags=flags)
    try:
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        connection.pragma("schema_version")
    except apsw.Error:
        connection.close()
        raise
    return connection


@cache
def _tell_of_copy(path: Path) -> None:
    """Once, however often it is read."""
    log.warning("%s: its folder cannot be written, or its last stop was no clean one: reading a copy", path)


def sqlite_version() -> tuple[int, ...]:
    """Of the SQLite that is linked in."""
    return tuple(map(int, apsw.sqlite_lib_version().split(".")))


def check_schema(connection: apsw.Connection, path: Path) -> None:
    """Refuse to write to a file that is not ours, or not of this version.

    Raises:
        StoreError: so it is.
    """
    version = schema_version(connection, path)
    if version == SCHEMA_VERSION:
        return
    if version > SCHEMA_VERSION:
        raise StoreError(_too_new(path, version))
    told = f"written by an earlier version of star-agents (schema {version}; this one writes {SCHEMA_VERSION})"
    raise StoreError(f"{path}: {told}: star-agents serve-run CONFIG --resume brings it up to date, and keeps a copy")


def _too_new(path: Path, version: int) -> str:
    told = f"written by a later version of star-agents (schema {version}; this one knows up to {SCHEMA_VERSION})"
    return f"{path}: {told}: upgrade star-agents (pip install --upgrade star-agents), or use the version that wrote it"


def schema_version(connection: apsw.Connection, path: Path) -> int:
    """The schema that a run database was written under.

    Raises:
        StoreError: it is none.
    """
    if _is_new(connection):
        raise StoreError(f"{path}: its first start was ended before anything was stored: start it again with serve-run")
    if connection.pragma("application_id") != APPLICATION_ID:
        raise StoreError(f"{path}: this is not a star-agents run database: name another run folder")
    return int(connection.pragma("user_version"))


def _is_new(connection: apsw.Connection) -> bool:
    return not connection.execute("SELECT count(*) FROM sqlite_schema").get


def _create(connection: apsw.Connection, manifest: Manifest) -> None:
    """Begin a run in one transaction: a crash leaves an empty file or a whole one."""
    connection.execute(f"BEGIN IMMEDIATE; {TABLES} {SPENDING} {MOVED} {COMMANDS}")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}")
    put_manifest(connection, manifest)
    failpoint("create.begun")
    connection.execute("COMMIT")
    failpoint("create.done")


def put_manifest(connection: apsw.Connection, manifest: Manifest) -> None:
    """Write what the run is of, over what was written before."""
    body = Packer().pack(manifest)
    connection.execute("INSERT OR REPLACE INTO manifest VALUES (1, ?, ?)", (checksum(body), body))
