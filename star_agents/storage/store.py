"""The run's only truth, on SQLite: what a method has returned from survives a crash and a power cut.

The protocol is that of docs/design.md: assign, then send; respond, then act on the reply; scores, weights and
memory in one transaction; only then publish. So a crash costs at most the calls in flight, and the weights
always equal the fold of the log.
"""

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from star_agents.core import clock
from star_agents.core.calls import Reply, Request
from star_agents.core.records import Plan, Update
from star_agents.policy.epochs import pairs_at
from star_agents.storage.commands import Noted, Order, Outcome
from star_agents.storage.database import open_writer, put_manifest, storage_errors
from star_agents.storage.failpoints import failpoint
from star_agents.storage.journal import Journal
from star_agents.storage.manifest import Manifest, check_same_run
from star_agents.storage.moving import write_next
from star_agents.storage.recovery import Recovered, recover, stored_epochs, stored_manifest
from star_agents.storage.shards import folder_of, listed, sweep_unlisted
from star_agents.storage.writer import Writer, WriterStatistics

LOOK_S = 5.0
"""How often it is looked whether a finished range is due to leave SQLite."""


class RunStore:
    """`core.ports.Store` over one database file. The caller holds the run folder's lock.

    `async with await RunStore.open(...) as store:` closes it in the end; a store that is never closed has
    lost nothing that it acknowledged.
    """

    def __init__(self, path: Path, journal: Journal, writer: Writer) -> None:
        self._path = path
        self._journal = journal
        self._writer = writer

    @classmethod
    async def open(cls, path: Path, manifest: Manifest) -> Self:
        """Begin the run of `manifest` at `path`, or go on with the one that is there.

        Raises:
            StoreError: the database cannot be opened or is not ours.
            ConfigError: the run there was begun with other settings, seeds or pairs.
        """
        return await asyncio.to_thread(cls._open, path, manifest)

    @classmethod
    def _open(cls, path: Path, manifest: Manifest) -> Self:
        connection = open_writer(path, manifest)
        try:
            with storage_errors(path):
                begun = stored_manifest(connection)
                check_same_run(begun, manifest)
                sweep_unlisted(folder_of(path), listed(connection))
                pairs = pairs_at(manifest.pairs, stored_epochs(connection))
                if begun.config != manifest.config:
                    put_manifest(connection, replace(begun, config=manifest.config))
        except BaseException:
            connection.close()
            raise
        writer = Writer(connection, path)
        writer.start()
        return cls(path, Journal(connection, pairs), writer)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def load(self, *, capacity: int, allow_missing: bool = False) -> Recovered:
        """What earlier starts left, with at most `capacity` memory entries. Call it before anything is written.

        With `allow_missing` files of finished rows may be gone.

        Raises:
            StoreError: a row that is needed is damaged.
        """
        return await asyncio.to_thread(recover, self._path, capacity=capacity, allow_missing=allow_missing)

    async def assign(self, plan: Plan) -> None:
        """Record a plan; only afterwards may its calls be sent.

        Raises (all methods):
            StoreError: it is not durable; no later write will be either.
        """
        await self._writer.write(partial(self._journal.assign, plan))

    async def respond(self, request: Request, reply: Reply) -> None:
        """Record the reply to a request and book its tokens. A second reply to the same key changes nothing."""
        await self._writer.write(partial(self._journal.respond, request, reply))

    async def learn(self, update: Update) -> None:
        """Record a batch, or a change of the pool, in one transaction. Again it changes nothing; half is refused."""
        await self._writer.write(partial(self._journal.learn, update))

    async def note(self, order: Order) -> Noted:
        """Put an order to the run on record; only afterwards may anything of it be done."""
        noted: list[Noted] = []
        at = clock.wall()
        await self._writer.write(lambda: noted.append(self._journal.note(order, at)))
        return noted[0]

    async def settle(self, number: int, outcome: Outcome, answer: object) -> None:
        """Record what came of an order."""
        await self._writer.write(partial(self._journal.settle, number, outcome, answer))

    async def move_finished(self, *, keep_entries: int) -> bool:
        """Move the oldest finished range into a shard, if one is due; return whether one was.

        Of the memory bank the newest `keep_entries` stay.
        """
        shard = await asyncio.to_thread(write_next, self._path)
        if shard is None:
            return False
        await self._writer.write(partial(self._journal.move, shard, keep_entries=keep_entries))
        failpoint("shard.moved")
        return True

    async def keep_small(self, *, keep_entries: int) -> None:
        """Move finished ranges out as they come; ends only by being cancelled."""
        while True:
            if not await self.move_finished(keep_entries=keep_entries):
                await asyncio.sleep(LOOK_S)

    async def close(self) -> None:
        """Commit what was asked for and close the file. Afterwards every write is refused."""
        await self._writer.close()

    def statistics(self) -> WriterStatistics:
        """Commits and writes since the start."""
        return self._writer.statistics()
