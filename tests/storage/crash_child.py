"""A small run to be killed: sixteen workers assign and respond, one task learns, and every acknowledgement is told.

Started as `python -m tests.storage.crash_child FOLDER NUM_SEEDS`. A line of output is written only after the
store has answered, so whatever the parent reads must be on the disk.
"""

import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import uvloop

from star_agents.core.records import (
    Graded,
    PairWeights,
    Plan,
    Update,
)
from star_agents.storage.folder import RunFolder, hold
from star_agents.storage.recovery import Recovered
from star_agents.storage.store import RunStore
from tests.storage.examples import DEEPEN, MANIFEST, POOL, asked, completion, graded, key, plan

NUM_WORKERS = 16
BATCH = 5
START = PairWeights(0, POOL, (0.5, 0.5))


def fold(weights: PairWeights, batch: Sequence[Graded]) -> PairWeights:
    """A stand-in for Eq. 8: add a tenth of pi to the winner, normalise once a batch."""
    p = dict(zip(POOL, weights.p, strict=True))
    for one in batch:
        p[DEEPEN] += 0.1 * (one.selection.pi or 0.0)
    total = sum(p.values())
    return PairWeights(weights.version + 1, POOL, tuple(value / total for value in p.values()))


def tell(*words: object) -> None:
    """One line to the parent, whole or not at all."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def work(store: RunStore, plans: Iterator[Plan], found: Recovered, done: asyncio.Queue[int | None]) -> None:
    """Take plans to their end, from wherever each stands."""
    for one in plans:
        number = one.seed.number
        if number >= found.standing.next_seed:
            await store.assign(one)
            tell("assign", number)
        for slot in range(3):
            if key(number, slot) not in found.replies:
                await store.respond(asked(number, slot), completion(f"answer {number} {slot} " * 20))
                tell("respond", number, slot)
        done.put_nowait(number)
    done.put_nowait(None)


async def learn(store: RunStore, done: asyncio.Queue[int | None], weights: PairWeights) -> None:
    """Learn in batches of whatever is there."""
    open_workers = NUM_WORKERS
    batch: list[Graded] = []
    while open_workers or batch:
        if open_workers:
            number = await done.get()
            if number is None:
                open_workers -= 1
            else:
                batch.append(graded(number))
        if len(batch) >= BATCH or (batch and not open_workers):
            weights = fold(weights, batch)
            await store.learn(Update(weights, tuple(batch), ()))
            tell("learn", weights.version, *(one.settled.plan.seed.number for one in batch))
            batch = []


async def main(folder: RunFolder, num_seeds: int) -> None:
    """Go on from wherever the last start was killed."""
    async with await RunStore.open(folder.database, MANIFEST) as store:
        found = await store.load(capacity=10)
        plans = chain(found.open_plans, map(plan, range(found.standing.next_seed, num_seeds)))
        done: asyncio.Queue[int | None] = asyncio.Queue()
        tell("start", len(found.open_plans), found.standing.finished)
        async with asyncio.TaskGroup() as group:
            for _ in range(NUM_WORKERS):
                group.create_task(work(store, plans, found, done))
            group.create_task(learn(store, done, found.standing.weights or START))
    tell("end")


if __name__ == "__main__":
    run_folder = RunFolder(Path(sys.argv[1]))
    with hold(run_folder), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(run_folder, int(sys.argv[2])))
