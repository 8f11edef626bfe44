"""The pool changes while a run goes on: at a batch's border, durable before it is shown, known to the next start."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from star_agents.core.errors import ConfigError, StoreError
from star_agents.core.records import KEEP, AgentPair, Epoch, PairWeights
from star_agents.pipeline.cadence import Cadence
from star_agents.policy import epochs
from star_agents.policy.credits import credits
from star_agents.policy.exp3 import Exp3Rule
from star_agents.policy.thompson import ThompsonRule
from star_agents.policy.weights import UpdateRule, uniform
from tests.fakes.store import MemoryStore
from tests.flow.world import BASE, POOL, RULE, Run, World
from tests.loops import run_virtual

POOR, GOOD = AgentPair(KEEP, "poor"), AgentPair(KEEP, "good")
FAIR = AgentPair("deepen", "fair")
NEW = AgentPair("deepen", "base")


def folded(store: MemoryStore, rule: UpdateRule = RULE) -> PairWeights:
    """The weights that the log leads to, batches and changes alike."""
    steps = [update.epoch or credits(update.graded) for update in store.updates]
    return epochs.fold(uniform(POOL), steps, rule)


async def run_with_a_change(run: Run, after_s: float) -> PairWeights:
    """Retire one pair and add another after so long; returns what the change answered."""
    async with asyncio.TaskGroup() as group:
        group.create_task(run.start())
        await asyncio.sleep(after_s)
        return await run.evolver.change(add=[NEW], retire=[POOR], reason="a better model is out")


@pytest.mark.parametrize("rule", [RULE, Exp3Rule(rate=0.3), ThompsonRule(discount=0.99)], ids=repr)
@given(after_s=st.floats(0.1, 20.0), in_order=st.booleans())
@settings(max_examples=8)
def test_a_change_is_a_version_of_its_own(rule: UpdateRule, after_s: float, in_order: bool) -> None:
    """From then on the new pair is drawn and the retired one is not; the weights are the fold of the log."""
    cadence = Cadence(batch_size=4, max_lag=2, in_order=in_order)
    run = Run(world=World(), store=MemoryStore(), rule=rule, cadence=cadence, num_seeds=120)
    shown = run_virtual(run_with_a_change(run, after_s))
    (change,) = [update for update in run.store.updates if update.epoch is not None]
    assert change.epoch == Epoch(shown.version, (NEW,), (POOR,), "a better model is out")
    assert change.weights == shown
    assert shown.pairs == (*(pair for pair in POOL if pair != POOR), NEW)
    assert run.board.weights == folded(run.store, rule)
    drawn_after = {
        slot.pair
        for plan in run.store.plans.values()
        for slot in plan.slots
        if plan.weights_version >= shown.version and not slot.is_base
    }
    assert POOR not in drawn_after
    assert NEW in drawn_after
    assert sorted(run.store.log) == list(range(120))


def test_nothing_is_drawn_from_a_change_that_is_not_durable() -> None:
    """While the store holds the change, plans go on under the old weights; a batch waits its turn."""

    async def main() -> None:
        run = Run(world=World(), store=MemoryStore(), num_seeds=60)
        async with asyncio.TaskGroup() as group:
            group.create_task(run.start())
            await asyncio.sleep(5.0)
            barrier = run.store.hold("learn")
            changing = group.create_task(run.evolver.change(retire=[POOR], reason="test"))
            await asyncio.sleep(20.0)
            assert POOR in run.board.drawable.pairs
            before = run.board.weights.version
            barrier.open()
            shown = await changing
            assert shown.version > before
            assert run.board.drawable.pairs == shown.pairs
        assert run.board.weights == folded(run.store)

    run_virtual(main())


def test_whoever_asked_may_go_away() -> None:
    """A caller that is cancelled in the middle leaves a whole change behind, and the run goes on."""

    async def main() -> Run:
        run = Run(world=World(), store=MemoryStore(), num_seeds=60)
        async with asyncio.TaskGroup() as group:
            group.create_task(run.start())
            await asyncio.sleep(5.0)
            barrier = run.store.hold("learn")
            changing = group.create_task(run.evolver.change(retire=[POOR], reason="test"))
            await asyncio.sleep(1.0)
            changing.cancel()
            await asyncio.sleep(1.0)
            barrier.open()
        return run

    run = run_virtual(main())
    assert len([update for update in run.store.updates if update.epoch]) == 1
    assert run.board.weights == folded(run.store)
    assert len(run.store.log) == 60


def test_a_refused_change_costs_the_run_nothing() -> None:
    """The reason comes back, and no version is made; after the run there is nothing to change."""

    async def main() -> Run:
        run = Run(world=World(), store=MemoryStore())
        async with asyncio.TaskGroup() as group:
            group.create_task(run.start())
            await asyncio.sleep(5.0)
            with pytest.raises(ConfigError, match="is a base pair"):
                await run.evolver.change(add=BASE, reason="test")
        with pytest.raises(ConfigError, match="not running"):
            await run.evolver.change(retire=[POOR], reason="test")
        return run

    run = run_virtual(main())
    assert not any(update.epoch for update in run.store.updates)
    assert len(run.store.log) == 40


def test_a_change_that_cannot_be_stored_ends_the_run() -> None:
    """Nobody goes on from weights that the disk does not know, and whoever asked is told."""

    async def main() -> None:
        run = Run(world=World(), store=MemoryStore())
        async with asyncio.TaskGroup() as group:
            group.create_task(run.start())
            await asyncio.sleep(5.0)
            run.store._fail_at = len(run.store.writes) + 1
            with pytest.raises(StoreError):
                await run.evolver.change(retire=[POOR], reason="test")

    with pytest.raises(ExceptionGroup) as caught:
        run_virtual(main())
    assert caught.group_contains(StoreError, depth=None)


def test_a_resumed_run_knows_the_changes() -> None:
    """The next start goes on with the changed pool, weights and tally; plans made before are finished as they were."""
    store = MemoryStore()
    first = Run(world=World(), store=store, num_seeds=120)

    async def killed() -> None:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(first.start())
            await asyncio.sleep(5.0)
            await first.evolver.change(add=[NEW], retire=[FAIR], reason="test")
            await asyncio.sleep(0.1)
            running.cancel()

    run_virtual(killed())
    changed_at = next(update.weights.version for update in store.updates if update.epoch)
    second = Run(world=World(), store=store, num_seeds=120)
    run_virtual(second.start())
    assert second.recovered.standing.epochs == (Epoch(changed_at, (NEW,), (FAIR,), "test"),)
    assert any(slot.pair == FAIR for plan in second.recovered.open_plans for slot in plan.slots)
    assert second.board.weights == folded(store)
    assert sorted(store.log) == list(range(120))
    tallied = {item.pair: item for item in store.updates[-1].tally.pairs}
    assert tallied[FAIR].is_retired
    assert tallied[NEW].draws > 0
    later = [plan for plan in store.plans.values() if plan.weights_version >= changed_at]
    assert all(slot.pair != FAIR for plan in later for slot in plan.slots)
