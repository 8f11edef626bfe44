"""The ports `Scorer` and `Embedder` over crews of worker processes: same length, same order, equal text asked once."""

import asyncio
import base64
import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from star_agents.core.records import Sample, Scores
from star_agents.scoring.child import WORKER, ChildPlan, NoRoomError
from star_agents.scoring.cores import share, usable_cores
from star_agents.scoring.crew import Crew, CrewState, MakePlan
from star_agents.scoring.fingerprint import note_scorer
from star_agents.scoring.messages import Embed, Embedded, LoadEmbedder, LoadScorer, clean
from star_agents.scoring.placement import Share, place, spread, threads
from star_agents.scoring.quarantine import Quarantine
from star_agents.scoring.sample_crew import SampleCrew, expect, split, take_back
from star_agents.scoring.settings import ScoringSettings

_log = logging.getLogger(__name__)

_TEXTS_PER_REQUEST = 256
_EMBEDDER_START_S = 600.0
_NO_ENVIRON: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """A scorer pool at a glance. `tokens_per_s` is what a worker reads while it is busy, over the pool's life.

    `not_finite` and `out_of_memory` count samples that have no score for that reason, `quarantined` those that killed
    workers, earlier starts included. `fingerprint` is what scores depend on (`scoring.fingerprint`).
    """

    state: CrewState
    workers: int
    busy: int
    queued: int
    restarts: int
    samples: int
    tokens: int
    tokens_per_s: float
    not_finite: int = 0
    out_of_memory: int = 0
    quarantined: int = 0
    fingerprint: Mapping[str, str] = field(default_factory=dict)


