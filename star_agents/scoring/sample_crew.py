"""A crew that scores: one `Scores` a sample, in order, whatever a sample does to the workers.

A request that has killed two workers is halved, and its halves are, until what kills is alone: log2(n) restarts, not
n. That sample is put in quarantine and has a status; its neighbours have their scores. Halves share the crew's line
with everything else, so other calls go on meanwhile.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from star_agents.core.errors import ScorerError, WorkerDiedError
from star_agents.core.records import ModelScore, Sample, Scores, ScoreStatus
from star_agents.scoring.crew import Crew
from star_agents.scoring.messages import Score, Scored
from star_agents.scoring.post import Job, Outcome
from star_agents.scoring.quarantine import Quarantine

_log = logging.getLogger(__name__)

T = TypeVar("T")

SAMPLES_PER_REQUEST = 32
"""Enough to sort by length; few enough that workers share a call, and that a cancelled one is soon done with."""

NOT_FINITE_ALARM = 0.001
"""The share of scores that are no numbers above which something is wrong with a model, not with samples."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples at the crew."""

    samples: tuple[Sample, ...]
    job: Job


@dataclass(slots=True)
class Counts:
    """What a crew has done so far; `seconds` are those in which workers computed."""

    samples: int = 0
    tokens: int = 0
    seconds: float = 0.0
    not_finite: int = 0
    out_of_memory: int = 0


class SampleCrew:
    """Puts samples to a crew of scorers, and finds those that kill. `has_large` is whether each scores twice."""

    def __init__(self, crew: Crew, quarantine: Quarantine, *, has_large: bool) -> None:
        self.crew = crew
        self.counts = Counts()
        self._quarantine = quarantine
        self._has_large = has_large
        self._is_alarmed = False

    def submit(self, samples: Sequence[Sample]) -> list[Batch]:
        """Put samples in line; `collect` what becomes of them, or `take_back` their jobs."""
        return [self._put(batch) for batch in split(samples, SAMPLES_PER_REQUEST)]

    async def collect(self, batches: Sequence[Batch]) -> dict[Sample, Scores]:
        """Wait for the scores of batches.

        Raises:
            ScorerError: no worker can be kept alive, or the crew is closed.
        """
        found: dict[Sample, Scores] = {}
        for batch in batches:
            found.update(zip(batch.samples, await self._settled(batch), strict=True))
        return found

    def _put(self, samples: tuple[Sample, ...], *, is_part: bool = False) -> Batch:
        """A part has one life, as it comes of what has had two; of a part of one sample the death is no surprise."""
        job = self.crew.submit(Score(samples), lives=1 if is_part else 2, is_part=is_part and len(samples) > 1)
        return Batch(samples, job)

    async def _settled(self, batch: Batch) -> Sequence[Scores]:
        """Scores of a batch, or of its halves where it has killed its workers."""
        outcome = await batch.job.outcome
        if not isinstance(outcome, WorkerDiedError):
            return self._count(expect(Scored, outcome))
        if len(batch.samples) == 1:
            await self._quarantine.add(batch.samples[0], str(outcome))
            return [self.unscored()]
        middle = len(batch.samples) // 2
        halves = [self._put(half, is_part=True) for half in (batch.samples[:middle], batch.samples[middle:])]
        try:
            return [scores for half in halves for scores in await self._settled(half)]
        finally:
            take_back(half.job for half in halves)

    def unscored(self) -> Scores:
        """What is recorded of a sample that no worker survives."""
        score = ModelScore(ScoreStatus.ERROR, reason=WorkerDiedError.reason)
        return Scores(score, score if self._has_large else None)

    def _count(self, scored: Scored) -> Sequence[Scores]:
        """Note what a reply took and what came of it."""
        counts = self.counts
        counts.samples += len(scored.scores)
        counts.tokens += scored.num_tokens
        counts.seconds += scored.seconds
        for scores in scored.scores:
            reasons = {scores.small.reason, scores.large.reason if scores.large else None}
            counts.not_finite += "not_finite" in reasons
            counts.out_of_memory += "out_of_memory" in reasons
        if not self._is_alarmed and counts.not_finite > NOT_FINITE_ALARM * counts.samples:
            self._is_alarmed = True
            _log.error(
                "scores that are not finite: %d of %d so far; look at the weights, or take another scoring.dtype",
                counts.not_finite,
                counts.samples,
            )
        return scored.scores


def split(items: Sequence[T], size: int) -> list[tuple[T, ...]]:
    """The items in order, in tuples of at most `size`."""
    return [tuple(items[start : start + size]) for start in range(0, len(items), size)]


def take_back(jobs: Iterable[Job]) -> None:
    """Cancel what is not settled: nobody waits for it any more."""
    for job in jobs:
        job.outcome.cancel()


def expect(kind: type[T], outcome: Outcome) -> T:
    """The reply that answers a request of ours, or the error there is instead."""
    if isinstance(outcome, ScorerError):
        raise outcome
    assert isinstance(outcome, kind)  # noqa: S101  # workers answer in kind
    return outcome
