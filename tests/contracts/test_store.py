"""What every `Store` promises, tried on the fake and on the real one alike."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from star_agents.core.calls import Failure, Purpose, Usage
from star_agents.core.errors import StoreError
from star_agents.core.ports import Store
from star_agents.core.records import AgentPair, Epoch, PairTally, PairWeights, Tally, Update
from star_agents.storage.commands import Noted, Order, Outcome, Verb
from star_agents.storage.recovery import Recovered
from star_agents.storage.spending import Account, Spend
from star_agents.storage.store import RunStore
from tests.fakes.store import MemoryStore
from tests.loops import run_real
from tests.storage.examples import MANIFEST, POOL, asked, completion, failure, key, plan, update, weights

AnyStore = RunStore | MemoryStore
Body = Callable[[AnyStore], Coroutine[Any, Any, None]]
After = Callable[[Body], Recovered]

WRONG: dict[str, Body] = {
    "planned twice": lambda store: store.assign(plan(1)),
    "no plan": lambda store: store.respond(asked(9, 0), completion("answer")),
    "result without plan": lambda store: store.learn(update(2, 9)),
    "half learnt": lambda store: store.learn(update(2, 0, 1)),
    "doubled": lambda store: store.learn(update(2, 1, 1)),
}


@pytest.fixture(params=["fake", "real on uvloop", "real on asyncio"])
def after(request: pytest.FixtureRequest, tmp_path: Path) -> After:
    """A function that lets `body` write to a fresh store and tells what a start would then find."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[AnyStore]:
        if request.param == "fake":
            yield MemoryStore(manifest=MANIFEST)
        else:
            async with await RunStore.open(tmp_path / "run.db", MANIFEST) as store:
                yield store

    async def main(body: Body) -> Recovered:
        async with opened() as store:
            port: Store = store
            assert port is store
            await body(store)
            return await store.load(capacity=3)

    factory = asyncio.new_event_loop if request.param == "real on asyncio" else None
    return lambda body: run_real(main(body), factory=factory)


def test_a_fresh_store_is_empty(after: After) -> None:
    """Nothing is open, nothing learnt, and the first seed to plan is 0."""

    async def body(store: AnyStore) -> None:
        pass

    found = after(body)
    assert found.standing.manifest == MANIFEST
    assert (found.standing.next_seed, found.standing.batches, found.standing.weights) == (0, 0, None)
    assert not found.open_plans + found.entries
    assert not found.replies


def test_an_assigned_plan_is_open_with_its_replies(after: After) -> None:
    """A plan without a result comes back whole, and so does every reply it had."""

    async def body(store: AnyStore) -> None:
        await store.assign(plan(4))
        await store.assign(plan(6))
        await store.respond(asked(6, 1), completion("answer"))
        await store.respond(asked(6, 2), failure(2))
        await store.respond(asked(6, 1, Purpose.JUDGE, 1), completion("A", endpoint="judge"))

    found = after(body)
    assert found.open_plans == (plan(4), plan(6))
    assert found.standing.next_seed == 7
    assert found.standing.in_flight == 2
    assert found.replies == {
        key(6, 1): completion("answer"),
        key(6, 2): failure(2),
        key(6, 1, Purpose.JUDGE, 1): completion("A", endpoint="judge"),
    }


def test_a_reply_is_booked_to_who_asked(after: After) -> None:
    """By endpoint, agent, pair and purpose; what was wasted apart, and tokens that nobody told apart are unknown."""
    thought = replace(completion("answer"), usage=Usage(7, 11, reasoning_tokens=5, cached_tokens=2), attempts=3)
    wasteful = replace(completion("answer"), wasted=Usage(1, 2, is_estimated=True), attempts=2)

    async def body(store: AnyStore) -> None:
        await store.assign(plan(0))
        await store.assign(plan(1))
        await store.respond(asked(0, 1), thought)
        await store.respond(asked(1, 1), wasteful)
        await store.respond(asked(0, 2), replace(failure(2), wasted=Usage(30, 40)))
        await store.respond(asked(0, 1, Purpose.JUDGE), completion("A", endpoint="judge"))

    deep, broad = "deepen+weak", "broaden+weak"
    assert after(body).standing.spend == {
        Account("gpt", "weak", deep, "respond"): Spend(2, 0, 5, 14, 22, 5, 2, 1, 2, estimated=1),
        Account("gpt", "weak", broad, "respond"): Spend(1, 1, 4, wasted_input=30, wasted_output=40),
        Account("judge", "judge", deep, "judge"): Spend(1, 0, 1, 7, 11),
    }


def test_a_second_reply_to_a_call_changes_nothing(after: After) -> None:
    """The first reply stays and is counted once."""

    async def body(store: AnyStore) -> None:
        await store.assign(plan(0))
        await store.respond(asked(0, 1), completion("first"))
        await store.respond(asked(0, 1), completion("second"))
        await store.respond(asked(0, 1), Failure(1, Purpose.RESPOND, "timeout", "late", "gpt"))

    found = after(body)
    assert found.replies == {key(0, 1): completion("first")}
    assert list(found.standing.spend.values()) == [Spend(1, 0, 1, 7, 11)]


def test_a_learnt_batch_closes_its_seeds_and_moves_the_state(after: After) -> None:
    """Weights are bit-equal, the tally is the batch's, and only the seeds outside the batch stay open."""

    async def body(store: AnyStore) -> None:
        for number in range(3):
            await store.assign(plan(number))
            await store.respond(asked(number, 1), completion("answer"))
        await store.learn(update(1, 2, 0))

    found = after(body)
    assert found.open_plans == (plan(1),)
    assert list(found.replies) == [key(1, 1)]
    assert found.standing.weights == weights(1)
    assert found.standing.tally == update(1, 2, 0).tally
    assert (found.standing.batches, found.standing.finished, found.standing.in_flight) == (1, 2, 1)
    assert [entry.seed for entry in found.entries] == [2, 0]


