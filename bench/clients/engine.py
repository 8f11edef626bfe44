"""Our whole engine: seeds through plan, generate, score, judge, evolve and the store, over the real fleet.

The store is real: on disk, every plan and every reply durable before it is acted on. Scorer and embedder alone are
stood in for, at their ports, by functions that cost next to nothing and say the same of the same text; every round
is a run of its own, opening and closing the store included. Answers are counted call by call, judge's and all.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import uvloop

from bench.clients.contract import Client, Job, Outcome, Setup, drive
from bench.clients.fleet import specs
from bench.clients.lag import watched
from bench.clients.stages import CALLS_PER_SEED, Wiring, manifest, run_graph
from star_agents.core import rng
from star_agents.core.records import Seed
from star_agents.endpoints.fleet import Fleet
from star_agents.service.run.collector import rare_collections
from star_agents.storage.store import RunStore


class JobSeeds:
    """The seed source: a job's prompt is a seed's instruction."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs
        self._next = 0

    async def read(self, limit: int) -> list[Seed]:
        """See `core.ports.SeedSource`."""
        first, self._next = self._next, min(self._next + limit, len(self._jobs))
        return [Seed(number, self._jobs[number].prompt, "It depends.") for number in range(first, self._next)]


class EngineClient:
    """A fleet that stays between rounds; the rest is made anew for each."""

    def __init__(self, runner: asyncio.Runner, fleet: Fleet, setup: Setup) -> None:
        self._runner = runner
        self._fleet = fleet
        self._setup = setup
        self._rounds = count()

    def ask(self, jobs: Sequence[Job]) -> Outcome:
        """See `contract.Client`: as many seeds as make about so many calls, or a seed a job where told `by_seed`."""
        share = 1 if self._setup.extra.get("by_seed") else CALLS_PER_SEED
        return self._runner.run(self._run(jobs[: max(1, len(jobs) // share)]))

    async def _run(self, jobs: Sequence[Job]) -> Outcome:
        path = Path(self._setup.folder, f"run{next(self._rounds)}.db")
        before = self._counts()
        async with watched() as lag, await RunStore.open(path, manifest(self._setup)) as store:
            recovered = await store.load(capacity=1000)
            wiring = Wiring(self._setup, self._fleet, store, JobSeeds(jobs), rng.derive_int(17, "run"))
            await run_graph(wiring, recovered)
            written = store.statistics()
        answered, failed, sent = (now - then for now, then in zip(self._counts(), before, strict=True))
        size = await asyncio.to_thread(path.stat)
        told: dict[str, float] = {"seeds": len(jobs), "sent": sent, "disk_bytes": size.st_size, **written._asdict()}
        return Outcome(answered=answered, failed=failed, more={**told, **lag.told()})

    def _counts(self) -> tuple[int, int, int]:
        statuses = self._fleet.snapshot()
        failed = sum(sum(status.failures.values()) for status in statuses)
        sent = sum(status.requests for status in statuses)
        faults = sum(sum(status.faults.values()) for status in statuses)
        return sent - faults, failed, sent


@contextmanager
def opened(setup: Setup) -> Iterator[Client]:
    with rare_collections(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        fleet = Fleet(specs(setup), 17)
        runner.run(fleet.__aenter__())
        try:
            yield EngineClient(runner, fleet, setup)
        finally:
            runner.run(fleet.__aexit__(None, None, None))


if __name__ == "__main__":
    drive(opened, "star-agents", "aiohttp", "orjson", "uvloop", "apsw")
