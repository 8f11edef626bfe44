"""How late an event loop is: a task that wants to wake at even times, and notes by how much it could not."""

import asyncio
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PERIOD_S = 0.02


class Lag:
    """Samples in milliseconds; eight bytes each."""

    def __init__(self) -> None:
        self.samples = array("d")

    async def watch(self) -> None:
        """Sample until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + PERIOD_S
            await asyncio.sleep(PERIOD_S)
            self.samples.append(1000 * max(0.0, loop.time() - due))

    def quantile(self, share: float) -> float:
        """0 where there is no sample."""
        return sorted(self.samples)[min(len(self.samples) - 1, int(share * len(self.samples)))] if self.samples else 0.0

    def told(self) -> dict[str, float]:
        """For a report."""
        return {f"lag_{name}_ms": self.quantile(share) for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))}


@asynccontextmanager
async def watched() -> AsyncIterator[Lag]:
    """Watch the running loop within the block."""
    lag = Lag()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(lag.watch())
        try:
            yield lag
        finally:
            task.cancel()
