"""A run with a ceiling, on virtual time: it stops before it overspends, leaves little open, and goes on when raised."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from star_agents.endpoints.purse import Purse
from star_agents.traffic.budget import Budget, Cost
from tests.fakes.store import MemoryStore
from tests.flow.world import BASE, POOL, USED, Run, World
from tests.loops import run_virtual

TOKENS = USED.input_tokens + USED.output_tokens


def start(store: MemoryStore, tokens: int | None, **changes: int | None) -> Run:
    """A run on `store`, under a ceiling that counts what earlier starts have spent, until it ends as a run does."""
    spent = sum(spend.tokens for spend in store.spend.values())
    purse = Purse(Budget(tokens=tokens, spent=Cost(spent)))
    run = Run(world=World(purse=purse), store=store, **changes)  # type: ignore[arg-type]  # fields of Run
    run_virtual(until_exhausted(run))
    return run


async def until_exhausted(run: Run) -> None:
    """Run, and cut what waits for money when none can come back: what the lifecycle does."""

    async def cut() -> None:
        await run.world.purse.exhausted.wait()
        run.graph.cut()

    async with asyncio.TaskGroup() as group:
        watch = group.create_task(cut())
        await run.start()
        watch.cancel()


def served(run: Run) -> int:
    """Tokens that the world served in this start."""
    return TOKENS * run.world.sent.total()


def test_without_a_ceiling_everything_is_done() -> None:
    """Forty seeds, and the store has booked what the world has served."""
    run = start(MemoryStore(), None)
    assert len(run.store.log) == 40
    assert run.world.purse.budget.spent == Cost(served(run))
    assert sum(spend.tokens for spend in run.store.spend.values()) == served(run)
    assert not run.intake.is_out_of_budget


def test_every_call_is_charged_to_its_agent_and_its_pair() -> None:
    """Writers to themselves, the judge to the judge, and each for the pair whose slot asked."""
    store = start(MemoryStore(), None).store
    pairs = {str(pair) for pair in (*BASE, *POOL)}
    for account in store.spend:
        assert account.pair in pairs
        instruction, response = account.pair.split("+")
        charged = {"rewrite": instruction, "respond": response}.get(account.purpose, "judge")
        assert account.agent == account.endpoint == charged
    assert {account.purpose for account in store.spend} == {"rewrite", "respond", "judge", "judge_swapped"}


@settings(max_examples=30)
@given(tokens=st.integers(1, 9000), lazy=st.booleans())
def test_a_ceiling_is_never_passed_and_a_higher_one_goes_on(tokens: int, lazy: bool) -> None:
    """Whatever the ceiling: it holds, few seeds are left open, and what was bought is not bought again."""
    store = MemoryStore()
    first = start(store, tokens, lazy=lazy)
    assert served(first) <= tokens
    assert len(first.open_plans()) <= 3
    is_done = len(store.log) == 40
    assert is_done or first.intake.is_out_of_budget or first.open_plans()
    again = start(store, None, lazy=lazy)
    assert sorted(store.log) == list(range(40))
    assert not set(first.world.sent) & set(again.world.sent)


def test_most_of_a_ceiling_is_used() -> None:
    """It stops for want of money, not of courage: nine tenths are spent, and one seed at most is left open."""
    for tokens in (1000, 2000, 4000):
        run = start(MemoryStore(), tokens)
        assert 0.9 * tokens < served(run) <= tokens
        assert len(run.open_plans()) <= 1


def test_a_ceiling_that_just_suffices_is_no_end() -> None:
    """When the last seed has been paid for the run is complete, however little is left."""
    need = served(start(MemoryStore(), None))
    run = start(MemoryStore(), need + 40)
    assert len(run.store.log) == 40
    assert not run.intake.is_out_of_budget


def test_a_second_start_under_the_same_ceiling_spends_nothing_more() -> None:
    """What earlier starts spent counts, so it ends at once and loses nothing."""
    store = MemoryStore()
    start(store, 2000)
    done = len(store.log)
    again = start(store, 2000)
    assert served(again) <= 40
    assert len(store.log) - done <= 1


def test_a_ceiling_raised_in_time_lets_the_run_go_on() -> None:
    """Calls that wait for room go out when it is raised, and nothing was lost."""
    run = Run(world=World(purse=Purse(Budget(tokens=100))), store=MemoryStore(), num_seeds=6)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(run.start())
            await run.world.purse.exhausted.wait()
            await asyncio.sleep(60.0)
            assert not run.store.log
            run.world.purse.raise_to(usd=None, tokens=None)

    run_virtual(main())
    assert len(run.store.log) == 6
    assert max(run.world.sent.values()) == 1


@pytest.mark.parametrize("limit", [1, 7, 32, 33])
def test_a_limit_counts_seeds(limit: int) -> None:
    """A start takes in so many, and says that there were more."""
    store = MemoryStore()
    run = start(store, None, limit=limit)
    assert len(store.log) == limit
    assert run.intake.is_limited
    assert not start(store, None, limit=40 - limit).intake.is_limited
    assert len(store.log) == 40
