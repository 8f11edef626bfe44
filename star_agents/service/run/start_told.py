"""What is told of model servers while they start: a large model takes minutes, and a silent screen looks like a hang.

Law: telling neither delays a start nor outlives it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

TELL_S = 5.0
"""Between one look and the next; a start that is shorter is not told of."""


class Starting(Protocol):
    """Something that takes long to start."""

    async def starting(self) -> Sequence[str]:
        """How far it is, a line for each part that is not up yet; none once all are."""
        ...


@asynccontextmanager
async def start_told(servers: Sequence[Starting], report: Callable[[str], None]) -> AsyncIterator[None]:
    """Tell how far the servers are, until all of them are up or the block is left."""
    async with asyncio.TaskGroup() as group:
        telling = group.create_task(_tell(servers, report), name="tell how far the starts are")
        yield
        telling.cancel()


async def _tell(servers: Sequence[Starting], report: Callable[[str], None]) -> None:
    while True:
        await asyncio.sleep(TELL_S)
        told = [line for server in servers for line in await server.starting()]
        if not told:
            return
        report("; ".join(told))
