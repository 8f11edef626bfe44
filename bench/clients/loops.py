"""Closed loops for clients that are coroutines: as many calls out as a target has slots, never more.

Standard library alone: see `contract`. `batched` is the barrier that distilabel and others have between batches;
`streamed` has none. The semaphores of `batched` and the workers of `streamed` are the cheapest that asyncio offers.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager

from bench.clients.contract import Client, Job, Outcome, Setup

Ask = Callable[[Job], Awaitable[bool]]
"""Asks one thing; False where there was no answer in the end."""
OpenAsk = Callable[[Setup], AbstractAsyncContextManager[Ask]]


class LoopClient:
    """A coroutine client on a loop that stays between rounds, with its session."""

    def __init__(self, runner: asyncio.Runner, ask: Ask, setup: Setup) -> None:
        self._runner = runner
        self._ask = ask
        self._setup = setup

    def ask(self, jobs: Sequence[Job]) -> Outcome:
        """See `contract.Client`."""
        loop = batched if self._setup.batch else streamed
        return self._runner.run(loop(self._ask, jobs, self._setup))


@contextmanager
def on_loop(
    make: OpenAsk, setup: Setup, factory: Callable[[], asyncio.AbstractEventLoop] | None = None
) -> Iterator[Client]:
    """Open a coroutine client on a loop of its own."""
    with asyncio.Runner(loop_factory=factory) as runner:
        opened = make(setup)
        ask = runner.run(_enter(opened))
        try:
            yield LoopClient(runner, ask, setup)
        finally:
            runner.run(_leave(opened))


async def _enter(opened: AbstractAsyncContextManager[Ask]) -> Ask:
    return await opened.__aenter__()


async def _leave(opened: AbstractAsyncContextManager[Ask]) -> None:
    await opened.__aexit__(None, None, None)


async def streamed(ask: Ask, jobs: Sequence[Job], setup: Setup) -> Outcome:
    """Workers of each target take its jobs in order until there are none."""
    counts = [0, 0]

    async def work(queue: Iterator[Job]) -> None:
        for job in queue:
            counts[await ask(job)] += 1

    async with asyncio.TaskGroup() as group:
        for number, target in enumerate(setup.targets):
            queue = iter([job for job in jobs if job.target == number])
            for _ in range(target.slots):
                group.create_task(work(queue))
    return Outcome(answered=counts[True], failed=counts[False])


async def batched(ask: Ask, jobs: Sequence[Job], setup: Setup) -> Outcome:
    """A batch after the other, each under a semaphore a target."""
    counts = [0, 0]
    gates = [asyncio.Semaphore(target.slots) for target in setup.targets]

    async def work(job: Job) -> None:
        async with gates[job.target]:
            counts[await ask(job)] += 1

    for start in range(0, len(jobs), setup.batch):
        async with asyncio.TaskGroup() as group:
            for job in jobs[start : start + setup.batch]:
                group.create_task(work(job))
    return Outcome(answered=counts[True], failed=counts[False])
