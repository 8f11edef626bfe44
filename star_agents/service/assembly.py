"""The only room with doors to every wing: from a job to parts that work together, and back down.

Parts open in the order in which they need each other and close in the reverse order: the store, then the
models (scorers and servers, side by side), then the endpoints. Nothing here decides anything.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

from star_agents.endpoints.fleet import Fleet
from star_agents.endpoints.local import LocalServer, sweep
from star_agents.endpoints.spec import LocalServerSpec
from star_agents.pipeline.ask import Asker
from star_agents.pipeline.board import Board
from star_agents.pipeline.evolve import EvolveOptions, Evolver
from star_agents.pipeline.generate import Generator
from star_agents.pipeline.graph import Graph, Stages
from star_agents.pipeline.judge import Judge
from star_agents.pipeline.plan import Planner
from star_agents.policy import tally
from star_agents.policy.memory import MemoryBank
from star_agents.policy.sampling import DrawOptions
from star_agents.policy.selection import GradeOptions, SelectOptions
from star_agents.policy.weights import PaperRule, auto_rate, uniform
from star_agents.scoring.pool import EmbedderPool, ScorerPool
from star_agents.scoring.settings import ScoringSettings
from star_agents.scoring.zoo import resolve
from star_agents.service import wiring
from star_agents.service.engine import Engine
from star_agents.service.job import Inputs, Job, check_folder, gather_inputs
from star_agents.service.settings import LocalEndpoint, MemorySection, Settings
from star_agents.service.together import opened_together
from star_agents.storage.recovery import Recovered
from star_agents.storage.seeds import Seeds, open_seeds
from star_agents.storage.store import RunStore

Report = Callable[[str], None]
"""Takes one line that says what is being waited for."""


@asynccontextmanager
async def assembled(job: Job, report: Report) -> AsyncIterator[Engine]:
    """Open every part of a run and yield them joined; close them when the block is left.

    Raises:
        StarError: a part cannot be had; those opened before it are closed.
        ExceptionGroup: of such errors, from parts that open side by side.
    """
    settings = job.settings
    report("reading the seeds")
    inputs = await gather_inputs(settings, job.environ)
    await asyncio.to_thread(check_folder, job, inputs)
    async with await RunStore.open(job.folder.database, inputs.manifest) as store:
        recovered = await store.load(capacity=settings.memory.capacity)
        source, limit = await _open_source(job, inputs, recovered)
        report("starting the scorers and the model servers")
        await sweep(job.folder.path)
        async with opened_together(_models(job)) as opened:
            models = Models.sort(opened)
            specs = [
                wiring.endpoint_spec(name, section, inputs.secrets.get(name), models.servers.get(name))
                for name, section in settings.endpoints.items()
            ]
            async with Fleet(specs, settings.run.seed) as fleet:
                report("asking every endpoint whether it is there")
                await fleet.preflight()
                memory = await asyncio.to_thread(_remembered, settings.memory, recovered)
                yield _join(job, inputs, recovered, Opened(store, source, limit, models, fleet, memory))


@dataclass(frozen=True, slots=True)
class Models:
    """What runs in processes of its own."""

    scorer: ScorerPool
    embedder: EmbedderPool | None
    servers: Mapping[str, LocalServer]

    @classmethod
    def sort(cls, opened: Sequence[object]) -> Self:
        """Tell what `opened_together` gave back apart."""
        (scorer,) = (part for part in opened if isinstance(part, ScorerPool))
        embedders = [part for part in opened if isinstance(part, EmbedderPool)]
        servers = {part.name: part for part in opened if isinstance(part, LocalServer)}
        return cls(scorer, embedders[0] if embedders else None, servers)


@dataclass(frozen=True, slots=True)
class Opened:
    """The open parts of a run."""

    store: RunStore
    source: Seeds
    limit: int
    models: Models
    fleet: Fleet
    memory: MemoryBank


async def _open_source(job: Job, inputs: Inputs, recovered: Recovered) -> tuple[Seeds, int]:
    """The seeds that no earlier start has planned, and the number at which this start ends."""
    start, limit = recovered.standing.next_seed, inputs.num_seeds
    if job.limit is not None:
        limit = min(limit, start + job.limit)
    seeds = job.settings.seeds
    return await open_seeds(seeds.path, row_format=seeds.format, start=start, limit=limit), limit


def _models(job: Job) -> list[AbstractAsyncContextManager[Any]]:
    """Everything that takes long to start, not started yet."""
    scoring, memory = job.settings.scoring, job.settings.memory
    settings = ScoringSettings(
        small=resolve(scoring.small, job.cache_dir),
        large=resolve(scoring.large, job.cache_dir) if scoring.large else None,
        device=scoring.device,
        dtype=scoring.dtype,
        max_tokens=scoring.max_tokens,
        ifd=scoring.ifd,
        template=scoring.template,
    )
    parts: list[AbstractAsyncContextManager[Any]] = [
        ScorerPool(settings, log_dir=job.folder.logs, environ=job.environ),
        *(LocalServer(_server_spec(job, name, section), job.folder.path) for name, section in _local(job.settings)),
    ]
    if memory.embedder is not None:
        model = resolve(memory.embedder, job.cache_dir)
        parts.append(EmbedderPool(model, log_dir=job.folder.logs, environ=job.environ))
    return parts


def _server_spec(job: Job, name: str, section: LocalEndpoint) -> LocalServerSpec:
    model = resolve(section.model, job.cache_dir)
    return wiring.server_spec(name, section, model=model, environ=job.environ)


def _local(settings: Settings) -> list[tuple[str, LocalEndpoint]]:
    return [(name, section) for name, section in settings.endpoints.items() if isinstance(section, LocalEndpoint)]


def _remembered(section: MemorySection, recovered: Recovered) -> MemoryBank:
    """The memory bank as the last start left it. Blocks, for seconds where it is large."""
    memory = MemoryBank(section.capacity, section.neighbours, section.min_similarity)
    for entry in recovered.entries:
        memory.add(entry)
    return memory


def _join(job: Job, inputs: Inputs, recovered: Recovered, opened: Opened) -> Engine:
    """Wire the open parts."""
    settings, standing = job.settings, recovered.standing
    begun = uniform(inputs.pool)
    in_flight = wiring.max_in_flight(settings, opened.fleet.total_concurrency)
    board = Board(standing.weights or begun, opened.memory, max_in_flight=in_flight)
    asker = Asker(opened.fleet, opened.store, recovered.replies)
    evolver = _evolver(settings, inputs, recovered, board, opened.store)
    grading = evolver.grading
    stages = Stages(
        planner=Planner(
            board=board,
            store=opened.store,
            source=opened.source,
            embedder=opened.models.embedder,
            completer=opened.fleet,
            agents=inputs.agents,
            base=inputs.base,
            judge_endpoint=settings.judge.endpoint,
            options=DrawOptions(
                pairs_per_seed=settings.sampling.pairs_per_seed,
                from_memory=settings.sampling.from_memory,
                replacement=settings.sampling.replacement,
            ),
            run_seed=settings.run.seed,
        ),
        generator=Generator(
            asker=asker,
            prompts=inputs.prompts,
            agents=inputs.agents,
            share_rewrites=settings.sampling.share_rewrites,
            run_seed=settings.run.seed,
        ),
        scorer=opened.models.scorer,
        judge=Judge(
            asker=asker,
            prompts=inputs.prompts,
            agent=inputs.judge,
            grading=grading,
            swap=settings.judge.swap,
            is_lazy=settings.judge.policy == "lazy",
            run_seed=settings.run.seed,
        ),
        evolver=evolver,
    )
    return Engine(
        job=job,
        inputs=inputs,
        reopened=recovered.open_plans,
        weights_at_start=begun,
        spent_before=standing.spend,
        limit=opened.limit,
        skipped_before=standing.next_seed - standing.finished - standing.in_flight,
        graph=Graph(stages, board),
        board=board,
        evolver=evolver,
        fleet=opened.fleet,
        scorer=opened.models.scorer,
        servers=tuple(opened.models.servers.values()),
        source=opened.source,
    )


def _evolver(settings: Settings, inputs: Inputs, recovered: Recovered, board: Board, store: RunStore) -> Evolver:
    section = settings.evolution
    rate = auto_rate(settings.sampling.pairs_per_seed, inputs.num_seeds) if section.rate == "auto" else section.rate
    allow_truncated = settings.selection.truncated == "allow"
    tallied = recovered.standing.tally
    return Evolver(
        board=board,
        store=store,
        rule=PaperRule(rate=rate, floor=section.floor),
        grading=GradeOptions(allow_truncated=allow_truncated),
        selecting=SelectOptions(fallback=settings.selection.fallback, min_score=settings.selection.min_score),
        credit=section.credit,
        options=EvolveOptions(
            batch_size=section.batch_size,
            linger_s=section.linger_s,
            memory_min_score=settings.memory.min_score,
            normalize=settings.scoring.normalize,
        ),
        tally=tallied if tallied.pairs else tally.start(inputs.base, inputs.pool),
    )
