"""A whole run to be killed, small enough to be killed a thousand times: real stages, fleet and store, one process.

The endpoint answers within the process, without a socket. What it was sent and what the store has acknowledged is
told to files that are only ever appended to, a line a write: they are in the kernel's hands when the process dies.
Finished rows move to shards a few at a time, so that every durable step of a run of days is met within moments.
"""

import asyncio
import gc
import os
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson
import uvloop

from bench.clients.contract import Setup, Target
from bench.clients.stages import Wiring, manifest, run_graph
from star_agents.core import clock
from star_agents.core.calls import Reply, Request
from star_agents.core.records import Plan, Seed, Update
from star_agents.endpoints.fleet import Fleet
from star_agents.endpoints.formats.wire import RawReply
from star_agents.endpoints.spec import EndpointSpec
from star_agents.mock.reply import reply_to
from star_agents.storage import failpoints, moving
from star_agents.storage.folder import RunFolder, hold
from star_agents.storage.store import RunStore

CONCURRENCY = 8
SHARD_ROWS, HOT_ROWS = 6, 4
KEPT_ENTRIES = 20
LATENCY_S = 0.002
SETUP = Setup(
    targets=(Target(url="http://in.process/v1", model="m", slots=CONCURRENCY),),
    folder="",
    extra={"batch_size": 3, "max_in_flight": 8},
)
MANIFEST = manifest(SETUP)


@dataclass(frozen=True, slots=True)
class Ledger:
    """Lines that outlive the process: `S` a call that was sent, `P`, `R` and `L` what the store acknowledged."""

    path: Path

    def tell(self, *words: object) -> None:
        """Append one line, whole or not at all."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, (" ".join(map(str, words)) + "\n").encode())
        finally:
            os.close(descriptor)

    def lines(self) -> list[list[str]]:
        """Everything told so far."""
        return [line.split() for line in self.path.read_text().splitlines()] if self.path.exists() else []


@dataclass(slots=True)
class InProcess:
    """A replica that answers by itself; see `endpoints.endpoint.Replica`."""

    base_url: str
    ledger: Ledger

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    async def send(self, body: bytes, *, first_byte_s: float | None = None, call: str = "") -> RawReply:  # noqa: ARG002
        """Answer after a moment."""
        self.ledger.tell("S", call)
        return await self.answered(body, LATENCY_S)

    async def answered(self, body: bytes, latency_s: float) -> RawReply:
        """What the mock server would say, after so long."""
        await asyncio.sleep(latency_s)
        wall = clock.wall()
        status, headers, written = reply_to(orjson.loads(body), None, datetime.fromisoformat(wall))
        return RawReply(status, headers, written, latency_s, wall)

    async def read_metrics(self) -> RawReply:
        """Nothing to show."""
        return RawReply(404, {}, b"", 0.0, clock.wall())

    async def list_models(self) -> RawReply:
        """Never asked for here."""
        return await self.read_metrics()


@dataclass(frozen=True, slots=True)
class ToldStore:
    """The port `Store`: the real one, and each of its acknowledgements told when it has come."""

    store: RunStore
    ledger: Ledger
    _moving: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def assign(self, plan: Plan) -> None:
        """See `core.ports.Store`."""
        await self.store.assign(plan)
        self.ledger.tell("P", plan.seed.number)

    async def respond(self, request: Request, reply: Reply) -> None:
        """See `core.ports.Store`."""
        await self.store.respond(request, reply)
        key = request.key
        self.ledger.tell("R", f"{key.seed}-{key.purpose}-{key.slot}-{key.ordinal}")

    async def learn(self, update: Update) -> None:
        """See `core.ports.Store`."""
        await self.store.learn(update)
        self.ledger.tell("L", update.weights.version, *(one.settled.plan.seed.number for one in update.graded))

    async def keep_small(self) -> None:
        """As `RunStore.keep_small`, without its leisure."""
        while True:
            if not await self.store.move_finished(keep_entries=KEPT_ENTRIES):
                await asyncio.sleep(LATENCY_S)


class Numbers:
    """The port `SeedSource`: so many seeds, from one on."""

    def __init__(self, start: int, end: int) -> None:
        self._left = iter(range(start, end))

    async def read(self, limit: int) -> list[Seed]:
        """See `core.ports.SeedSource`."""
        taken = islice(self._left, min(limit, 4))
        return [Seed(number, f"Do thing {number}.", f"Done {number}.") for number in taken]


def spec_of(target: Target) -> EndpointSpec:
    """The one endpoint; the name of a call goes with it."""
    return EndpointSpec(
        name="e0",
        base_urls=(target.url,),
        model=target.model,
        concurrency=target.slots,
        pacing="fixed",
        idempotency_key=True,
        retry_truncated=False,
    )


async def run(folder: RunFolder, ledger: Ledger, num_seeds: int) -> None:
    """Begin, or go on from wherever the last start was killed, and run to the end."""
    async with await RunStore.open(folder.database, MANIFEST) as store:
        recovered = await store.load(capacity=KEPT_ENTRIES)
        told = ToldStore(store, ledger)
        source = Numbers(recovered.standing.next_seed, num_seeds)
        spec = spec_of(SETUP.targets[0])
        async with (
            Fleet([spec], 17, connect=lambda _, url: InProcess(url, ledger)) as fleet,
            asyncio.TaskGroup() as group,
        ):
            mover = group.create_task(told.keep_small())
            await run_graph(Wiring(SETUP, fleet, told, source, 17), recovered)
            mover.cancel()


def start(path: str, num_seeds: int, failpoint: str) -> None:
    """One start of a process of its own: until its end, or until it is killed at the failpoint."""
    gc.freeze()
    vars(moving).update(SHARD_ROWS=SHARD_ROWS, HOT_ROWS=HOT_ROWS)
    folder = RunFolder(Path(path))
    failpoints.arm(failpoint)
    ledger = Ledger(folder.path.with_name(f"{folder.path.name}.ledger"))
    with hold(folder), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(folder, ledger, num_seeds))
