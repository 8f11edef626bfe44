"""The single writer of weights, memory and counters: select, update, commit, then publish.

Law: write first, publish after. No plan is ever drawn from weights that a crash could forget, and the
weights shown equal the fold of the log, bit for bit. A batch is `batch_size` seeds, or whatever came
within `linger_s` of its first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from star_agents.core.ports import Store
from star_agents.core.records import (
    Graded,
    MemoryEntry,
    Tally,
    Update,
)
from star_agents.pipeline.board import Board
from star_agents.pipeline.channel import Receiver
from star_agents.pipeline.marks import Marked
from star_agents.policy import weights as learning
from star_agents.policy.selection import GradeOptions, SelectOptions, gaps, grade, select
from star_agents.policy.tally import count
from star_agents.policy.weights import CreditRule, UpdateRule


@dataclass(frozen=True, slots=True, kw_only=True)
class EvolveOptions:
    """The choices of a run that learning needs."""

    batch_size: int
    linger_s: float
    memory_min_score: float
    normalize: Literal["candidates", "batch"] = "candidates"
    """Which largest gap Eq. 5 divides by: the seed's own, or that of the whole batch."""


@dataclass(slots=True, kw_only=True)
class Evolver:
    """Owns the tally; the weights and the memory it shows on the board."""

    board: Board
    store: Store
    rule: UpdateRule
    grading: GradeOptions
    selecting: SelectOptions
    credit: CreditRule
    options: EvolveOptions
    tally: Tally
    last: Graded | None = field(default=None)

    async def run(self, marked: Receiver[Marked]) -> None:
        """Commit batches until the input ends.

        Raises:
            StoreError: a batch could not be committed; what the board shows is still durable.
        """
        while batch := await marked.receive_batch(self.options.batch_size, linger_s=self.options.linger_s):
            update = self.decide(batch)
            await self.store.learn(update)
            self.board.publish(update.weights, update.entries, finished=len(update.graded))
            self.tally = update.tally
            self.last = update.graded[-1]

    def decide(self, batch: Sequence[Marked]) -> Update:
        """Grade and select each seed, and work out what the batch changes. Pure, but for reading the state."""
        largest = self._largest_gap(batch) if self.options.normalize == "batch" else None
        graded = tuple(self._grade(marked, largest) for marked in batch)
        return Update(
            weights=self.rule.update(self.board.weights, learning.credits(graded, credit=self.credit)),
            graded=graded,
            entries=tuple(entry for item in graded for entry in self._memories(item)),
            tally=count(self.tally, graded),
        )

    def _largest_gap(self, batch: Sequence[Marked]) -> float:
        found = (gaps(marked.settled, marked.scores, self.grading).values() for marked in batch)
        return max((gap for values in found for gap in values), default=0.0)

    def _grade(self, marked: Marked, largest: float | None) -> Graded:
        grades = grade(marked.settled, marked.scores, marked.verdicts, self.grading, largest=largest)
        return Graded(
            settled=marked.settled,
            scores=marked.scores,
            verdicts=marked.verdicts,
            grades=grades,
            selection=select(marked.settled, grades, self.selecting),
        )

    def _memories(self, item: Graded) -> list[MemoryEntry]:
        """The winner's entry for the memory bank, if a drawn pair won well enough (docs/algorithm.md section 4)."""
        plan, selection = item.settled.plan, item.selection
        pi = selection.pi or 0.0
        if selection.slot is None or not plan.embedding or pi < self.options.memory_min_score:
            return []
        winner = plan.slots[selection.slot]
        return [] if winner.is_base else [MemoryEntry(plan.seed.number, winner.pair, pi, plan.embedding)]
