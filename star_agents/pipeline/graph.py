r"""The stages and the channels between them, as they are wired.

    plan --[plans]--> generate --[candidates]--> score --[marks]--> join --[marked]--> evolve
      ^                        \--[candidates]--> judge --/                              |
      +------------------------------ board: weights and memory, version N <------------+

With lazy judging the judge needs the scores first, so its channel comes from `score` instead.

Law: shutting down is closing. Each stage ends because its input ended, and its own ends close with it,
whichever way it ends. `drain` ends the first stage only; `cut` also ends the two that call models, whose
unfinished seeds stay open in the store: an endpoint that is down must not hold up a stop. A stage that raises
takes the others down with it.
"""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from star_agents.core.ports import Scorer
from star_agents.core.records import Plan, Settled
from star_agents.pipeline.board import Board
from star_agents.pipeline.channel import BrokenChannelError, Channel, ChannelStatistics, Receiver, Sender
from star_agents.pipeline.evolve import Evolver
from star_agents.pipeline.generate import Generator
from star_agents.pipeline.judge import Judge
from star_agents.pipeline.marks import Judged, Marked, Scored, join
from star_agents.pipeline.plan import Planner
from star_agents.pipeline.score import score

BATCH_SEEDS = 8
"""Most seeds scored in one call: some fifty candidates, enough to fill packs, few enough to be back soon."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """The parts a graph joins."""

    planner: Planner
    generator: Generator
    scorer: Scorer
    judge: Judge
    evolver: Evolver
    batches_at_once: int = 2
    """Batches that keep the scorer at work: for each of its workers one to compute and one to prepare."""


class Graph:
    """Runs the stages from the first plan to the last commit; runs once."""

    def __init__(self, stages: Stages, board: Board, *, most_in_flight: int | None = None) -> None:
        """`most_in_flight` is what the board's number will never be above, where it is not to stay as it is."""
        self._stages = stages
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._most_in_flight = in_flight = most_in_flight or board.max_in_flight
        self.plans = Channel[Plan]("plans", 1)
        self.candidates = Channel[Settled]("candidates", max(2 * BATCH_SEEDS, in_flight // 4))
        self.unjudged = Channel[Settled | Scored]("unjudged", self.candidates.statistics().capacity)
        self.marks = Channel[Scored | Judged]("marks", in_flight)
        self.marked = Channel[Marked]("marked", board.cadence.batch_size)

    async def run(self, reopened: Sequence[Plan] = ()) -> None:
        """Run until the source ends or the graph is drained; returns when everything received is committed.

        Raises:
            ExceptionGroup: a stage failed; the others were cancelled.
        """
        stages, workers = self._stages, self._most_in_flight
        settled = [self.candidates.sender()]
        scored: list[Sender[Any]] = [self.marks.sender()]
        unjudged: Sender[Any] = self.unjudged.sender()
        (scored if stages.judge.is_lazy else settled).append(unjudged)
        plans, plan_input = self.plans.sender(), self.plans.receiver()
        candidates, to_judge = self.candidates.receiver(), self.unjudged.receiver()
        judged: Sender[Any] = self.marks.sender()
        marks = self.marks.receiver()
        marked, to_evolve = self.marked.sender(), self.marked.receiver()
        async with asyncio.TaskGroup() as group:
            self._start(group, "plan", stages.planner.run(plans, reopened), plans)
            generating = stages.generator.run(plan_input, settled, num_workers=workers)
            self._start(group, "generate", generating, plan_input, *settled)
            depth = stages.batches_at_once
            scoring = score(candidates, scored, stages.scorer, batch_seeds=BATCH_SEEDS, batches_at_once=depth)
            self._start(group, "score", scoring, candidates, *scored)
            judging = stages.judge.run(to_judge, judged, num_workers=workers)
            self._start(group, "judge", judging, to_judge, judged)
            self._start(group, "join", join(marks, marked), marks, marked)
            self._start(group, "evolve", stages.evolver.run(to_evolve), to_evolve)

    def _start(
        self, group: asyncio.TaskGroup, name: str, stage: Coroutine[Any, Any, None], *ends: Sender[Any] | Receiver[Any]
    ) -> None:
        """Start a stage that owns `ends`: they close when it ends, even if it is cancelled before its first step."""
        task = group.create_task(_while_wanted(stage), name=name)
        self._tasks[name] = task

        def close(_: asyncio.Task[None]) -> None:
            stage.close()  # cancelled before its first step, it was never begun
            for end in ends:
                end.close()
            log.debug("stage %s ended", name)

        task.add_done_callback(close)

    def drain(self) -> None:
        """Take in no more seeds; what is planned is finished."""
        self._cancel("plan")

    def cut(self) -> None:
        """Give up every call to a model as well; those seeds stay open for the next start, replies and all."""
        for stage in ("plan", "generate", "judge"):
            self._cancel(stage)

    def _cancel(self, name: str) -> None:
        task = self._tasks.get(name)
        if task is not None:
            task.cancel()

    def statistics(self) -> tuple[ChannelStatistics, ...]:
        """Every channel, in the order in which seeds pass."""
        channels = (self.plans, self.candidates, self.unjudged, self.marks, self.marked)
        return tuple(channel.statistics() for channel in channels)


async def _while_wanted(stage: Coroutine[Any, Any, None]) -> None:
    """Run a stage to its end, or until nobody listens to it: then the stage after it was cut or has failed."""
    try:
        await stage
    except* BrokenChannelError:
        log.debug("a stage ended because nobody listens to it any more")
