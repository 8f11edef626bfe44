"""Our fleet on virtual time, before simulated replicas: ten minutes of outage in a second."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

from star_agents.core import clock
from star_agents.core.errors import CallError
from star_agents.mock.faults import Fault, failing
from star_agents.mock.script import Seen
from tests.endpoints.simulated import Simulation, request
from tests.loops import run_virtual

REQUESTS, SLOTS = 2_000, 64
BEGINS_S = 10.0


def attempts_in_outage(length_s: float) -> dict[str, Any]:
    """Sends a request of a closed loop that is a third done when every answer becomes a 503 for so long."""

    def script(_: Seen) -> Fault | None:
        return failing(503) if BEGINS_S <= clock.now() < BEGINS_S + length_s else None

    simulation, lost = Simulation(script=script), Counter[str]()

    async def work(queue: Iterator[int], ask: Any) -> None:  # noqa: ANN401  # a bound method
        for number in queue:
            try:
                await ask(request(number))
            except CallError as error:
                lost[error.reason] += 1

    async def main() -> float:
        queue = iter(range(REQUESTS))
        async with simulation.fleet(concurrency=SLOTS) as fleet, asyncio.TaskGroup() as group:
            for _ in range(2 * SLOTS):
                group.create_task(work(queue, fleet.complete))
        return clock.now()

    run_virtual(main())
    end_s = BEGINS_S + length_s
    after = [send.at - end_s for send in simulation.sends if send.at >= end_s]
    return {
        "sends / request": len(simulation.sends) / REQUESTS,
        "lost": lost.total(),
        "sends meanwhile": sum(BEGINS_S <= send.at < end_s for send in simulation.sends),
        "back after s": after[SLOTS] if len(after) > SLOTS else None,
    }
