import asyncio

import pytest

from star_agents.core.records import AgentPair, PairWeights
from star_agents.pipeline.board import Board
from star_agents.policy.memory import MemoryBank
from tests.loops import run_virtual

PAIRS = (AgentPair("keep", "a"), AgentPair("keep", "b"))


def board(max_in_flight: int) -> Board:
    return Board(PairWeights(0, PAIRS, (0.5, 0.5)), MemoryBank(8, 2, 0.0), max_in_flight=max_in_flight)


def test_planning_waits_for_learning() -> None:
    """No more seeds enter than may be in flight; each published seed lets one in."""

    async def main() -> list[str]:
        shown = board(2)
        seen: list[str] = []

        async def enter(name: str) -> None:
            await shown.enter()
            seen.append(name)

        async with asyncio.TaskGroup() as group:
            for name in "abcd":
                group.create_task(enter(name))
            await asyncio.sleep(1)
            assert seen == ["a", "b"]
            shown.publish(PairWeights(1, PAIRS, (0.6, 0.4)), (), finished=1)
            await asyncio.sleep(1)
            assert seen == ["a", "b", "c"]
            shown.publish(PairWeights(2, PAIRS, (0.7, 0.3)), (), finished=2)
        assert repr(shown) == "<Board v2 in flight 1/2>"
        return seen

    assert run_virtual(main()) == ["a", "b", "c", "d"]


def test_versions_follow_each_other() -> None:
    """A version that is not the next one is a bug, and says so."""
    with pytest.raises(ValueError, match="version 2 cannot follow 0"):
        board(1).publish(PairWeights(2, PAIRS, (0.5, 0.5)), (), finished=0)