def test_a_batch_learnt_again_changes_nothing(after: After) -> None:
    """Even under other weights: its seeds have been counted."""

    async def body(store: AnyStore) -> None:
        await store.assign(plan(0))
        await store.learn(update(1, 0))
        await store.learn(update(2, 0))

    found = after(body)
    assert found.standing.weights == weights(1)
    assert found.standing.batches == 1
    assert len(found.entries) == 1


def test_a_batch_without_seeds_moves_only_the_state(after: After) -> None:
    """A change of weights that no row caused is recorded too."""

    async def body(store: AnyStore) -> None:
        await store.learn(Update(weights(5), (), ()))

    found = after(body)
    assert found.standing.weights == weights(5)
    assert found.standing.batches == 0


def test_the_newest_memory_entries_come_back_oldest_first(after: After) -> None:
    """At most as many as the bank holds."""

    async def body(store: AnyStore) -> None:
        for number in range(5):
            await store.assign(plan(number))
            await store.learn(update(number + 1, number))

    assert [entry.seed for entry in after(body).entries] == [2, 3, 4]


@pytest.mark.parametrize("wrong", WRONG)
def test_what_would_break_the_log_is_refused_and_ends_the_store(after: After, wrong: str) -> None:
    """The write fails with StoreError and so does every later one; what was durable stays."""

    async def body(store: AnyStore) -> None:
        await store.assign(plan(0))
        await store.assign(plan(1))
        await store.learn(update(1, 0))
        with pytest.raises(StoreError):
            await WRONG[wrong](store)
        with pytest.raises(StoreError):
            await store.assign(plan(2))

    found = after(body)
    assert found.open_plans == (plan(1),)
    assert found.standing.weights == weights(1)
    assert found.standing.weights is not None
    assert found.standing.weights.pairs == POOL


NEWCOMER = AgentPair("keep", "new")
CHANGE = Update(
    PairWeights(2, (POOL[1], NEWCOMER), (1 / 3, 2 / 3), (0.1, 0.2)),
    (),
    (),
    Tally((PairTally(POOL[0], is_retired=True), PairTally(NEWCOMER))),
    Epoch(2, (NEWCOMER,), (POOL[0],), "the new model is out"),
)


def test_a_change_of_the_pool_is_known_to_the_next_start(after: After) -> None:
    """Weights, state, pool, tally and reason come back; told twice it is one change, and batches go on from it."""

    async def body(store: AnyStore) -> None:
        await store.assign(plan(0))
        await store.learn(update(1, 0))
        await store.learn(CHANGE)
        await store.learn(CHANGE)
        await store.assign(plan(1))
        await store.learn(replace(update(3, 1), weights=replace(CHANGE.weights, version=3)))

    found = after(body)
    assert found.standing.weights == replace(CHANGE.weights, version=3)
    assert found.standing.epochs == (CHANGE.epoch,)
    assert (found.standing.finished, found.standing.batches) == (2, 2)


def test_a_change_of_the_pool_needs_no_seeds(after: After) -> None:
    """The very first version of a run may be one, and its tally is the run's."""

    async def body(store: AnyStore) -> None:
        first = replace(CHANGE, weights=replace(CHANGE.weights, version=1), epoch=Epoch(1, (NEWCOMER,), (POOL[0],), ""))
        await store.learn(first)

    found = after(body)
    assert found.standing.weights == replace(CHANGE.weights, version=1)
    assert found.standing.tally == CHANGE.tally


PAUSE = Order(verb=Verb.PAUSE, actor="signal:TEST", body={"why": ["ünfit", 1.5, None]}, key="k-1")


@pytest.mark.fault("F-89")
def test_f89_an_order_is_numbered_and_found_again_by_its_key(after: After) -> None:
    """F-89: one that is under way or done has its key; one that was refused, or that nobody finished, has left it."""

    async def body(store: AnyStore) -> None:
        first, is_new = await store.note(PAUSE)
        assert is_new
        assert (first.id, first.outcome, first.body, first.actor) == (1, Outcome.BEGUN, PAUSE.body, PAUSE.actor)
        assert await store.note(PAUSE) == Noted(first, is_new=False)
        await store.settle(1, Outcome.DONE, {"phase": "paused"})
        assert await store.note(PAUSE) == Noted(
            replace(first, outcome=Outcome.DONE, answer={"phase": "paused"}), is_new=False
        )
        for number, outcome in ((2, Outcome.REFUSED), (3, Outcome.VOID), (4, Outcome.DONE)):
            command, is_new = await store.note(replace(PAUSE, key="k-2"))
            assert (command.id, is_new) == (number, True)
            await store.settle(number, outcome, None)
        assert (await store.note(replace(PAUSE, key="k-2"))).command.id == 4
        assert [(await store.note(replace(PAUSE, key=None))).command.id for _ in range(2)] == [5, 6]

    after(body)


@pytest.mark.fault("F-89")
def test_f89_a_change_of_the_pool_closes_its_order(after: After) -> None:
    """F-89: in the same commit, with the version that it made."""

    async def body(store: AnyStore) -> None:
        agents = Order(verb=Verb.AGENTS, actor="port:token", key="pool")
        number = (await store.note(agents)).command.id
        assert CHANGE.epoch is not None
        await store.learn(replace(CHANGE, epoch=replace(CHANGE.epoch, command=number)))
        again = await store.note(agents)
        assert (again.is_new, again.command.outcome, again.command.answer) == (False, Outcome.DONE, 2)

    assert after(body).standing.epochs
