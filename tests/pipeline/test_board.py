"""Room, order and what planning is shown, without any stage around it."""

import asyncio

import pytest

from star_agents.core.records import AgentPair, Epoch, Graded, MemoryEntry, PairWeights, Plan, Seed, Update
from star_agents.pipeline.board import Board
from star_agents.pipeline.cadence import Cadence
from star_agents.policy.memory import MemoryBank
from tests.loops import run_virtual
from tests.policy.sets import graded

PAIRS = (AgentPair("keep", "a"), AgentPair("keep", "b"))
EAST = b"\x00\x00\x80\x3f" + b"\x00" * 4


def board(max_in_flight: int, cadence: Cadence | None = None) -> Board:
    weights = PairWeights(0, PAIRS, (0.5, 0.5))
    return Board(weights, MemoryBank(8, 2, 0.0), max_in_flight=max_in_flight, cadence=cadence or Cadence())


def update(version: int, finished: int, *, epoch: Epoch | None = None) -> Update:
    """A version that so many seeds led to, with one memory entry."""
    rows: tuple[Graded, ...] = (graded([0.5]),) * finished
    entries = (MemoryEntry(version, PAIRS[0], 0.5, EAST),) if finished else ()
    return Update(PairWeights(version, PAIRS, (0.6, 0.4)), rows, entries, epoch=epoch)


def plan(number: int) -> Plan:
    return Plan(Seed(number, "Do it."), (), weights_version=0)


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
            shown.publish(update(1, 1))
            await asyncio.sleep(1)
            assert seen == ["a", "b", "c"]
            shown.publish(update(2, 2))
        assert repr(shown) == "<Board v2 in flight 1/2>"
        return seen

    assert run_virtual(main()) == ["a", "b", "c", "d"]


def test_a_resize_lets_waiting_seeds_in() -> None:
    """Who waits for room looks again when there is more of it, and stays out when there is less."""

    async def main() -> int:
        shown = board(1)
        await shown.enter()
        async with asyncio.TaskGroup() as group:
            group.create_task(shown.enter())
            await asyncio.sleep(1)
            shown.resize(1)
            await asyncio.sleep(1)
            assert shown.in_flight == 1
            shown.resize(2)
        return shown.in_flight

    assert run_virtual(main()) == 2


def test_versions_follow_each_other() -> None:
    """A version that is not the next one is a bug, and says so."""
    with pytest.raises(ValueError, match="version 2 cannot follow 0"):
        board(1).publish(update(2, 0))


def test_in_order_a_batch_is_shown_when_its_turn_has_come() -> None:
    """With batches of 2 and a lag of 1: seeds 0 to 3 see nothing, 4 and 5 the first batch, though two are durable."""

    async def main() -> list[tuple[int, int]]:
        shown = board(8, Cadence(batch_size=2, max_lag=1, in_order=True))
        seen = []
        for number in range(8):
            if number == 4:
                for version in (1, 2):
                    shown.publish(update(version, 2))
                assert shown.weights.version == 2
            await shown.enter()
            shown.begin(plan(number))
            seen.append((shown.drawable.version, len(shown.memory)))
        return seen

    assert run_virtual(main()) == [(0, 0)] * 4 + [(1, 1)] * 2 + [(2, 2)] * 2


def test_in_order_a_seed_that_waits_for_its_turn_takes_no_room() -> None:
    """With room for one, a batch of five comes together one after the other; by arrival it would not."""

    async def main() -> tuple[int, int]:
        shown = board(1, Cadence(batch_size=5, max_lag=0, in_order=True))
        for number in range(5):
            await shown.enter()
            shown.begin(plan(number))
            assert shown.num_out == 1
            shown.meet(number)
        return shown.in_flight, shown.num_out

    assert run_virtual(main()) == (5, 0)


def test_a_change_of_the_pool_is_shown_at_once() -> None:
    """Nothing may be drawn from weights that still know a retired pair, whatever the order."""

    async def main() -> None:
        shown = board(8, Cadence(batch_size=1, max_lag=3, in_order=True))
        await shown.enter()
        shown.publish(update(1, 1))
        assert shown.drawable.version == 0
        shown.publish(update(2, 0, epoch=Epoch(2)))
        assert (shown.drawable.version, len(shown.memory)) == (2, 1)

    run_virtual(main())


def test_a_seed_that_would_be_too_old_is_overdue() -> None:
    """Drawn before the first batch, with a lag of 1: it may miss one batch and no second."""

    async def main() -> None:
        shown = board(8, Cadence(batch_size=2, max_lag=1))
        for number in range(3):
            await shown.enter()
            shown.begin(plan(number))
        assert not shown.is_overdue
        shown.meet(1)
        shown.meet(2)
        shown.publish(update(1, 2))
        assert shown.is_overdue
        assert shown.meet(0) == 0
        assert not shown.is_overdue

    run_virtual(main())


@pytest.mark.parametrize(
    "numbers", [{"batch_size": 0}, {"max_lag": -1}, {"in_order": True}, {"in_order": True, "max_lag": -1}]
)
def test_a_cadence_that_cannot_be_is_refused(numbers: dict[str, int]) -> None:
    """Batches of nothing, a negative lag, and an order without a bound."""
    with pytest.raises(ValueError, match="batches"):
        Cadence(**numbers)  # type: ignore[arg-type]  # numbers of one type for keys of several
