"""A resource that is slow to open, kept open for many tests on an event loop in a thread of its own."""

import asyncio
import os
from collections.abc import Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any, Generic, TypeVar

import uvloop

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

_PATIENCE_S = 120


@dataclass(frozen=True)
class Hosted(Generic[R_co]):
    """An open resource, and the loop it lives on."""

    resource: R_co
    loop: asyncio.AbstractEventLoop

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the resource's loop to its end."""
        return asyncio.run_coroutine_threadsafe(main, self.loop).result(_PATIENCE_S)


@contextmanager
def hosted(resource: AbstractAsyncContextManager[R_co]) -> Iterator[Hosted[R_co]]:
    """Open an async context manager for the length of the block; one task opens and closes it."""
    loop = uvloop.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    opened: asyncio.Future[R_co] = loop.create_future()
    closing = asyncio.Event()

    async def live() -> None:
        async with resource as value:
            opened.set_result(value)
            await closing.wait()

    async def wait_open() -> R_co:
        return await opened

    life = asyncio.run_coroutine_threadsafe(live(), loop)
    try:
        yield Hosted(asyncio.run_coroutine_threadsafe(wait_open(), loop).result(_PATIENCE_S), loop)
    finally:
        loop.call_soon_threadsafe(closing.set)
        life.result(_PATIENCE_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def worker_pids() -> list[int]:
    """Scoring processes that this process has started and that live."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (folder / "cmdline").read_bytes().split(b"\0")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"star_agents.scoring.worker" in command:
                found.append(int(folder.name))
    return found
