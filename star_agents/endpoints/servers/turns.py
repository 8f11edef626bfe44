"""One start at a time on each device: vLLM measures free memory while it loads, and neighbours spoil the sum.

Law: devices are taken in ascending order, so two servers never wait for each other.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager


class Turns:
    """Shared by all servers of a run. A server that names no device takes its turn on device 0, a CPU too."""

    def __init__(self) -> None:
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    @asynccontextmanager
    async def of(self, devices: Iterable[int]) -> AsyncIterator[None]:
        """Hold these devices while the block runs."""
        async with AsyncExitStack() as stack:
            for device in sorted(set(devices)) or [0]:
                await stack.enter_async_context(self._locks[device])
            yield
