"""`star-agents score`, from a data set to a file of scores and a chosen part: begun, gone on with, or found finished.

Law: run again after any end, the same job goes on, and what it leaves is the same, byte for byte. The state is in the
files alone: a part file is unfinished work, a file with a note that fits it is finished, and a chosen part is written
only from finished scores.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from star_agents.core.errors import ConfigError, SeedError
from star_agents.core.ports import Scorer
from star_agents.service.run.blocking import Look, interruptible, opened
from star_agents.service.run.causes import leading
from star_agents.service.scores.choosing import Choice, Ranking, Selection
from star_agents.service.scores.identity import ScoreSpec, check_same, identity, with_scorer
from star_agents.service.scores.progress import Observer, ScoreProgress, ScoreStatus
from star_agents.service.scores.scoring_pass import SPARE_BLOCKS, ScoringPass
from star_agents.service.scores.summary import ScoreTally
from star_agents.storage.row_blocks import RowBlocks
from star_agents.storage.score_files import Note, discard_scores, finished_note, publish_scores
from star_agents.storage.score_journal import Header, ScoreJournal
from star_agents.storage.score_rows import RowShape
from star_agents.storage.seeds import open_seeds, row_file
from star_agents.storage.subset import publish_subset

log = logging.getLogger(__name__)


class Workload(Protocol):
    """What a pool of scorers has done."""

    @property
    def tokens(self) -> int:
        """Tokens that the models have read."""
        ...


class CrewedScorer(Scorer, Protocol):
    """A scorer with workers: see `scoring.pool.ScorerPool`."""

    @property
    def capacity(self) -> int:
        """Calls at a time that keep every worker at work."""
        ...

    @property
    def fingerprint(self) -> Mapping[str, str]:
        """What the scores depend on besides the samples."""
        ...

    def snapshot(self) -> Workload:
        """What it has done up to now."""
        ...


OpenScorer = Callable[[], AbstractAsyncContextManager[CrewedScorer]]
"""Loads the models; only called where there is something left to score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreJob:
    """What the user asked for. `selected_out` is where the chosen rows go, if any are to be chosen."""

    data: str
    out: Path
    spec: ScoreSpec
    fresh: bool = False
    selection: Selection | None = None
    selected_out: Path | None = None

    @property
    def part(self) -> Path:
        """The unfinished output."""
        return part_path(self.out)

    @property
    def shape(self) -> RowShape:
        """The fields of a row."""
        return RowShape(has_large=self.spec.large is not None, has_texts=self.spec.texts)


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """What a job came to. `choice` is None where nothing was to be chosen; `status` is how this start ended."""

    report: Mapping[str, Any]
    choice: Choice | None
    status: ScoreStatus


def part_path(out: Path) -> Path:
    """Where the unfinished output of `out` lies."""
    return out.with_name(f"{out.name}.part")


async def run_score(job: ScoreJob, open_scorer: OpenScorer, observe: Observer) -> ScoreResult:
    """Do what is left of a job, drawing with `observe` all the while. Cancelled, it keeps what is durable.

    Raises:
        ConfigError: `out` or its part is of something else, or a file is in the way.
        RunInUseError: another process is at the same output.
        SeedError: the data set cannot be read, or too many of its rows are unusable.
        ScorerError: the models cannot be run.
        StoreError: the disk refuses.
    """
    progress = ScoreProgress()
    try:
        async with asyncio.TaskGroup() as group:
            observer = group.create_task(observe(progress.status))
            try:
                report, choice = await _do(job, open_scorer, progress)
            finally:
                observer.cancel()
    except ExceptionGroup as failures:
        raise leading(failures) from failures
    return ScoreResult(report, choice, progress.status())


async def _do(
    job: ScoreJob, open_scorer: OpenScorer, progress: ScoreProgress
) -> tuple[Mapping[str, Any], Choice | None]:
    """The report on the scores, and what was chosen of them."""
    progress.enter(f"reading {job.data}")
    header = await _identify(job)
    note = await interruptible(lambda _: _find_finished(job, header))
    if note is None:
        note = await _score(job, header, open_scorer, progress)
    if job.selection is None:
        return note.report, None
    progress.enter("choosing rows")
    return note.report, await interruptible(lambda look: _choose(job, look))


