"""The one backward edge: what the newest committed batch means for the next plan.

Law: one task publishes (`evolve`), and only what is durable; everybody else reads. Weights are immutable
and replaced whole, so a reader never sees half an update. The board also counts the seeds in flight, so
that planning waits for learning and a plan is never older than `max_in_flight` seeds.
"""

import asyncio
from collections.abc import Sequence

from star_agents.core.records import MemoryEntry, PairWeights
from star_agents.policy.memory import MemoryBank


class Board:
    """Newest weights, the memory bank, and room for seeds in flight."""

    def __init__(self, weights: PairWeights, memory: MemoryBank, *, max_in_flight: int) -> None:
        self.weights = weights
        self.memory = memory
        self.max_in_flight = max_in_flight
        self.in_flight = 0
        self._has_room = asyncio.Event()
        self._has_room.set()

    async def enter(self) -> None:
        """Wait until one more seed may be in flight, and count it."""
        while self.in_flight >= self.max_in_flight:
            await self._has_room.wait()
        self.in_flight += 1
        if self.in_flight >= self.max_in_flight:
            self._has_room.clear()

    def resize(self, max_in_flight: int) -> None:
        """Let so many seeds be in flight from now on; those that are already, stay."""
        self.max_in_flight = max_in_flight
        if self.in_flight < max_in_flight:
            self._has_room.set()
        else:
            self._has_room.clear()

    def publish(self, weights: PairWeights, entries: Sequence[MemoryEntry], *, finished: int) -> None:
        """Show the next version; `finished` seeds have left. Called after the batch is durable, never before.

        Raises:
            ValueError: `weights` is not the successor of what is shown.
        """
        if weights.version != self.weights.version + 1:
            raise ValueError(f"version {weights.version} cannot follow {self.weights.version}")
        for entry in entries:
            self.memory.add(entry)
        self.weights = weights
        self.in_flight -= finished
        if self.in_flight < self.max_in_flight:
            self._has_room.set()

    def __repr__(self) -> str:
        return f"<Board v{self.weights.version} in flight {self.in_flight}/{self.max_in_flight}>"
