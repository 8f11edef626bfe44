"""The scoring stage in the whole pipeline, on virtual time."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from star_agents.core import clock
from star_agents.core.errors import ScorerError
from star_agents.core.records import (
    Candidate,
    ModelScore,
    Sample,
    Scores,
    ScoreStatus,
    Settled,
)
from star_agents.pipeline.channel import Channel
from star_agents.pipeline.marks import Scored
from star_agents.pipeline.score import score
from star_agents.policy.credits import credits
from star_agents.policy.weights import fold, uniform
from tests.fakes.scoring import TableScorer
from tests.fakes.store import MemoryStore
from tests.flow.world import POOL, RULE, Run, World
from tests.loops import run_virtual
from tests.policy import sets

NOT_FINITE = ModelScore(ScoreStatus.ERROR, reason="not_finite")


@dataclass(slots=True)
class SlowWorld(World):
    """A world whose scorer takes a minute a sample: far longer than its models take to write them."""

    run: Run | None = None
    calls: int = 0
    seen: list[tuple[int, ...]] = field(default_factory=list)
    """At every call: seeds in flight, calls of the scorer, tasks, and the depth of every channel."""

    async def score(self, samples: Sequence[Sample]) -> list[Scores]:
        self.calls += 1
        try:
            await asyncio.sleep(60.0 * len(samples))
            return await World.score(self, samples)
        finally:
            assert self.run is not None
            depths = (channel.depth for channel in self.run.graph.statistics())
            self.seen.append((self.run.board.in_flight, self.calls, len(asyncio.all_tasks()), *depths))
            self.calls -= 1


@pytest.mark.fault("F-60")
@pytest.mark.parametrize("lazy", [False, True])
def test_a_slow_scorer_holds_up_planning_and_nothing_grows(lazy: bool) -> None:
    """Backpressure reaches the plan: what is in flight stays bounded, however much longer scoring takes."""
    world = SlowWorld()
    world.run = run = Run(world=world, store=MemoryStore(), num_seeds=300, lazy=lazy)
    run_virtual(run.start())
    assert len(run.store.log) == 300
    in_flight, calls, tasks, *depths = (max(column) for column in zip(*world.seen, strict=True))
    assert in_flight <= run.max_in_flight
    assert calls == 2
    assert all(depth <= run.max_in_flight for depth in depths)
    settled = len(world.seen) // 4
    early, late = world.seen[settled : 2 * settled], world.seen[2 * settled : 3 * settled]
    assert max(row[2] for row in late) <= max(row[2] for row in early) + 2
    assert tasks < 12 * run.max_in_flight


@pytest.mark.fault("F-60")
def test_no_more_batches_are_taken_than_the_scorer_may_have() -> None:
    """What comes in meanwhile waits in the channel, and becomes a larger batch."""
    begun: list[float] = []
    sizes: list[int] = []

    class Slow(TableScorer):
        async def score(self, samples: Sequence[Sample]) -> list[Scores]:
            begun.append(clock.now())
            sizes.append(len(samples))
            await asyncio.sleep(1.0)
            return await TableScorer.score(self, samples)

    assert len(scored(Slow(), num_sets=28)) == 28
    assert sizes == [8, 8, 8, 4]
    assert begun == [0.0, 0.0, 1.0, 1.0]


def scored(scorer: TableScorer, num_sets: int) -> list[Scored]:
    """What the stage makes of so many sets of one candidate."""

    async def main() -> list[Scored]:
        inputs, outputs = Channel[Settled]("candidates", 8), Channel[Scored]("marks", 100)
        sender, receiver = inputs.sender(), inputs.receiver()
        found = outputs.receiver()
        async with asyncio.TaskGroup() as group:
            with outputs.sender() as output:
                stage = group.create_task(score(receiver, [output], scorer, batch_seeds=8, batches_at_once=2))
                with sender:
                    for _ in range(num_sets):
                        await sender.send(sets.settled([sets.answer(0)]))
                await stage
            return [item async for item in found]

    return run_virtual(main())


def test_a_scorer_that_fails_fails_the_stage() -> None:
    """Its error comes out, whatever else is with the scorer."""

    class Broken(TableScorer):
        async def score(self, samples: Sequence[Sample]) -> list[Scores]:
            await asyncio.sleep(1.0)
            raise ScorerError("no device")

    with pytest.raises(ExceptionGroup) as caught:
        scored(Broken(), num_sets=20)
    assert caught.value.subgroup(ScorerError) is not None


@dataclass(slots=True)
class BrokenWorld(World):
    """A world whose scorer has no number for a third of the answers."""

    async def score(self, samples: Sequence[Sample]) -> list[Scores]:
        found = await World.score(self, samples)
        return [
            Scores(NOT_FINITE, NOT_FINITE) if _is_spoiled(each) else one
            for each, one in zip(samples, found, strict=True)
        ]


def _is_spoiled(sample: Sample) -> bool:
    return int(sample.response[-1]) < 3


@pytest.mark.fault("F-57")
def test_a_score_that_is_no_number_is_never_learnt_from() -> None:
    """No grade, no credit and no row comes of it, and the weights are the fold of the others."""
    run = Run(world=BrokenWorld(), store=MemoryStore(), num_seeds=60)
    run_virtual(run.start())
    spoiled = 0
    for item in run.store.log.values():
        for outcome, grade in zip(item.settled.outcomes, item.grades, strict=True):
            if isinstance(outcome, Candidate) and _is_spoiled(Sample("", outcome.response)):
                spoiled += 1
                assert (grade.gap, grade.pi_dual, grade.pi, grade.reason) == (None, None, None, "error")
                assert item.selection.pi is None or item.selection.slot != outcome.slot
    assert spoiled > 20
    log = [credits(update.graded) for update in run.store.updates]
    assert fold(uniform(POOL), log, RULE) == run.board.weights
