"""The run's money at the gate: a call goes out only when its worst case still fits below the ceiling.

Laws: what was set aside for a send is returned once, however its block is left; calls wait first come, first
served; one waits only while another is out that may still leave something over. When none is and the first in
the queue does not fit, the run is `exhausted`: nobody is let in before the ceiling is raised.
"""

import asyncio
from collections import deque
from types import TracebackType
from typing import Self

from star_agents.traffic.budget import NO_COST, Budget, Cost


class Hold:
    """Money set aside for one send, for as long as its block runs. Say in it what the send took: `settle`.

    A block that is left without saying so spends nothing: a call that was cut off costs what nobody told us.
    """

    __slots__ = ("_actual", "_purse", "_worst")

    def __init__(self, purse: "Purse", worst: Cost) -> None:
        self._purse = purse
        self._worst = worst
        self._actual = NO_COST

    def settle(self, actual: Cost) -> None:
        """What the send took, whether it came to anything or not."""
        self._actual = actual

    async def __aenter__(self) -> Self:
        await self._purse.take(self._worst)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._purse.give_back(self._worst, self._actual)


class Purse:
    """One for a run; its endpoints share it. Without ceilings nobody ever waits."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.exhausted = asyncio.Event()
        """Set while somebody waits and nobody can come back with anything."""
        self._num_out = 0
        self._waiters: deque[tuple[Cost, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        """Sends that wait for room."""
        return sum(not waiter.done() for _, waiter in self._waiters)

    @property
    def is_limited(self) -> bool:
        """True where there is a ceiling; below none nothing need be set aside."""
        return self.budget.is_limited

    def spend(self, actual: Cost) -> None:
        """What a send took for which nothing was set aside."""
        self.budget.spent += actual

    def hold(self, worst: Cost) -> Hold:
        """Money for one send of at most `worst`, to be entered before its permit and left with it."""
        return Hold(self, worst)

    def raise_to(self, *, usd: float | None, tokens: int | None) -> None:
        """Set other ceilings, and let in whoever fits below them."""
        self.budget.usd, self.budget.tokens = usd, tokens
        self._pump()

    async def take(self, worst: Cost) -> None:
        """Set money aside, waiting for room."""
        if not self._waiters and self.budget.reserve(worst):
            self._num_out += 1
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append((worst, waiter))
        self._pump()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                self._pump()  # it may have stood in the way of a smaller one
            else:  # let in, and cancelled in the same breath
                self.give_back(worst, NO_COST)
            raise

    def give_back(self, worst: Cost, actual: Cost) -> None:
        """Return what was set aside, spend what it took, and let in whoever fits now."""
        self._num_out -= 1
        self.budget.settle(worst, actual)
        self._pump()

    def _pump(self) -> None:
        while self._waiters:
            worst, waiter = self._waiters[0]
            if not waiter.done():
                if not self.budget.reserve(worst):
                    break
                self._num_out += 1
                waiter.set_result(None)
            self._waiters.popleft()
        if self._waiters and not self._num_out:
            self.exhausted.set()
        else:
            self.exhausted.clear()
