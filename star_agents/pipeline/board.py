"""The one backward edge: what the newest committed batch means for the next plan.

Law: one task publishes (`evolve`), and only what is durable; everybody else reads. Weights are immutable
and replaced whole, so a reader never sees half an update. The board also counts the seeds in flight, so
that planning waits for learning and a plan is never older than its cadence allows.

Where batches are formed in order, planning sees a batch only when its turn has come, though it may be durable
long before: `weights` are the newest, `drawable` those to draw from. And a seed that waits for its turn to be
learnt from takes no room.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, replace

from star_agents.core.records import PairWeights, Plan, Update
from star_agents.pipeline.cadence import Cadence
from star_agents.policy.memory import MemoryBank

BY_ARRIVAL = Cadence()


@dataclass(frozen=True, slots=True)
class OpenSeed:
    """A seed in flight: its place in the order of planning, and the batches learnt from when it was drawn."""

    place: int
    batches: int


class Board:
    """Newest weights, the memory bank, and room for seeds in flight."""

    def __init__(
        self, weights: PairWeights, memory: MemoryBank, *, max_in_flight: int, cadence: Cadence = BY_ARRIVAL
    ) -> None:
        self.weights = weights
        self.drawable = weights
        self.memory = memory
        self.cadence = cadence
        self.max_in_flight = max_in_flight
        self.in_flight = 0
        self.batches = 0
        """Learnt from since the start."""
        self.open: dict[int, OpenSeed] = {}
        """Planned seeds that learning has not met yet, by number, in the order of planning."""
        self.num_waiting = 0
        """Seeds in flight that learning has met: all that is left is to learn from them."""
        self._entered = 0
        self._begun = 0
        self._batches_shown = 0
        self._unshown: deque[Update] = deque()
        self._is_held = False
        self._has_moved = asyncio.Event()

    async def enter(self) -> None:
        """Wait until one more seed may be planned, and count it; `drawable` and `memory` are then its to draw from."""
        while not self._may_enter():
            self._has_moved.clear()
            await self._has_moved.wait()
        if self.cadence.in_order:
            self._show(self.cadence.batches_to_show(self._entered))
        self._entered += 1
        self.in_flight += 1

    def begin(self, plan: Plan) -> None:
        """Take note of the plan of a seed that has entered."""
        self.open[plan.seed.number] = OpenSeed(self._begun, self.batches)
        self._begun += 1

    def meet(self, number: int) -> int:
        """Take note that a seed has come to learning, and tell its place in the order of planning."""
        self.num_waiting += 1
        self._has_moved.set()
        return self.open.pop(number).place

    @property
    def num_out(self) -> int:
        """Seeds in flight that learning has not met."""
        return self.in_flight - self.num_waiting

    @property
    def is_overdue(self) -> bool:
        """Whether a seed that is still out would be too old if one more batch were learnt from without it."""
        max_lag = self.cadence.max_lag
        oldest = next(iter(self.open.values()), None)
        return max_lag is not None and oldest is not None and oldest.batches <= self.batches - max_lag

    def resize(self, max_in_flight: int) -> None:
        """Let so many seeds be in flight from now on; those that are already, stay."""
        self.max_in_flight = max_in_flight
        self._has_moved.set()

    def hold(self, *, is_held: bool) -> None:
        """Let no seed enter until it is told otherwise; those in flight go on."""
        self._is_held = is_held
        self._has_moved.set()

    def publish(self, update: Update) -> None:
        """Show the next version; its seeds have left. Called after the update is durable, never before.

        A change of the pool is shown at once, with everything before it: a retired pair is drawn no more.

        Raises:
            ValueError: the weights are not the successor of what is shown.
        """
        if update.weights.version != self.weights.version + 1:
            raise ValueError(f"version {update.weights.version} cannot follow {self.weights.version}")
        self.weights = update.weights
        self.in_flight -= len(update.graded)
        self.num_waiting -= len(update.graded)
        self.batches += bool(update.graded)
        self._unshown.append(replace(update, graded=()))
        if update.epoch is not None or not self.cadence.in_order:
            self._show(self.batches)
        self._has_moved.set()

    def _may_enter(self) -> bool:
        if self._is_held:
            return False
        taken = self.num_out if self.cadence.in_order else self.in_flight
        return taken < self.max_in_flight and self.cadence.may_plan(self._entered, self._entered - self.in_flight)

    def _show(self, num_batches: int) -> None:
        while self._unshown and (self._batches_shown < num_batches or self._unshown[0].epoch is not None):
            update = self._unshown.popleft()
            self._batches_shown += update.epoch is None
            self.drawable = update.weights
            for entry in update.entries:
                self.memory.add(entry)

    def __repr__(self) -> str:
        return f"<Board v{self.weights.version} in flight {self.in_flight}/{self.max_in_flight}>"
