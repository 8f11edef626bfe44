"""The gate in front of every send: nobody overspends, nobody waits without need, and money comes back once."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from star_agents.endpoints.purse import Purse
from star_agents.traffic.budget import NO_COST, Budget, Cost
from tests.loops import run_virtual


async def send(purse: Purse, worst: int, actual: int, takes_s: float = 1.0) -> None:
    async with purse.hold(Cost(worst)) as hold:
        await asyncio.sleep(takes_s)
        hold.settle(Cost(actual))


def test_without_a_ceiling_nobody_waits() -> None:
    """A thousand sends at once, and what they took is counted."""

    async def main() -> float:
        purse = Purse(Budget())
        async with asyncio.TaskGroup() as group:
            for _ in range(1000):
                group.create_task(send(purse, 10, 7))
        assert purse.budget.spent == Cost(7000)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 1.0


def test_a_send_waits_while_another_may_leave_something_over() -> None:
    """Two of worst case 60 do not fit in 100; the first took 30, so the second goes out after it."""

    async def main() -> None:
        purse = Purse(Budget(tokens=100))
        async with asyncio.TaskGroup() as group:
            group.create_task(send(purse, 60, 30))
            group.create_task(send(purse, 60, 30))
            await asyncio.sleep(0.5)
            assert (purse.waiting, purse.budget.reserved, purse.exhausted.is_set()) == (1, Cost(60), False)
        assert asyncio.get_running_loop().time() == 2.0
        assert purse.budget.spent == Cost(60)

    run_virtual(main())


def test_when_nothing_can_come_back_the_run_is_out_of_budget_until_it_is_raised() -> None:
    """The one that waits neither fails nor hangs the loop: it goes out when the ceiling is raised."""

    async def main() -> None:
        purse = Purse(Budget(tokens=100))
        async with asyncio.TaskGroup() as group:
            group.create_task(send(purse, 60, 50))
            late = group.create_task(send(purse, 60, 50))
            await purse.exhausted.wait()
            assert asyncio.get_running_loop().time() == 1.0
            assert (purse.waiting, purse.budget.reserved) == (1, NO_COST)
            purse.raise_to(usd=None, tokens=109)
            assert purse.exhausted.is_set()
            purse.raise_to(usd=None, tokens=110)
            assert not purse.exhausted.is_set()
            await late
        assert purse.budget.spent == Cost(100)

    run_virtual(main())


def test_sends_go_out_first_come_first_served() -> None:
    """A small one does not overtake a large one, which would wait for ever."""

    async def main() -> list[str]:
        purse, order = Purse(Budget(tokens=100)), list[str]()

        async def named(name: str, worst: int) -> None:
            async with purse.hold(Cost(worst)):
                order.append(name)
                await asyncio.sleep(1.0)

        async with asyncio.TaskGroup() as group:
            for name, worst in (("first", 60), ("large", 90), ("small", 10)):
                group.create_task(named(name, worst))
        return order

    assert run_virtual(main()) == ["first", "large", "small"]


def test_a_send_that_gives_up_waiting_lets_the_next_one_in() -> None:
    """Cancelled at the head of the queue, it was only in the way."""

    async def main() -> None:
        purse = Purse(Budget(tokens=100))
        async with asyncio.TaskGroup() as group:
            group.create_task(send(purse, 60, 0, takes_s=10.0))
            large = group.create_task(send(purse, 90, 0))
            small = group.create_task(send(purse, 30, 0))
            await asyncio.sleep(0.5)
            large.cancel()
            await small
            assert asyncio.get_running_loop().time() == 1.5

    run_virtual(main())


def test_a_send_that_was_cut_off_gives_its_money_back() -> None:
    """Nobody said what it took: nothing is spent and nothing stays set aside."""

    async def main() -> Purse:
        purse = Purse(Budget(tokens=100))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(send(purse, 60, 50))
            await asyncio.sleep(0.5)
            task.cancel()
        return purse

    purse = run_virtual(main())
    assert (purse.budget.spent, purse.budget.reserved) == (NO_COST, NO_COST)


@given(
    st.integers(50, 400),
    st.lists(
        st.tuples(st.integers(1, 120), st.integers(0, 140), st.floats(0.1, 9.0), st.floats(0.0, 12.0)),
        min_size=1,
        max_size=20,
    ),
)
def test_whatever_is_cancelled_when_money_is_returned_once(
    ceiling: int, sends: list[tuple[int, int, float, float]]
) -> None:
    """Sends of any size, cancelled at any moment: the ceiling holds, nothing stays set aside, nobody starves."""

    async def main() -> None:
        purse, beyond = Purse(Budget(tokens=ceiling)), 0

        async def one(worst: int, actual: int, takes_s: float) -> None:
            nonlocal beyond
            async with purse.hold(Cost(worst)) as hold:
                await asyncio.sleep(takes_s)
                hold.settle(Cost(actual))
                beyond += max(0, actual - worst)

        async with asyncio.TaskGroup() as group:
            tasks = [
                (group.create_task(one(worst, actual, takes_s)), cut_at) for worst, actual, takes_s, cut_at in sends
            ]
            for task, cut_at in sorted(tasks, key=lambda pair: pair[1]):
                await asyncio.sleep(max(0.0, cut_at - asyncio.get_running_loop().time()))
                assert (purse.budget.spent + purse.budget.reserved).tokens <= ceiling + beyond
                task.cancel()
        assert purse.budget.reserved == NO_COST
        assert not purse.waiting
        assert not purse.exhausted.is_set()

    run_virtual(main())
