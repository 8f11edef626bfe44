"""Batches by arrival and in order, rounds, and the bound on the lag: the whole pipeline on virtual time."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from star_agents.core.records import Update
from star_agents.endpoints.purse import Purse
from star_agents.pipeline.cadence import Cadence, whole_rounds
from star_agents.policy.credits import CreditOptions, credits
from star_agents.policy.exp3 import Exp3Rule
from star_agents.policy.thompson import ThompsonRule
from star_agents.policy.weights import UpdateRule, fold, uniform
from star_agents.traffic.budget import Budget
from tests.fakes.store import MemoryStore
from tests.flow.world import POOL, QUALITIES, RULE, Run, World
from tests.loops import run_virtual

ENDPOINTS = [*QUALITIES, "judge", "deepen"]
IN_ORDER = Cadence(batch_size=4, max_lag=2, in_order=True)

latencies = st.dictionaries(st.sampled_from(ENDPOINTS), st.floats(0, 30))


def finish(run: Run) -> Run:
    run_virtual(run.start())
    return run


def told(run: Run) -> list[Update]:
    """Everything that was learnt, batch by batch: plans with their propensities, rows, weights, memory and tally."""
    return run.store.updates


def lags(run: Run) -> list[int]:
    """Of each row, the versions that were made between its draw and its update."""
    return [
        update.weights.version - 1 - item.settled.plan.weights_version
        for update in run.store.updates
        for item in update.graded
    ]


@given(latencies, st.booleans(), st.integers(0, 3), st.integers(1, 7), st.integers(1, 30))
@settings(max_examples=35)
def test_in_order_a_run_is_the_same_for_any_latencies(
    slow: dict[str, float], lazy: bool, max_lag: int, batch_size: int, max_in_flight: int
) -> None:
    """Weights, rows, propensities and memory, bit for bit, and however many seeds may be in flight."""
    cadence = Cadence(batch_size=batch_size, max_lag=max_lag, in_order=True)
    runs = [
        Run(world=World(latency_s=by_endpoint), store=MemoryStore(), lazy=lazy, num_seeds=22, cadence=cadence)
        for by_endpoint in ({}, slow)
    ]
    runs[1].max_in_flight = max_in_flight
    assert told(finish(runs[0])) == told(finish(runs[1]))
    assert [len(update.graded) for update in told(runs[0])][:-1] == [batch_size] * ((22 - 1) // batch_size)
    assert max(lags(runs[0])) <= max_lag


@pytest.mark.parametrize("rule", [Exp3Rule(rate=0.3), ThompsonRule(discount=0.99)], ids=repr)
@pytest.mark.parametrize("normalize", ["candidates", "running"])
def test_in_order_every_rule_is_the_same_for_any_latencies(rule: UpdateRule, normalize: str) -> None:
    """What a rule keeps beside p is in the version, so it is bit-equal as well; and it is the fold of the log."""
    slow = dict(zip(ENDPOINTS, (0.1, 20.0, 3.0, 0.0, 7.0, 11.0), strict=True))
    runs = [Run(world=World(latency_s=one), store=MemoryStore(), cadence=IN_ORDER, rule=rule) for one in ({}, slow)]
    for run in runs:
        run.normalize = "running" if normalize == "running" else "candidates"
        finish(run)
    assert told(runs[0]) == told(runs[1])
    log = [credits(update.graded, CreditOptions()) for update in told(runs[0])]
    assert runs[0].board.weights == fold(uniform(POOL), log, rule)
    assert runs[0].board.weights.state


def test_by_arrival_a_run_follows_its_latencies() -> None:
    """The contrary, so that the law above is known to say something."""
    runs = [finish(Run(world=World(latency_s=one), store=MemoryStore())) for one in ({}, {"good": 9.0})]
    assert told(runs[0]) != told(runs[1])


@given(latencies, st.integers(0, 3), st.integers(1, 6), st.floats(0, 5), st.booleans(), st.integers(1, 30))
@settings(max_examples=35)
def test_no_row_is_older_than_the_bound(
    slow: dict[str, float], max_lag: int, batch_size: int, linger_s: float, in_order: bool, max_in_flight: int
) -> None:
    """Whatever the latencies, in either order: every seed is learnt, none too late, and nobody waits for ever."""
    cadence = Cadence(batch_size=batch_size, linger_s=linger_s, max_lag=max_lag, in_order=in_order)
    world = World(latency_s=slow)
    run = finish(Run(world=world, store=MemoryStore(), num_seeds=25, cadence=cadence, max_in_flight=max_in_flight))
    assert sorted(run.store.log) == list(range(25))
    assert max(lags(run)) <= max_lag
    assert run.board.weights == fold(uniform(POOL), [credits(update.graded) for update in told(run)], RULE)
    assert (run.board.in_flight, run.board.open) == (0, {})


def test_without_a_bound_a_straggler_is_left_behind() -> None:
    """The contrary: one slow endpoint makes rows that are many versions old."""
    slow = Run(world=World(latency_s={"deepen": 60.0}), store=MemoryStore(), num_seeds=60, batch_size=2)
    assert max(lags(finish(slow))) > 3


@pytest.mark.parametrize("round_seeds", [1, 7, 20, 100])
def test_a_round_is_planned_from_what_the_one_before_taught(round_seeds: int) -> None:
    """Every seed of a round has the same version, a round is one batch, and nothing of the next is planned before."""
    run = finish(Run(world=World(), store=MemoryStore(), cadence=whole_rounds(round_seeds), max_in_flight=12))
    versions = [plan.weights_version for _, plan in sorted(run.store.plans.items())]
    assert versions == [number // round_seeds for number in range(40)]
    assert set(lags(run)) == {0}
    events = [(method, value) for method, value in run.store.writes if method in ("assign", "learn")]
    for place, (method, _) in enumerate(events):
        if method == "learn":
            planned = sum(name == "assign" for name, _ in events[:place])
            learnt = sum(len(value.graded) for _, value in events[: place + 1] if isinstance(value, Update))
            assert planned == learnt


@pytest.mark.parametrize("cadence", [IN_ORDER, whole_rounds(100), Cadence(batch_size=4, max_lag=0)])
def test_a_budget_ends_a_run_whose_batches_are_whole(cadence: Cadence) -> None:
    """A batch that money will never fill is learnt from as it is: neither planning nor learning waits for the other."""
    world = World(purse=Purse(Budget(tokens=2500)))
    run = finish(Run(world=world, store=MemoryStore(), num_seeds=400, cadence=cadence))
    assert run.intake.is_out_of_budget
    assert 4 < len(run.store.log) == len(run.store.plans) < 30


@pytest.mark.parametrize("limit", [1, 5, 8])
def test_a_limit_ends_a_run_whose_batches_are_whole(limit: int) -> None:
    """The last batch is what is left, and the next start goes on."""
    store = MemoryStore()
    finish(Run(world=World(), store=store, cadence=IN_ORDER, limit=limit))
    assert sorted(store.log) == list(range(limit))
    last = finish(Run(world=World(), store=store, cadence=IN_ORDER))
    assert sorted(store.log) == list(range(40))
    assert last.board.weights == fold(uniform(POOL), [credits(update.graded) for update in store.updates], RULE)


@given(st.floats(0.0, 40.0), st.sampled_from(["judge", "good", "base", None]), st.booleans())
@settings(max_examples=25)
def test_a_cut_leaves_a_whole_beginning(after_s: float, stuck: str | None, in_order: bool) -> None:
    """In order what is learnt is the first seeds without a gap, whoever hangs; and the next start finishes the run."""
    store = MemoryStore()
    cadence = replace(IN_ORDER, in_order=in_order)

    async def main(run: Run) -> None:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(run.start())
            await asyncio.sleep(after_s)
            if not running.done():
                run.graph.cut()

    run_virtual(main(Run(world=World(latency_s={stuck: 1e6} if stuck else {}), store=store, cadence=cadence)))
    if in_order:
        assert sorted(store.log) == list(range(len(store.log)))
    finish(Run(world=World(), store=store, cadence=cadence))
    assert sorted(store.log) == list(range(40))