class ScorerPool:
    """Perplexities from worker processes, placed as `scoring.placement` says.

    An async context manager. `environ` is the control process's environment; workers are told little of it.
    Concurrent calls of `score` share the workers. In `folder`, if there is one, the pool keeps `quarantine.jsonl`
    and `scorer.jsonl`; whoever opens a pool on it again goes on with them. `quarantine` is another file for the first.

    Raises (on entering):
        ScorerError: the models cannot be loaded; the message holds the end of the worker's log.
    """

    def __init__(
        self,
        settings: ScoringSettings,
        *,
        log_dir: Path,
        folder: Path | None = None,
        quarantine: Path | None = None,
        environ: Mapping[str, str] = _NO_ENVIRON,
        command: tuple[str, ...] = WORKER,
    ) -> None:
        self._settings = settings
        self._log_dir = log_dir
        self._folder = folder
        self._environ = environ
        self._command = command
        self._quarantine = Quarantine(quarantine or (folder / "quarantine.jsonl" if folder else None))
        self._parts: list[SampleCrew] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._quarantine.load()
        try:
            await self._open(place(self._settings))
        except NoRoomError as error:
            apart = spread(self._settings, error.device_count)
            if apart is None:
                raise
            _log.warning("%s; they are put on different devices", error)
            await self._open(apart)
        if self._folder is not None:
            await self._note_scorer(self._folder / "scorer.jsonl")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def capacity(self) -> int:
        """Calls of `score` at a time that keep every worker at work: one to compute, one to prepare."""
        return 2 * max(part.crew.num_workers for part in self._parts)

    def snapshot(self) -> PoolStatus:
        """The pool as it is now."""
        crews, counts = [part.crew for part in self._parts], [part.counts for part in self._parts]
        tokens, seconds = sum(each.tokens for each in counts), sum(each.seconds for each in counts)
        return PoolStatus(
            state=next((crew.state for crew in crews if crew.state is not CrewState.READY), CrewState.READY),
            workers=sum(crew.num_workers for crew in crews),
            busy=sum(crew.busy for crew in crews),
            queued=sum(crew.queued for crew in crews),
            restarts=sum(crew.restarts for crew in crews),
            samples=max((each.samples for each in counts), default=0),
            tokens=tokens,
            tokens_per_s=tokens / seconds if seconds else 0.0,
            not_finite=sum(each.not_finite for each in counts),
            out_of_memory=sum(each.out_of_memory for each in counts),
            quarantined=len(self._quarantine),
            fingerprint=self.fingerprint,
        )

    @property
    def fingerprint(self) -> Mapping[str, str]:
        """What scores depend on. Of a large model with devices of its own, what differs is named `large_...`."""
        first, *others = (part.crew.fingerprint for part in self._parts)
        found = dict(first)
        for other in others:
            found["large"] = other.get("small", "")
            found |= {f"large_{name}": word for name, word in other.items() if word != first.get(name, word)}
            found.pop("large_small", None)
        return found

    async def score(self, samples: Sequence[Sample]) -> list[Scores]:
        """Score samples; one that kills its worker has the status `error` and the reason `worker_died`.

        Raises:
            ScorerError: no worker can be kept alive, or the pool is closed.
        """
        asked = [Sample(clean(each.instruction), clean(each.response), clean(each.context)) for each in samples]
        wanted = [sample for sample in dict.fromkeys(asked) if sample not in self._quarantine]
        batches = [part.submit(wanted) for part in self._parts]
        try:
            found = [await part.collect(own) for part, own in zip(self._parts, batches, strict=True)]
        finally:
            take_back(batch.job for own in batches for batch in own)
        return [self._joined(sample, found) for sample in asked]

    def _joined(self, sample: Sample, found: Sequence[Mapping[Sample, Scores]]) -> Scores:
        """One sample's scores from every part; one that is in quarantine was not asked about."""
        parts = [own.get(sample) or part.unscored() for part, own in zip(self._parts, found, strict=True)]
        return parts[0] if len(parts) == 1 else Scores(parts[0].small, parts[1].small)

    async def _open(self, shares: tuple[Share, ...]) -> None:
        """Start the workers of every share."""
        cores = await asyncio.to_thread(usable_cores)
        async with AsyncExitStack() as stack:
            parts = []
            for each in shares:
                crew = Crew(self._planner(each, shares, cores), each.devices, per_device=each.per_device)
                await stack.enter_async_context(crew)
                parts.append(SampleCrew(crew, self._quarantine, has_large=each.settings.large is not None))
            self._parts, self._stack = parts, stack.pop_all()

    def _planner(self, own: Share, shares: tuple[Share, ...], cores: int) -> MakePlan:
        """How the workers of a share are started."""

        def make_plan(number: int, device: str) -> ChildPlan:
            return ChildPlan(
                load=LoadScorer(own.settings, device),
                log_path=self._log_dir / f"{own.name}-{number}.log",
                timeout_s=own.settings.start_timeout_s,
                environ=self._environ,
                threads=threads(device, shares, cores),
                command=self._command,
            )

        return make_plan

    async def _note_scorer(self, file: Path) -> None:
        """Record by what the scores of this start are made, and say so where that is not what it was."""
        for change in await asyncio.to_thread(note_scorer, file, self.fingerprint):
            _log.warning("this run was scored otherwise before: %s", change)


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
        self._plan = ChildPlan(
            load=LoadEmbedder(model, device),
            log_path=log_dir / "embedder.log",
            timeout_s=_EMBEDDER_START_S,
            environ=environ,
            command=command,
        )
        self._crew = Crew(lambda _number, _device: self._plan, (device,))

    async def __aenter__(self) -> Self:
        # It works in bursts, beside scorers that are always at it: half the cores.
        self._plan = replace(self._plan, threads=share(await asyncio.to_thread(usable_cores), 2))
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
        batches = split(list(dict.fromkeys(asked)), _TEXTS_PER_REQUEST)
        jobs = [self._crew.submit(Embed(batch)) for batch in batches]
        found: dict[str, bytes] = {}
        try:
            for batch, job in zip(batches, jobs, strict=True):
                vectors = expect(Embedded, await job.outcome).vectors
                found.update(zip(batch, map(base64.b64decode, vectors), strict=True))
        finally:
            take_back(jobs)
        return [found[text] for text in asked]
