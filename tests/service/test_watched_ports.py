"""Watched ports: one trace a seed, all that it waited for in it, no text of anybody, and nothing changed by it."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from star_agents.core.errors import AuthFailedError, StarError
from star_agents.core.records import Sample
from star_agents.core.subject import seeds_at_hand, working_for
from star_agents.service.telemetry.spans import Span, Traces
from star_agents.service.telemetry.traced import Watch, WatchedCompleter, WatchedScorer, WatchedStore
from tests.fakes.completer import MemoryCompleter
from tests.fakes.scoring import TableScorer
from tests.fakes.store import MemoryStore
from tests.loops import run_virtual
from tests.storage.examples import MANIFEST, asked, completion, plan, update

LATENCY_S = 0.25
ALL = Traces("run", 1.0)


@dataclass
class ListSink:
    """`SpanSink`: keeps them."""

    spans: list[Span] = field(default_factory=list)

    def tell(self, span: Span) -> None:
        self.spans.append(span)


@dataclass
class Watched:
    """The three ports over fakes, and what was told."""

    traces: Traces = ALL
    fails: Callable[[Any], StarError | None] = lambda _: None
    sink: ListSink = field(default_factory=ListSink)

    def __post_init__(self) -> None:
        watch = Watch(self.sink, self.traces)
        fake = MemoryCompleter(latency_s=LATENCY_S, fails=self.fails)
        self.completer = WatchedCompleter(fake, {"gpt": "gpt-4o-mini"}, watch)
        self.scorer = WatchedScorer(TableScorer(), watch)
        self.store = WatchedStore(MemoryStore(manifest=MANIFEST), watch)

    async def seed(self, number: int) -> None:
        """All of a seed's way."""
        await self.store.assign(plan(number))
        call = asked(number, 0)
        with suppress(AuthFailedError):
            await self.completer.complete(call)
        await self.store.respond(call, completion("It is Paris."))
        with working_for([number]):
            await self.scorer.score([Sample("secret instruction", "secret answer")])
        await self.store.learn(update(number + 1, number))


def told(main: Callable[[Watched], Coroutine[Any, Any, None]], **made: Any) -> list[Span]:  # noqa: ANN401  # fields
    async def body() -> list[Span]:
        watched = Watched(**made)
        await main(watched)
        return watched.sink.spans

    return run_virtual(body())


def test_a_seed_is_one_root_and_what_it_waited_for() -> None:
    """In the order in which things ended; the root begins with the first and ends with the last."""
    spans = told(lambda watched: watched.seed(0))
    assert [span.name for span in spans] == ["plan", "chat gpt-4o-mini", "score", "learn", "seed"]
    *others, root = spans
    assert [span.is_root for span in spans] == [False] * 4 + [True]
    assert root.start_ns == min(span.start_ns for span in others)
    assert root.end_ns >= max(span.end_ns for span in others)
    assert root.end_ns - root.start_ns == pytest.approx(LATENCY_S * 1e9, rel=1e-6)
    assert {span.seed for span in spans} == {0}


def test_a_call_is_told_by_the_semantic_conventions() -> None:
    """Operation, models, tokens and why it stopped; who is charged, by our own names."""
    call = told(lambda watched: watched.seed(0))[1]
    assert call.is_call
    assert call.end_ns - call.start_ns == pytest.approx(LATENCY_S * 1e9, rel=1e-6)
    assert call.attributes["gen_ai.operation.name"] == "chat"
    assert call.attributes["gen_ai.request.model"] == "gpt-4o-mini"
    assert call.attributes["gen_ai.response.model"] == "m"
    assert int(call.attributes["gen_ai.usage.output_tokens"]) > 0
    assert call.attributes["star_agents.purpose"] == "respond"


def test_no_span_holds_a_text() -> None:
    """Neither what was asked nor what was answered nor what was scored."""
    written = repr(told(lambda watched: watched.seed(0)))
    for text in (message.content for message in asked(0, 0).messages):
        assert text not in written
    assert "Paris" not in written
    assert "secret" not in written


def test_a_failed_call_says_why() -> None:
    """As the fixed code that counts it; the error passes through."""
    failing = {"fails": lambda _: AuthFailedError("no")}
    call = told(lambda watched: watched.seed(0), **failing)[1]
    assert (call.error, call.attributes["star_agents.attempts"]) == ("auth", 1)


def test_a_share_of_the_seeds_is_told_of() -> None:
    """The same ones whoever asks; of the others nothing, not even in a batch with those."""
    traces = Traces("run", 0.3)
    included = {seed for seed in range(1000) if traces.includes(seed)}
    assert 250 < len(included) < 350
    assert included == {seed for seed in range(1000) if Traces("run", 0.3).includes(seed)}
    assert included <= {seed for seed in range(1000) if Traces("run", 0.5).includes(seed)}

    async def main(watched: Watched) -> None:
        for seed in range(20):
            await watched.store.assign(plan(seed))
        with working_for(range(20)):
            await watched.scorer.score([Sample("a", "b")] * 20)
        await watched.store.learn(update(1, *range(20)))

    spans = told(main, traces=traces)
    assert {span.seed for span in spans} == {seed for seed in range(20) if seed in included}
    assert {span.attributes["star_agents.batch.seeds"] for span in spans if span.name == "score"} == {20}


def test_traces_of_two_runs_are_not_mixed_up() -> None:
    """Ids follow from the run and the seed: the same after a restart, others in another run."""
    ids = {Traces(run, 1.0).trace_id(seed) for run in ("a", "b") for seed in range(100)}
    assert len(ids) == 200
    assert Traces("a", 1.0).trace_id(7) == Traces("a", 0.1).trace_id(7) != 0
    assert len({Traces("a", 1.0).root_id(seed) for seed in range(100)}) == 100


def test_a_seed_of_an_earlier_start_is_told_from_where_it_is_first_heard_of() -> None:
    """Its plan was made before this process was."""

    async def main(watched: Watched) -> None:
        await watched.store.assign(plan(0))
        watched.store.watch.end(0, {})
        watched.sink.spans.clear()
        await watched.completer.complete(asked(0, 0))
        await watched.store.learn(update(1, 0))

    call, *_, root = told(main)
    assert root.start_ns == call.start_ns


def test_what_is_cancelled_stays_cancelled() -> None:
    """A call that is cut off is no span: the start that goes on will tell of it."""

    async def main(watched: Watched) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(LATENCY_S / 2):
                await watched.completer.complete(asked(0, 0))

    assert told(main) == []


def test_who_is_worked_for_is_said_for_a_block_and_its_tasks() -> None:
    """And for nobody else."""

    async def look() -> tuple[int, ...]:
        return seeds_at_hand()

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            with working_for([1, 2]):
                inside = group.create_task(look())
                assert seeds_at_hand() == (1, 2)
            assert seeds_at_hand() == ()
        assert inside.result() == (1, 2)

    run_virtual(main())
