"""Work in a thread that leaves nothing behind when it is no longer wanted.

Law: when `interruptible` returns or raises, the thread has ended: nothing of it touches a file any more. And what
`opened` has opened is closed, even where nobody waited for it to be open.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Protocol, TypeVar


class Closable(Protocol):
    """Something that blocks when it is closed."""

    def close(self) -> None:
        """Let go of it."""
        ...


T = TypeVar("T")
C = TypeVar("C", bound=Closable)

Look = Callable[[], None]
"""Called by the work now and then; raises when the work is no longer wanted."""


class _UnwantedError(Exception):
    """Takes the work out of whatever it is in; nobody sees it outside."""


async def interruptible(work: Callable[[Look], T]) -> T:
    """Run `work` in a thread; a cancellation here ends it at its next look, and waits for that."""
    unwanted = threading.Event()

    def look() -> None:
        if unwanted.is_set():
            raise _UnwantedError

    thread = asyncio.get_running_loop().run_in_executor(None, work, look)
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        unwanted.set()
        with suppress(_UnwantedError):
            await thread
        raise


@asynccontextmanager
async def opened(make: Callable[[], C]) -> AsyncIterator[C]:
    """Open something in a thread, and close it in one."""
    opening = asyncio.get_running_loop().run_in_executor(None, make)
    try:
        resource = await asyncio.shield(opening)
    except asyncio.CancelledError:
        await asyncio.to_thread((await opening).close)
        raise
    try:
        yield resource
    finally:
        await asyncio.to_thread(resource.close)
