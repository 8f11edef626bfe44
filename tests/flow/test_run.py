"""The whole pipeline on virtual time, against a world whose truth is known."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from star_agents.core.calls import Failure, Purpose
from star_agents.core.errors import StoreError
from star_agents.core.records import Candidate, PairWeights, RowSource
from star_agents.policy.credits import credits
from star_agents.policy.weights import fold, uniform
from tests.fakes.store import MemoryStore
from tests.flow.world import BASE, POOL, QUALITIES, RULE, Run, World
from tests.loops import run_virtual


def finish(run: Run) -> Run:
    run_virtual(run.start())
    return run


def folded(store: MemoryStore) -> PairWeights:
    return fold(uniform(POOL), [credits(update.graded) for update in store.updates], RULE)


@pytest.mark.parametrize("lazy", [False, True])
def test_every_seed_is_learnt_once(lazy: bool) -> None:
    """A run settles, scores, judges and learns every seed, each in exactly one batch."""
    run = finish(Run(world=World(), store=MemoryStore(), lazy=lazy))
    learnt = [item.settled.plan.seed.number for update in run.store.updates for item in update.graded]
    assert sorted(learnt) == list(range(40))
    assert run.board.weights == folded(run.store)
    assert run.board.in_flight == 0


def test_better_pairs_gain_weight() -> None:
    """In the end the weights order the agents as the world does."""
    run = finish(Run(world=World(), store=MemoryStore(), num_seeds=200, from_memory=0))
    weight = dict(zip(run.board.weights.pairs, run.board.weights.p, strict=True))
    mass = {name: sum(p for pair, p in weight.items() if pair.response == name) for name in ("good", "fair", "poor")}
    assert mass["good"] > mass["fair"] > 1 / 3 > mass["poor"]


def test_memory_proposes_what_won_for_seeds_alike() -> None:
    """Once the bank has entries, one draw a seed comes from the pairs that won near it, the others from outside."""
    run = finish(Run(world=World(), store=MemoryStore(), num_seeds=60))
    late = [plan for number, plan in run.store.plans.items() if number >= 40]
    assert all(plan.pool for plan in late)
    for plan in late:
        drawn = [slot for slot in plan.slots if not slot.is_base]
        assert [slot.from_memory for slot in drawn] == [slot.pair in plan.pool for slot in drawn]
        assert sum(slot.from_memory for slot in drawn) >= 1


def test_lazy_and_all_select_the_same_rows() -> None:
    """With the same weights throughout, lazy judging selects what judging all selects, for fewer calls."""
    everything, lazily = (
        finish(Run(world=World(), store=MemoryStore(), lazy=lazy, num_seeds=12, batch_size=12, max_in_flight=12))
        for lazy in (False, True)
    )

    def rows(run: Run) -> dict[int, tuple[RowSource, int | None]]:
        return {number: (item.selection.source, item.selection.slot) for number, item in run.store.log.items()}

    assert rows(everything) == rows(lazily)
    assert sum(lazily.world.sent.values()) < sum(everything.world.sent.values())


def test_pairs_of_one_instruction_agent_share_its_rewrite() -> None:
    """Answers of a seed's `deepen` pairs answer the same new question, asked for once."""
    run = finish(Run(world=World(), store=MemoryStore()))
    for item in run.store.log.values():
        deepened = [
            outcome.instruction
            for slot, outcome in zip(item.settled.plan.slots, item.settled.outcomes, strict=True)
            if slot.pair.instruction == "deepen" and isinstance(outcome, Candidate)
        ]
        assert len(set(deepened)) <= 1
    rewrites = [key.seed for key in run.world.sent if key.purpose is Purpose.REWRITE]
    assert len(rewrites) == len(set(rewrites))


def test_a_broken_agent_is_a_record_and_costs_no_weight() -> None:
    """Calls that fail end their slots as failures; the pair's weight is moved by nothing but the others' gains."""
    run = finish(Run(world=World(faulty=frozenset({"poor"})), store=MemoryStore()))
    failures = [one for item in run.store.log.values() for one in item.settled.outcomes if isinstance(one, Failure)]
    assert failures
    assert {one.reason for one in failures} == {"server_error"}
    assert all(credit.pair.response != "poor" for update in run.store.updates for credit in credits(update.graded))


def test_a_broken_base_leaves_ties() -> None:
    """Without a reference nobody can win or lose, and the run goes on."""
    run = finish(Run(world=World(faulty=frozenset({"base"})), store=MemoryStore()))
    assert len(run.store.log) == 40
    verdicts = [verdict.pi_llm for item in run.store.log.values() for verdict in item.verdicts.values()]
    assert set(verdicts) == {0.5}


@pytest.mark.fault("F-31")
def test_a_pair_that_is_down_is_masked_and_the_plan_says_so() -> None:
    """Endpoints that cannot be asked are drawn by nobody."""
    run = finish(Run(world=World(down=frozenset({"poor"})), store=MemoryStore()))
    assert all(slot.pair.response != "poor" for plan in run.store.plans.values() for slot in plan.slots)
    assert all({pair.response for pair in plan.masked} == {"poor"} for plan in run.store.plans.values())


@pytest.mark.parametrize("down", ["judge", "base"])
def test_planning_waits_for_the_judge_and_the_base(down: str) -> None:
    """While nobody could judge a seed none is planned; then the run goes on, and no seed was spent on the outage."""
    run = finish(Run(world=World(down=frozenset({down}), down_until_s=500.0), store=MemoryStore(), num_seeds=12))
    assert len(run.store.log) == 12
    assert tally_of(run)["failure"] == 0
    assert {verdict.source for item in run.store.log.values() for verdict in item.verdicts.values()} == {
        "judge",
        "base",
    }


