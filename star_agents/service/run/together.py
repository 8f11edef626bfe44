"""Opening slow parts side by side.

Law: each part is entered and left in one and the same task, as context managers may demand; when one cannot
be opened, the others are closed and its error comes out.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any


@asynccontextmanager
async def opened_together(parts: Sequence[AbstractAsyncContextManager[Any]]) -> AsyncIterator[list[Any]]:
    """Enter every part at once and yield what they gave, in order; leave them all at once.

    Raises:
        ExceptionGroup: of what the parts raised.
    """
    loop = asyncio.get_running_loop()
    closing = asyncio.Event()
    entered: list[asyncio.Future[Any]] = [loop.create_future() for _ in parts]

    async def keep(part: AbstractAsyncContextManager[Any], ready: asyncio.Future[Any]) -> None:
        async with part as value:
            ready.set_result(value)
            await closing.wait()

    async with asyncio.TaskGroup() as group:
        for part, ready in zip(parts, entered, strict=True):
            group.create_task(keep(part, ready))
        try:
            yield [await ready for ready in entered]
        finally:
            closing.set()
