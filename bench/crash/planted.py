"""Bugs put in on purpose: a harness that does not find them proves nothing when it finds none.

Each changes the store of the process that it is called in, for good; that process is a child, made to be killed.
"""

from collections.abc import Callable
from functools import partial
from typing import cast

from star_agents.core.records import Update
from star_agents.storage import database, store
from star_agents.storage.failpoints import failpoint
from star_agents.storage.journal import Journal
from star_agents.storage.moving import write_next
from star_agents.storage.shards import Shard, folder_of
from star_agents.storage.store import RunStore
from star_agents.storage.writer import Writer


class _HastyWriter(Writer):
    """Answers, then commits."""

    def _run(self) -> None:
        while group := self._next_group():
            self._answer(group)
            self._commit(group)
        self._connection.close()


class _SplitJournal(Journal):
    """A result in one transaction, the weights that it leads to in another."""

    def learn_log(self, update: Update) -> None:
        if not all(self._is_learnt(graded) for graded in update.graded):
            self._log(update)

    def learn_state(self, update: Update) -> None:
        self._state(update)
        for entry in update.entries:
            self._remember(entry)


def ack_before_commit() -> None:
    """Who asked is told before the write is durable."""
    vars(store)["Writer"] = _HastyWriter


def policy_in_a_second_transaction() -> None:
    """A crash between the two leaves weights that are not the fold of the log."""

    async def learn(self: RunStore, update: Update) -> None:
        journal = cast("_SplitJournal", self._journal)
        await self._writer.write(partial(journal.learn_log, update))
        await self._writer.write(partial(journal.learn_state, update))

    vars(store)["Journal"] = _SplitJournal
    RunStore.learn = learn  # type: ignore[method-assign]  # the bug


def manifest_before_file() -> None:
    """The table lists a shard, and its rows are gone, before its files are there."""

    async def move_finished(self: RunStore, *, keep_entries: int) -> bool:
        shard: Shard | None = write_next(self._path)
        if shard is None:
            return False
        files = shard.files(folder_of(self._path))
        for file in files:
            file.rename(file.with_suffix(".hidden"))
        await self._writer.write(partial(self._journal.move, shard, keep_entries=keep_entries))
        failpoint("shard.moved")
        for file in files:
            file.with_suffix(".hidden").rename(file)
        return True

    RunStore.move_finished = move_finished  # type: ignore[method-assign]  # the bug


def commits_without_sync() -> None:
    """`synchronous=NORMAL`: no kill can tell, and a power cut can."""
    pragmas = vars(database)["_WRITER_PRAGMAS"]
    vars(database)["_WRITER_PRAGMAS"] = [one.replace("synchronous = FULL", "synchronous = NORMAL") for one in pragmas]


PLANTED: dict[str, Callable[[], None]] = {
    "ack before commit": ack_before_commit,
    "policy in a second transaction": policy_in_a_second_transaction,
    "manifest before file": manifest_before_file,
    "commits without sync": commits_without_sync,
}
