"""What durability costs: the same run with the real store and with one that forgets everything at once."""

import asyncio
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import uvloop

from bench.clients.contract import Setup, Target
from bench.clients.stages import Wiring, manifest, run_graph
from bench.crash.small_run import InProcess, Ledger, Numbers, spec_of
from star_agents.core.calls import Reply, Request
from star_agents.core.ports import Store
from star_agents.core.records import Plan, Update
from star_agents.endpoints.fleet import Fleet
from star_agents.endpoints.formats.wire import RawReply
from star_agents.service.run.collector import rare_collections
from star_agents.storage.store import RunStore

SLOTS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run: answers a second, and milliseconds that a reply took to be durable."""

    answers_per_s: float
    cpu_ms: float
    commit_ms: tuple[float, ...] = ()


@dataclass(slots=True)
class Forgetful:
    """The port `Store` with nothing behind it."""

    replies: int = 0

    async def assign(self, plan: Plan) -> None:
        """See `core.ports.Store`."""

    async def respond(self, request: Request, reply: Reply) -> None:  # noqa: ARG002  # the port's
        """See `core.ports.Store`."""
        self.replies += 1

    async def learn(self, update: Update) -> None:
        """See `core.ports.Store`."""


@dataclass(slots=True)
class Timed:
    """The port `Store`: the real one under a stopwatch."""

    store: RunStore
    seconds: list[float] = field(default_factory=list)

    async def assign(self, plan: Plan) -> None:
        """See `core.ports.Store`."""
        await self.store.assign(plan)

    async def respond(self, request: Request, reply: Reply) -> None:
        """See `core.ports.Store`."""
        began = time.perf_counter()
        await self.store.respond(request, reply)
        self.seconds.append(time.perf_counter() - began)

    async def learn(self, update: Update) -> None:
        """See `core.ports.Store`."""
        await self.store.learn(update)


@dataclass(slots=True)
class Untold(InProcess):
    """A replica that answers after a given time and keeps no ledger."""

    latency_s: float = 0.0

    async def send(self, body: bytes, *, first_byte_s: float | None = None, call: str = "") -> RawReply:  # noqa: ARG002  # the port's
        """Answer."""
        return await self.answered(body, self.latency_s)


def measure(folder: Path, *, num_seeds: int, latency_s: float, is_durable: bool) -> Measured:
    """Run once; every run has a database of its own."""
    setup = Setup(targets=(Target(url="http://in.process/v1", model="m", slots=SLOTS),), folder="")

    async def main() -> Measured:
        path = folder / f"{time.perf_counter_ns()}.db"
        async with await RunStore.open(path, manifest(setup)) as real:
            store: Forgetful | Timed = Timed(real) if is_durable else Forgetful()
            recovered = await real.load(capacity=0)
            spec = replace(spec_of(setup.targets[0]), concurrency=SLOTS)
            connect = lambda _, url: Untold(url, Ledger(folder / "none"), latency_s)  # noqa: E731  # one line
            async with Fleet([spec], 17, connect=connect) as fleet:
                port: Store = store
                began, cpu = time.perf_counter(), time.process_time()
                await run_graph(Wiring(setup, fleet, port, Numbers(0, num_seeds), 17), recovered)
                took, cpu = time.perf_counter() - began, time.process_time() - cpu
        waits = tuple(1e3 * one for one in store.seconds) if isinstance(store, Timed) else ()
        replies = len(waits) if isinstance(store, Timed) else store.replies
        return Measured(answers_per_s=replies / took, cpu_ms=1e3 * cpu / replies, commit_ms=waits)

    with rare_collections(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())
