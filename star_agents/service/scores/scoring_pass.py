"""Scoring a data set: blocks of rows stream through the scorers, and become durable in order.

Laws: what a scorer is asked in one call is one block, and a row is always in the same block, so a pass that was
interrupted asks as an unbroken one does. Blocks are written in the order of the data set, however they are finished.
At most `in_flight` blocks are anywhere between the file that is read and the file that is written, so memory does not
grow with the data set, and a slow scorer or disk holds up the reading.
"""

import asyncio
from asyncio import Task, TaskGroup
from collections.abc import Callable
from dataclasses import dataclass

from star_agents.core.errors import SeedError
from star_agents.core.ports import Scorer
from star_agents.core.records import Sample, Scores, Seed
from star_agents.storage.row_blocks import RowBlock, RowBlocks, UnusableRow
from star_agents.storage.score_journal import ScoredBlock, ScoreJournal, Standing
from star_agents.storage.score_rows import RowShape, is_scored
from star_agents.storage.seeds import tolerated_rows

BLOCK_ROWS = 64
"""Rows of a block: few enough that a kill costs little on a slow machine, and some packs of a worker all the same."""

SPARE_BLOCKS = 2
"""Blocks in flight above those that the scorer has room for: one that is read, one that is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringPass:
    """One pass over the rest of a data set. `tell` hears after each block how far the output has come."""

    blocks: RowBlocks
    scorer: Scorer
    journal: ScoreJournal
    shape: RowShape
    in_flight: int
    tell: Callable[[Standing], None]

    async def run(self) -> None:
        """Score every block that is left.

        Raises:
            ExceptionGroup: of a SeedError (the data cannot be read on, or too many rows are unusable), a ScorerError
                (the models cannot be run) or a StoreError (the disk refuses).
        """
        pending: asyncio.Queue[tuple[RowBlock, Task[list[Scores]]] | None] = asyncio.Queue()
        room = asyncio.Semaphore(self.in_flight)
        async with TaskGroup() as group:
            group.create_task(self._read(group, pending, room))
            while (item := await pending.get()) is not None:
                block, scoring = item
                await self._write(block, await scoring)
                room.release()

    async def _read(
        self,
        group: TaskGroup,
        pending: "asyncio.Queue[tuple[RowBlock, Task[list[Scores]]] | None]",
        room: asyncio.Semaphore,
    ) -> None:
        """Put block after block to the scorer, as far as there is room."""
        seen, unusable = self.journal.standing.rows, self.journal.standing.unusable
        await room.acquire()
        while (block := await self.blocks.read()) is not None:
            seen += len(block.rows)
            unusable += block.num_unusable
            _check_usable(block, seen, unusable)
            samples = [Sample(seed.instruction, seed.response, seed.context) for seed in block.seeds]
            pending.put_nowait((block, group.create_task(self.scorer.score(samples))))
            await room.acquire()
        pending.put_nowait(None)

    async def _write(self, block: RowBlock, scores: list[Scores]) -> None:
        scored = to_scored(block, scores, self.shape)
        await asyncio.to_thread(self.journal.append, scored)
        self.tell(self.journal.standing)


def to_scored(block: RowBlock, scores: list[Scores], shape: RowShape) -> ScoredBlock:
    """A block's rows with the scores of those that can be used, in the form that is kept."""
    left = iter(scores)
    rows = [(row, next(left) if isinstance(row, Seed) else None) for row in block.rows]
    return ScoredBlock(
        first=block.first,
        rows=len(rows),
        unusable=block.num_unusable,
        unscored=sum(1 for score in scores if not is_scored(score)),
        lines=b"".join(shape.line(row, score) for row, score in rows),
    )


def _check_usable(block: RowBlock, seen: int, unusable: int) -> None:
    """Stop at a data set of which too much is not what it should be."""
    if block.num_unusable and unusable > tolerated_rows(seen):
        last = [row for row in block.rows if isinstance(row, UnusableRow)][-1]
        told = f"{last.place}: {last.reason}; {unusable} of {seen} rows are unusable"
        raise SeedError(f"{told}: mend them, or check the format")
