"""The one thread that writes, and group commit.

Laws: writes commit in the order in which they were asked for; a write is answered only after the commit that
holds it; everything asked for while one commit ran shares the next. After the first failure nothing is
written any more: the failed commit may or may not be on the disk, and only a fresh start can tell.

The thread knows nothing of records: a write is a function that runs inside a transaction.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NamedTuple

import apsw

from star_agents.core.errors import StoreError
from star_agents.storage.database import storage_errors
from star_agents.storage.failpoints import failpoint

MAX_GROUP = 512
"""Writes in one commit: as many as come while a slow disk syncs, few enough that the first need not wait long."""

log = logging.getLogger(__name__)


class WriterStatistics(NamedTuple):
    """Counts since the start."""

    commits: int
    """Transactions committed."""
    writes: int
    """Writes in them; writes over commits is the mean group."""


class _Write(NamedTuple):
    operation: Callable[[], None]
    done: asyncio.Future[None]


class Writer:
    """Runs operations on a connection, in its own thread, from which it also closes it."""

    def __init__(self, connection: apsw.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._queue: SimpleQueue[_Write | None] = SimpleQueue()  # None: closed, nothing follows
        self._thread = threading.Thread(target=self._run, name="star-agents-writer", daemon=True)
        self._is_closing = False
        self._refusal: str | None = None
        self._commits = 0
        self._writes = 0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def write(self, operation: Callable[[], None]) -> None:
        """Return when `operation` has run and is durable. Cancelling the wait does not undo the write.

        Raises:
            StoreError: it is not durable, now or ever.
        """
        if self._is_closing:
            raise StoreError(f"{self._path}: the store is closed")
        done = asyncio.get_running_loop().create_future()
        self._queue.put(_Write(operation, done))
        await done

    async def close(self) -> None:
        """Commit what was asked for, close the connection, and wait for the thread to end."""
        if not self._is_closing:
            self._is_closing = True
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def statistics(self) -> WriterStatistics:
        """Counts since the start, for metrics."""
        return WriterStatistics(self._commits, self._writes)

    def _run(self) -> None:
        while group := self._next_group():
            self._commit(group)
            self._answer(group)
            failpoint("commit.told")
        with suppress(apsw.Error):  # everything asked for is committed or refused: closing only tidies
            self._connection.close()

    def _next_group(self) -> list[_Write]:
        """Wait for a write and take what else there is; empty when closed and nothing is left."""
        group: list[_Write] = []
        write = self._queue.get()
        with suppress(Empty):
            while write is not None:
                group.append(write)
                if len(group) == MAX_GROUP:
                    return group
                write = self._queue.get_nowait()
            self._queue.put(None)  # seen with work in hand: meet it again with none
        return group

    def _commit(self, group: list[_Write]) -> None:
        if self._refusal is not None:
            return
        failpoint("commit.before")
        try:
            with storage_errors(self._path), self._transaction():
                for write in group:
                    write.operation()
                    failpoint("commit.writing")
                failpoint("commit.written")
        except StoreError as error:
            self._refusal = str(error)
        except Exception as error:  # the thread's edge: a bug must answer every waiter, not end the thread
            log.exception("a write failed for a reason of our own")
            self._refusal = f"{self._path}: {type(error).__name__}: {error}"
        else:
            failpoint("commit.done")
            self._commits += 1
            self._writes += len(group)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._begin()
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            with suppress(apsw.Error):  # the first error is the one to tell
                self._connection.execute("ROLLBACK")
            raise

    def _begin(self) -> None:
        """Take the write lock. Another program's lock is waited out: nothing has been written yet."""
        while True:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except apsw.BusyError:
                if self._is_closing:
                    raise
                log.warning("%s: waiting for another program to let go of its lock", self._path)
            else:
                return

    def _answer(self, group: list[_Write]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            group[0].done.get_loop().call_soon_threadsafe(_resolve, group, self._refusal)


def _resolve(group: list[_Write], refusal: str | None) -> None:
    for write in group:
        if write.done.done():  # its waiter was cancelled
            continue
        if refusal is None:
            write.done.set_result(None)
        else:
            write.done.set_exception(StoreError(refusal))