async def _identify(job: ScoreJob) -> dict[str, Any]:
    """See that the data set is one, and note what the scores will be of."""
    seeds = await open_seeds(job.data)
    digest, count = await seeds.sha256(), await seeds.count()
    return await asyncio.to_thread(identity, job.spec, data_sha256=digest, num_rows=count)


def _find_finished(job: ScoreJob, header: Header) -> Note | None:
    """The note of this job's finished output; None where there is still something to do."""
    if not job.out.exists():
        return None
    note = finished_note(job.out)
    if note is None:
        raise ConfigError(
            f"--out {job.out}: is there already, and not as `score` left it: move it away, or name another"
        )
    if job.fresh:
        return None
    check_same(note.header, header, job.out)
    if job.part.exists():  # the last start was killed between finishing the one and dropping the other
        with closing(ScoreJournal(job.part, fresh=True)) as journal:
            journal.discard()
    return note


async def _score(job: ScoreJob, header: Header, open_scorer: OpenScorer, progress: ScoreProgress) -> Note:
    """Score what is left, and turn the part file into the finished one."""
    async with opened(lambda: ScoreJournal(job.part, fresh=job.fresh)) as journal:
        if journal.header is not None:
            check_same(journal.header, header, job.out)
        if journal.num_cut:
            log.warning("%s: cut off %d bytes that a crash had torn", job.part, journal.num_cut)
        progress.resume(journal.standing, header["rows"])
        if journal.standing.rows < header["rows"]:
            progress.enter("loading the models")
            async with open_scorer() as scorer:
                await _fill(job, journal, header, scorer, progress)
            await asyncio.to_thread(_check_unchanged, job, header, journal)
        progress.enter(f"writing {job.out}")
        return await interruptible(lambda look: _publish(job, journal, look))


async def _fill(
    job: ScoreJob, journal: ScoreJournal, header: Header, scorer: CrewedScorer, progress: ScoreProgress
) -> None:
    """Score the rows that the journal lacks."""
    told = with_scorer(header, scorer.fingerprint)
    if journal.header is None:
        await asyncio.to_thread(_begin, job, journal, told)
    else:
        check_same(journal.header, told, job.out)
    progress.begin(lambda: scorer.snapshot().tokens)
    scoring = ScoringPass(
        blocks=RowBlocks(row_file(job.data), size=job.spec.block_rows, start=journal.standing.rows),
        scorer=scorer,
        journal=journal,
        shape=job.shape,
        in_flight=scorer.capacity + SPARE_BLOCKS,
        tell=progress.tell,
    )
    await scoring.run()
    progress.end()


def _begin(job: ScoreJob, journal: ScoreJournal, header: Header) -> None:
    if job.fresh:
        discard_scores(job.out)
    journal.begin(header)


def _check_unchanged(job: ScoreJob, header: Header, journal: ScoreJournal) -> None:
    """See that what was read is what the header says; scores of something between the two are worth nothing."""
    if row_file(job.data).digest() != header["data_sha256"]:
        journal.discard()
        raise SeedError(f"{job.data}: was changed while it was scored: leave it alone, and run the same command again")


def _publish(job: ScoreJob, journal: ScoreJournal, look: Look) -> Note:
    def blocks() -> Iterator[bytes]:
        for block in journal.blocks():
            look()
            yield block.lines

    assert journal.header is not None  # noqa: S101  # there is no row without one
    note = publish_scores(job.out, job.shape, journal.header, blocks(), ScoreTally())
    journal.discard()
    return note


def _choose(job: ScoreJob, look: Look) -> Choice:
    """Rank the finished rows, and write those that are chosen."""
    assert job.selection is not None  # noqa: S101  # asked for before
    assert job.selected_out is not None  # noqa: S101  # given with it
    ranking = Ranking(job.selection)
    for row in row_file(str(job.out)).rows(0):
        look()
        ranking.add(cast("dict[str, Any]", row.value))
    choice = ranking.choose()
    publish_subset(job.selected_out, row_file(job.data), choice.numbers, look)
    return choice
