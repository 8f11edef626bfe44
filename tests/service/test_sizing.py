"""The seeds in flight follow what the endpoints show."""

import asyncio

from star_agents.core.records import AgentPair, PairWeights
from star_agents.endpoints.meter import EndpointStatus
from star_agents.pipeline.board import Board
from star_agents.policy.memory import MemoryBank
from star_agents.service.run.sizing import LOOK_S, LOOKS, Sizer
from star_agents.traffic.sizing import HELPINGS, SLACK, Bounds
from tests.loops import run_virtual

PAIRS = (AgentPair("keep", "a"),)


async def sized(board: Board, bounds: Bounds, *, limit: int, calls_per_seed: float, rounds: int) -> int:
    """Seeds in flight after so many decisions, where each seed has so many calls at the one endpoint."""

    def endpoints() -> tuple[EndpointStatus, ...]:
        board.in_flight = board.max_in_flight
        calls = int(board.in_flight * calls_per_seed)
        return (
            EndpointStatus(
                name="e", state="ok", in_flight=min(limit, calls), limit=limit, waiting=max(0, calls - limit)
            ),
        )

    sizer = Sizer(board, endpoints, lambda: None, bounds)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(sizer.run())
        await asyncio.sleep(rounds * LOOKS * LOOK_S + LOOK_S / 2)
        task.cancel()
    return board.max_in_flight


def board(in_flight: int) -> Board:
    return Board(PairWeights(0, PAIRS, (1.0,)), MemoryBank(8, 2, 0.0), max_in_flight=in_flight)


def test_an_endpoint_gets_its_second_helping() -> None:
    """From too few and from too many it comes to rest near twice the limit in calls."""

    async def main() -> None:
        bounds = Bounds(at_least=8, at_most=4096)
        for start in (8, 4000):
            few = await sized(board(start), bounds, limit=64, calls_per_seed=0.5, rounds=30)
            assert SLACK[0] <= HELPINGS * 64 / 0.5 / few <= SLACK[1]

    run_virtual(main())


def test_the_bounds_hold() -> None:
    """A number that was set is kept, whatever the endpoints show."""

    async def main() -> None:
        bounds = Bounds(at_least=16, at_most=16)
        assert await sized(board(16), bounds, limit=1000, calls_per_seed=0.1, rounds=5) == 16

    run_virtual(main())
