"""The ports `Scorer` and `Embedder` over crews of worker processes: same length, same order, equal text asked once.

A sample that kills the worker it is given to is found by scoring its batch one by one, and is recorded as an error;
its neighbours get their scores.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self, TypeVar

from star_agents.core.errors import ScorerError, WorkerDiedError
from star_agents.core.records import (
    ModelScore,
    Sample,
    Scores,
    ScoreStatus,
)
from star_agents.scoring.child import WORKER, ChildPlan
from star_agents.scoring.crew import Crew, CrewState, Job, Outcome
from star_agents.scoring.messages import Embed, Embedded, LoadEmbedder, LoadScorer, Score, Scored, clean
from star_agents.scoring.settings import ScoringSettings

T = TypeVar("T")

_SAMPLES_PER_REQUEST = 32
"""Enough to sort by length; few enough that workers share a call, and that a cancelled one is soon done with."""

_TEXTS_PER_REQUEST = 256
_EMBEDDER_START_S = 600.0
_NO_ENVIRON: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """A scorer pool at a glance. `tokens_per_s` is what a worker reads while it is busy, over the pool's life."""

    state: CrewState
    workers: int
    busy: int
    queued: int
    restarts: int
    samples: int
    tokens: int
    tokens_per_s: float


class ScorerPool:
    """Perplexities from worker processes, one a device, each with the small and the large model.

    An async context manager. `environ` is the control process's environment; workers are told little of it.
    Concurrent calls of `score` share the workers.

    Raises (on entering):
        ScorerError: the models cannot be loaded; the message holds the end of the worker's log.
    """

    def __init__(
        self,
        settings: ScoringSettings,
        *,
        log_dir: Path,
        environ: Mapping[str, str] = _NO_ENVIRON,
        command: tuple[str, ...] = WORKER,
    ) -> None:
        def make_plan(number: int, device: str) -> ChildPlan:
            return ChildPlan(
                load=LoadScorer(settings, device),
                log_path=log_dir / f"scorer-{number}.log",
                timeout_s=settings.start_timeout_s,
                environ=environ,
                command=command,
            )

        self._crew = Crew(make_plan, tuple(settings.device.split(",")))
        self._has_large = settings.large is not None
        self._samples = 0
        self._tokens = 0
        self._seconds = 0.0

    async def __aenter__(self) -> Self:
        await self._crew.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._crew.__aexit__(kind, error, trace)

    def snapshot(self) -> PoolStatus:
        """The pool as it is now."""
        return PoolStatus(
            state=self._crew.state,
            workers=self._crew.num_workers,
            busy=self._crew.busy,
            queued=self._crew.queued,
            restarts=self._crew.restarts,
            samples=self._samples,
            tokens=self._tokens,
            tokens_per_s=self._tokens / self._seconds if self._seconds else 0.0,
        )

    async def score(self, samples: Sequence[Sample]) -> list[Scores]:
        """Score samples; one that kills its worker has the status `error` and the reason `worker_died`.

        Raises:
            ScorerError: no worker can be kept alive, or the pool is closed.
        """
        asked = [Sample(clean(each.instruction), clean(each.response), clean(each.context)) for each in samples]
        batches = _split(list(dict.fromkeys(asked)), _SAMPLES_PER_REQUEST)
        jobs = [self._crew.submit(Score(batch)) for batch in batches]
        found: dict[Sample, Scores] = {}
        try:
            for batch, job in zip(batches, jobs, strict=True):
                found.update(zip(batch, await self._settled(batch, job), strict=True))
        finally:
            _take_back(jobs)
        return [found[sample] for sample in asked]

    async def _settled(self, batch: tuple[Sample, ...], job: Job) -> Sequence[Scores]:
        """Scores of a batch, of which each sample is tried alone where the batch has killed its workers."""
        outcome = await job.outcome
        if not isinstance(outcome, WorkerDiedError):
            return self._count(_expect(Scored, outcome))
        if len(batch) == 1:
            return [self._poisoned()]
        singles = [self._crew.submit(Score((sample,)), lives=1) for sample in batch]
        try:
            return [(await self._settled((sample,), single))[0] for sample, single in zip(batch, singles, strict=True)]
        finally:
            _take_back(singles)

    def _count(self, scored: Scored) -> Sequence[Scores]:
        """Note what a reply took."""
        self._samples += len(scored.scores)
        self._tokens += scored.num_tokens
        self._seconds += scored.seconds
        return scored.scores

    def _poisoned(self) -> Scores:
        """What is recorded of a sample that no worker survives."""
        score = ModelScore(ScoreStatus.ERROR, reason=WorkerDiedError.reason)
        return Scores(score, score if self._has_large else None)


class EmbedderPool:
    """Instruction embeddings from one worker process. An async context manager, like `ScorerPool`.

    Raises (on entering):
        ScorerError: the model cannot be loaded.
    """

    def __init__(
        self,
        model: str,
        *,
        log_dir: Path,
        device: str = "cpu",
        environ: Mapping[str, str] = _NO_ENVIRON,
        command: tuple[str, ...] = WORKER,
    ) -> None:
        plan = ChildPlan(
            load=LoadEmbedder(model, device),
            log_path=log_dir / "embedder.log",
            timeout_s=_EMBEDDER_START_S,
            environ=environ,
            command=command,
        )
        self._crew = Crew(lambda _number, _device: plan, (device,))

    async def __aenter__(self) -> Self:
        await self._crew.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._crew.__aexit__(kind, error, trace)

    async def embed(self, texts: Sequence[str]) -> list[bytes]:
        """Embed texts; unit vectors of little-endian float32.

        Raises:
            ScorerError: the worker cannot be kept alive, or the pool is closed.
        """
        asked = [clean(text) for text in texts]
        batches = _split(list(dict.fromkeys(asked)), _TEXTS_PER_REQUEST)
        jobs = [self._crew.submit(Embed(batch)) for batch in batches]
        found: dict[str, bytes] = {}
        try:
            for batch, job in zip(batches, jobs, strict=True):
                vectors = _expect(Embedded, await job.outcome).vectors
                found.update(zip(batch, map(base64.b64decode, vectors), strict=True))
        finally:
            _take_back(jobs)
        return [found[text] for text in asked]


def _split(items: Sequence[T], size: int) -> list[tuple[T, ...]]:
    """The items in order, in tuples of at most `size`."""
    return [tuple(items[start : start + size]) for start in range(0, len(items), size)]


def _take_back(jobs: Sequence[Job]) -> None:
    """Cancel what is not settled: nobody waits for it any more."""
    for job in jobs:
        job.outcome.cancel()


def _expect(kind: type[T], outcome: Outcome) -> T:
    """The reply that answers a request of ours, or the error there is instead."""
    if isinstance(outcome, ScorerError):
        raise outcome
    assert isinstance(outcome, kind)  # noqa: S101  # workers answer in kind
    return outcome
