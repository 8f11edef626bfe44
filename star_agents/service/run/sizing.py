"""Keeps as many seeds in flight as the endpoints can use, and no more than memory is for.

Law: nothing here decides how many: it averages what the endpoints show over some looks, asks `traffic.sizing`, and
tells the board. Seeds that are in flight stay so; a smaller number takes effect as they end.
"""

import asyncio
from collections.abc import Callable, Sequence

from star_agents.core.records import Candidate, Graded
from star_agents.endpoints.meter import EndpointStatus
from star_agents.pipeline.board import Board
from star_agents.traffic.sizing import Bounds, Load, seeds_in_flight

LOOK_S = 0.5
LOOKS = 4
"""Between one decision and the next: so many looks are averaged."""
SLOT_BYTES = 12_000
"""What a slot takes besides its texts: records, tasks, a connection (measured, docs/benchmarks.md)."""
MEMORY = 0.9
"""How much of the mean size of a seed is remembered from one look to the next."""


class Sizer:
    """Watches the endpoints of a run; `last` tells the seed that was learnt from last, whose size is taken for all."""

    def __init__(
        self,
        board: Board,
        endpoints: Callable[[], Sequence[EndpointStatus]],
        last: Callable[[], Graded | None],
        bounds: Bounds,
    ) -> None:
        self._board = board
        self._endpoints = endpoints
        self._last = last
        self._bounds = bounds
        self._bytes = 0.0

    async def run(self) -> None:
        """Look and decide, until cancelled."""
        while True:
            looks, in_flight = [], 0
            for _ in range(LOOKS):
                await asyncio.sleep(LOOK_S)
                looks.append(self._endpoints())
                in_flight += self._board.num_out
            self._weigh(self._last())
            loads = [_mean(of_one) for of_one in zip(*looks, strict=True)]
            if in_flight >= LOOKS:
                wanted = seeds_in_flight(in_flight // LOOKS, loads, self._bounds, self._bytes)
                self._board.resize(wanted)

    def _weigh(self, graded: Graded | None) -> None:
        if graded is not None:
            size = seed_bytes(graded)
            self._bytes = size if not self._bytes else MEMORY * self._bytes + (1 - MEMORY) * size


def seed_bytes(graded: Graded) -> int:
    """About what the seed took while it was in flight, in bytes."""
    seed = graded.settled.plan.seed
    written = [one for one in graded.settled.outcomes if isinstance(one, Candidate)]
    texts = len(seed.question) + len(seed.response) + sum(len(one.instruction) + len(one.response) for one in written)
    return 2 * texts + SLOT_BYTES * len(graded.settled.outcomes)


def _mean(looks: Sequence[EndpointStatus]) -> Load:
    count = len(looks)
    return Load(
        limit=sum(look.limit for look in looks) / count,
        in_flight=sum(look.in_flight for look in looks) / count,
        waiting=sum(look.waiting for look in looks) / count,
    )
