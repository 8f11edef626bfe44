"""Many simulated runs at once, a process for each core: one run keeps one core busy.

Law: what comes back is in the order of what was asked, and the same for any number of processes.
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

import orjson

from star_agents.core.errors import StarError
from star_agents.core.surroundings import handed_on
from star_agents.lab.outcome import Outcome
from star_agents.service.config.settings import Settings

MAX_LINE = 2**26
"""Bytes of an outcome at most: fifty points for some thousand pairs."""

Order = tuple[Settings, int]
"""A config, and the number of its run."""


async def repeat(orders: Sequence[Order], *, jobs: int) -> list[Outcome]:
    """Simulate every order, `jobs` at a time.

    Raises:
        StarError: a process ended before its work was done; its own words are on standard error.
    """
    waiting = iter(enumerate(orders))
    done: dict[int, Outcome] = {}
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(jobs, len(orders))):
                group.create_task(_work(waiting, done))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None  # the first that fails ends them all, and says enough
    return [done[index] for index in range(len(orders))]


async def _work(waiting: Iterator[tuple[int, Order]], done: dict[int, Outcome]) -> None:
    async with _child() as child:
        for index, (settings, number) in waiting:
            done[index] = await _ask(child, settings, number)


async def _ask(child: Process, settings: Settings, number: int) -> Outcome:
    assert child.stdin is not None  # noqa: S101  # both are pipes
    assert child.stdout is not None  # noqa: S101
    child.stdin.write(orjson.dumps({"settings": settings.model_dump(mode="json"), "number": number}) + b"\n")
    line = await child.stdout.readline()
    if not line:
        raise StarError(f"a process of the laboratory ended with code {await child.wait()}")
    return Outcome.from_json(line)


@asynccontextmanager
async def _child() -> AsyncIterator[Process]:
    """A process of ours that is gone when the block is left."""
    command = (sys.executable, "-m", "star_agents.lab.child")
    environ = handed_on(os.environ, "PYTHON")
    child = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=MAX_LINE, env=environ)
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