@pytest.mark.fault("F-31")
def test_a_call_waits_while_its_endpoint_is_down() -> None:
    """An outage in the middle of a run costs time and nothing else: no failed call is recorded for it."""

    async def main(run: Run) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(run.start())
            await asyncio.sleep(5.0)
            run.world.down, run.world.down_until_s = frozenset({"judge", "good", "base"}), 300.0

    run = Run(world=World(), store=MemoryStore())
    run_virtual(main(run))
    assert len(run.store.log) == 40
    assert tally_of(run)["failure"] == 0


def tally_of(run: Run) -> Counter[str]:
    """Events of a run by the first word of their name."""
    counts: Counter[str] = Counter()
    for name, count in run.store.updates[-1].tally.events.items():
        counts[name.split(".")[0]] += count
    return counts


def test_seeds_in_flight_are_bounded() -> None:
    """Never more than `max_in_flight` seeds are planned and not learnt."""
    run = Run(world=World(), store=MemoryStore(), max_in_flight=5)
    finish(run)
    assert run.world.peak_in_flight <= 5 * 4 * 2
    versions = [plan.weights_version for _, plan in sorted(run.store.plans.items())]
    assert versions == sorted(versions)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("drain_at", [0.0, 1.0, 3.7, 9.0, 30.0])
def test_drain_finishes_what_is_planned(drain_at: float, lazy: bool) -> None:
    """After a drain every plan is learnt from, and a second start takes up the rest."""
    store = MemoryStore()

    async def main(run: Run) -> None:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(run.start())
            await asyncio.sleep(drain_at)
            if not running.done():
                run.graph.drain()

    first = Run(world=World(), store=store, lazy=lazy)
    run_virtual(main(first))
    assert first.open_plans() == [] or len(first.open_plans()) <= 1  # a plan recorded as the drain came
    second = finish(Run(world=World(), store=store, lazy=lazy))
    assert sorted(store.log) == list(range(40))
    assert second.board.weights == folded(store)


@settings(max_examples=60)
@given(times=st.lists(st.floats(0.0, 25.0), min_size=1, max_size=4), lazy=st.booleans(), cut=st.booleans())
def test_whatever_moment_it_is_killed_nothing_is_lost_or_bought_twice(
    times: list[float], lazy: bool, cut: bool
) -> None:
    """Killed or cut at any moments and resumed: each seed is learnt once, and no recorded reply is asked for again."""
    store = MemoryStore()

    async def main(run: Run, after_s: float) -> None:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(run.start())
            await asyncio.sleep(after_s)
            if cut and not running.done():
                run.graph.cut()
            else:
                running.cancel()

    for after_s in times:
        replied = set(store.replies)
        world = World()
        run_virtual(main(Run(world=world, store=store, lazy=lazy), after_s))
        assert not replied & set(world.sent)
    last = finish(Run(world=World(), store=store, lazy=lazy))
    learnt = [item.settled.plan.seed.number for update in store.updates for item in update.graded]
    assert sorted(learnt) == list(range(40))
    assert last.board.weights == folded(store)


@given(latencies=st.dictionaries(st.sampled_from([*QUALITIES, "judge", "deepen"]), st.floats(0, 30)))
@settings(max_examples=30)
def test_draws_do_not_depend_on_who_finishes_first(latencies: dict[str, float]) -> None:
    """Under frozen weights, the pairs drawn for a seed are the same whatever the latencies."""
    runs = [
        finish(Run(world=World(latency_s=world), store=MemoryStore(), batch_size=40, max_in_flight=40, linger_s=1e6))
        for world in ({}, latencies)
    ]
    plans = [{number: plan.slots for number, plan in run.store.plans.items()} for run in runs]
    assert plans[0] == plans[1]


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("stuck", ["judge", "good", "base"])
def test_an_endpoint_that_hangs_cannot_hold_up_a_cut(stuck: str, lazy: bool) -> None:
    """Whoever never answers, generator or judge: after a cut the graph ends, and the next start finishes the run."""
    store = MemoryStore()

    async def main(run: Run) -> float:
        async with asyncio.TaskGroup() as group:
            group.create_task(run.start())
            await asyncio.sleep(10.0)
            run.graph.drain()
            await asyncio.sleep(30.0)
            run.graph.cut()
        return asyncio.get_running_loop().time()

    assert run_virtual(main(Run(world=World(latency_s={stuck: 1e6}), store=store, lazy=lazy))) < 60.0
    finish(Run(world=World(), store=store, lazy=lazy))
    assert sorted(store.log) == list(range(40))


def test_a_store_that_fails_stops_the_run() -> None:
    """No journal, no run: the error comes out, and nothing was published that is not durable."""
    run = Run(world=World(), store=MemoryStore(fail_at=60))
    with pytest.raises(ExceptionGroup) as caught:
        finish(run)
    assert caught.group_contains(StoreError, depth=None)
    assert run.board.weights == folded(run.store)


def test_every_slot_ends_exactly_once() -> None:
    """Outcome i belongs to slot i, base first, for every learnt seed."""
    run = finish(Run(world=World(faulty=frozenset({"fair"})), store=MemoryStore(), replacement=True))
    for item in run.store.log.values():
        assert [outcome.slot for outcome in item.settled.outcomes] == [slot.number for slot in item.settled.plan.slots]
        assert item.settled.plan.slots[0].pair == BASE[0]
        assert len(item.settled.plan.slots) == 4


def test_one_seed_is_enough() -> None:
    """A batch smaller than the batch size is learnt when its linger is over."""
    run = finish(replace(Run(world=World(), store=MemoryStore()), num_seeds=1))
    assert len(run.store.updates) == 1
