"""The single writer of weights, memory and counters: select, update, commit, then publish.

Law: write first, publish after. No plan is ever drawn from weights that a crash could forget, and the
weights shown equal the fold of the log, bit for bit. One version is made at a time: a change of the pool waits
for the batch that is being committed and the next batch for the change.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from star_agents.core.errors import ConfigError
from star_agents.core.ports import Store
from star_agents.core.records import (
    Agent,
    AgentPair,
    Epoch,
    Graded,
    MemoryEntry,
    PairWeights,
    RowSource,
    Tally,
    Update,
)
from star_agents.pipeline.batches import Batches
from star_agents.pipeline.board import Board
from star_agents.pipeline.channel import Receiver
from star_agents.pipeline.drift import announce
from star_agents.pipeline.marks import Marked
from star_agents.policy import epochs
from star_agents.policy.credits import CreditOptions, credits
from star_agents.policy.drift import DriftOptions
from star_agents.policy.selection import GradeOptions, SelectOptions, gaps, grade, select
from star_agents.policy.tally import USUAL_DRIFT, count
from star_agents.policy.weights import UpdateRule

FADE = 0.999
"""What a seed leaves of the largest gap so far (`normalize: running`): half of it after about 700 seeds, so that one
freak of a scorer is not what a whole run is measured by."""

RECENT_KEPT = 6
"""Finished seeds that are held for whoever watches."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvolveOptions:
    """The choices of a run that learning needs; when batches are formed is the board's cadence."""

    memory_min_score: float
    normalize: Literal["candidates", "batch", "running"] = "candidates"
    """Which largest gap Eq. 5 divides by: the seed's own, that of the batch, or of the run so far, slowly forgotten."""
    drift: DriftOptions = USUAL_DRIFT
    """When the judge's answers to probes raise the alarm."""


@dataclass(slots=True, kw_only=True)
class Evolver:
    """Owns the tally; the weights and the memory it shows on the board."""

    board: Board
    store: Store
    rule: UpdateRule
    grading: GradeOptions
    selecting: SelectOptions
    crediting: CreditOptions
    options: EvolveOptions
    base: tuple[AgentPair, ...]
    tally: Tally
    last: Graded | None = field(default=None)
    recent: deque[Graded] = field(default_factory=lambda: deque(maxlen=RECENT_KEPT))
    """The newest seeds that left a row, oldest first; for whoever watches."""
    changes: list[Epoch] = field(default_factory=list)
    """Changes of the pool since this start, oldest first."""
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _group: asyncio.TaskGroup | None = field(default=None, init=False)

    async def run(self, marked: Receiver[Marked]) -> None:
        """Commit batches until the input ends.

        Raises:
            ExceptionGroup: of a StoreError: a version could not be committed; what the board shows is still durable.
        """
        batches = Batches(marked, self.board)
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                while batch := await batches.next():
                    async with self._writing:
                        await self._commit(self.decide(batch))
            finally:
                self._group = None

    async def change(
        self,
        *,
        add: Sequence[AgentPair] = (),
        retire: Sequence[AgentPair] = (),
        reason: str,
        agents: Sequence[Agent] = (),
        command: int | None = None,
    ) -> PairWeights:
        """Change the pool between two batches; returns the weights when the change is durable and shown.

        Whoever is cancelled while waiting has changed the pool all the same, or not at all. That the agents of a
        pair exist is for the caller to see to; `agents` are those of them that the config does not know. `command` is
        the order that asks for it, on record already.

        Raises:
            ConfigError: the change cannot be made, with every reason; or the run is over.
            StoreError: it could not be made durable; the run ends.
        """
        if self._group is None:
            raise ConfigError("the run is not running: change the pool of one that is")
        wanted = Epoch(0, tuple(add), tuple(retire), reason, tuple(agents), command)
        done = await asyncio.shield(self._group.create_task(self._change(wanted), name="change of the pool"))
        if isinstance(done, ConfigError):
            raise done
        return done

    async def _change(self, wanted: Epoch) -> PairWeights | ConfigError:
        """A refusal is a value here: raised, it would end the run."""
        async with self._writing:
            weights = self.board.weights
            epoch = replace(wanted, version=weights.version + 1)
            try:
                epochs.check(weights, epoch, base=self.base, floor=self.rule.floor)
            except ConfigError as error:
                return error
            after = epochs.apply(weights, epoch, self.rule)
            await self._commit(Update(after, (), (), epochs.count(self.tally, epoch), epoch))
            self.changes.append(epoch)
            log.warning("version %d changes the pool: %s", epoch.version, epoch.reason)
            return after

    async def _commit(self, update: Update) -> None:
        await self.store.learn(update)
        self.board.publish(update)
        announce(self.tally.probes, update.tally.probes)
        self.tally = update.tally
        if update.graded:
            self.last = update.graded[-1]
            self.recent.extend(item for item in update.graded if item.selection.source is not RowSource.DROPPED)

    def decide(self, batch: Sequence[Marked]) -> Update:
        """Grade and select each seed, and work out what the batch changes. Pure, but for reading the state."""
        largest = None if self.options.normalize == "candidates" else self._largest_gap(batch)
        graded = tuple(self._grade(marked, largest) for marked in batch)
        weights = self.board.weights
        taught = epochs.taught(weights, credits(graded, self.crediting))
        return Update(
            weights=self.rule.update(weights, taught),
            graded=graded,
            entries=tuple(entry for item in graded for entry in self._memories(item)),
            tally=replace(count(self.tally, graded, self.options.drift), largest_gap=largest or 0.0),
        )

    def _largest_gap(self, batch: Sequence[Marked]) -> float:
        """What Eq. 5 may divide by: of this batch, or with `running` of the run, which this batch is a part of."""
        found = (gaps(marked.settled, marked.scores, self.grading).values() for marked in batch)
        largest = max((gap for values in found for gap in values), default=0.0)
        if self.options.normalize != "running":
            return largest
        return max(largest, self.tally.largest_gap * FADE ** len(batch))

    def _grade(self, marked: Marked, largest: float | None) -> Graded:
        grades = grade(marked.settled, marked.scores, marked.verdicts, self.grading, largest=largest)
        return Graded(
            settled=marked.settled,
            scores=marked.scores,
            verdicts=marked.verdicts,
            grades=grades,
            selection=select(marked.settled, grades, self.selecting),
            probe=marked.probe,
        )

    def _memories(self, item: Graded) -> list[MemoryEntry]:
        """The winner's entry for the memory bank, if a drawn pair won well enough (docs/algorithm.md section 4)."""
        plan, selection = item.settled.plan, item.selection
        pi = selection.pi or 0.0
        if selection.slot is None or not plan.embedding or pi < self.options.memory_min_score:
            return []
        winner = plan.slots[selection.slot]
        return [] if winner.is_base else [MemoryEntry(plan.seed.number, winner.pair, pi, plan.embedding)]
