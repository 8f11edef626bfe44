"""The only room with doors to every wing: from a job to parts that work together, and back down.

Parts open in the order in which they need each other and close in the reverse order: the store, then the
models (scorers and servers, side by side), then the endpoints. Nothing here decides anything.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from star_agents.core.ports import Completer, Scorer, Store
from star_agents.core.records import MemoryEntry
from star_agents.endpoints.choice_probe import settled
from star_agents.endpoints.descriptors import fitted
from star_agents.endpoints.fleet import Fleet
from star_agents.endpoints.purse import Purse
from star_agents.endpoints.servers.launcher import Machine
from star_agents.endpoints.servers.local import sweep
from star_agents.endpoints.servers.replicas import LocalReplicas
from star_agents.endpoints.spec import EndpointSpec
from star_agents.pipeline.board import Board
from star_agents.pipeline.evolve import Evolver
from star_agents.pipeline.graph import Graph
from star_agents.policy.memory import MemoryBank
from star_agents.policy.weights import uniform
from star_agents.scoring.pool import EmbedderPool, ScorerPool
from star_agents.scoring.settings import ScoringSettings
from star_agents.scoring.zoo import resolve
from star_agents.service.config import wiring
from star_agents.service.config.settings import LocalEndpoint, MemorySection, Settings
from star_agents.service.run.ended import forget_ended
from star_agents.service.run.engine import Engine, seeds_by_source
from star_agents.service.run.feed import FedSeeds
from star_agents.service.run.follow import Follower
from star_agents.service.run.going_on import check_folder
from star_agents.service.run.inbox import Inbox
from star_agents.service.run.intake import Intake, Outlook, worst_seed
from star_agents.service.run.job import Inputs, Job, gather_inputs
from star_agents.service.run.orders import Orders, open_orders
from star_agents.service.run.pool_resume import check_open
from star_agents.service.run.sizing import Sizer
from star_agents.service.run.stages import Ports, board_of, evolver_of, stages_of
from star_agents.service.run.start_report import start_report
from star_agents.service.run.start_told import start_told
from star_agents.service.run.together import opened_together
from star_agents.service.telemetry.opening import watching
from star_agents.service.telemetry.traced import Watch, WatchedCompleter, WatchedScorer, WatchedStore
from star_agents.service.view.bill import spent_on
from star_agents.service.view.status import CHECKING
from star_agents.storage import failpoints
from star_agents.storage.recovery import Recovered
from star_agents.storage.seeds import open_seeds
from star_agents.storage.store import RunStore
from star_agents.traffic.budget import Budget

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
    failpoints.arm(job.environ.get(failpoints.VARIABLE))
    report(CHECKING)
    inputs = await gather_inputs(settings, job.environ)
    inputs = await asyncio.to_thread(check_folder, job, inputs)
    await asyncio.to_thread(forget_ended, job.folder.path)  # not before: a start that is refused changes nothing
    async with await RunStore.open(job.folder.database, inputs.manifest) as store:
        recovered = await store.load(capacity=settings.memory.capacity, allow_missing=job.allow_missing)
        check_open(recovered.open_plans, inputs.agents)
        for line in start_report(recovered):
            report(line)
        source = await _open_source(job, inputs, recovered)
        orders = await open_orders(job, store)
        follower = await _follower(job, source)
        report("starting the scorers and the model servers")
        await sweep(job.folder.path)
        parts = await asyncio.to_thread(_models, job)
        told = start_told([part for part in parts if isinstance(part, LocalReplicas)], report)
        begun = f"{settings.run.name} {recovered.standing.manifest.created}"
        async with watching(settings.telemetry, begun) as watch, opened_together([*parts, told]) as opened:
            models = Models.sort(opened)
            specs = await _specs(settings, inputs, models)
            purse = _purse(settings, recovered)
            async with Fleet(specs, settings.run.seed, purse=purse) as fleet:
                report("asking every endpoint whether it is there")
                await fleet.preflight()
                report("filling the memory bank")
                memory = await asyncio.to_thread(_remembered, settings.memory, recovered.entries)
                recovered = replace(recovered, entries=())  # the bank has them, and this lives as long as the run
                opened_parts = Opened(store, source, orders, follower, models, fleet, purse, memory, watch)
                yield _join(job, inputs, recovered, opened_parts)


@dataclass(frozen=True, slots=True)
class Models:
    """What runs in processes of its own."""

    scorer: ScorerPool
    embedder: EmbedderPool | None
    servers: Mapping[str, LocalReplicas]

    @classmethod
    def sort(cls, opened: Sequence[object]) -> Self:
        """Tell what `opened_together` gave back apart."""
        (scorer,) = (part for part in opened if isinstance(part, ScorerPool))
        embedders = [part for part in opened if isinstance(part, EmbedderPool)]
        servers = {part.name: part for part in opened if isinstance(part, LocalReplicas)}
        return cls(scorer, embedders[0] if embedders else None, servers)


@dataclass(frozen=True, slots=True)
class Opened:
    """The open parts of a run."""

    store: RunStore
    source: FedSeeds
    orders: Orders
    follower: Follower | None
    models: Models
    fleet: Fleet
    purse: Purse
    memory: MemoryBank
    watch: Watch | None


async def _open_source(job: Job, inputs: Inputs, recovered: Recovered) -> FedSeeds:
    """The seeds that no earlier start has planned: those of the file, then those that are fed."""
    section, next_seed = job.settings.seeds, recovered.standing.next_seed
    inbox = Inbox(job.folder.inbox)
    await asyncio.to_thread(inbox.open)
    file = None
    if section.path is not None:
        file = await open_seeds(section.path, row_format=section.format, start=next_seed, limit=section.limit)
    keep_alive = job.settings.service.keep_alive and job.limit is None
    return FedSeeds(file, inbox, num_rows=inputs.num_seeds, next_seed=next_seed, keep_alive=keep_alive)


async def _follower(job: Job, source: FedSeeds) -> Follower | None:
    """What feeds the run from a file that grows; what lies there already is taken in."""
    section = job.settings.seeds
    if section.follow is None:
        return None
    follower = Follower(path=Path(section.follow), source=source, row_format=section.format)
    await follower.catch_up()
    return follower


async def _specs(settings: Settings, inputs: Inputs, models: Models) -> list[EndpointSpec]:
    """What the fleet is told: as configured, within this process's means, and as the judge's server can be asked."""
    specs = [
        wiring.endpoint_spec(name, section, inputs.secrets[name], models.servers.get(name))
        for name, section in settings.endpoints.items()
    ]
    chooses = settings.judge.endpoint if settings.judge.verdict == "choice" else None
    return [await settled(spec) if spec.name == chooses else spec for spec in fitted(specs)]


def _purse(settings: Settings, recovered: Recovered) -> Purse:
    """The run's money, with what earlier starts have spent taken out."""
    spent = spent_on(recovered.standing.spend, wiring.prices_of(settings))
    return Purse(Budget(settings.budget.usd, settings.budget.tokens, spent))


def _models(job: Job) -> list[AbstractAsyncContextManager[Any]]:
    """Everything that takes long to start, not started yet."""
    scoring, memory = job.settings.scoring, job.settings.memory
    settings = ScoringSettings(
        small=resolve(scoring.small, job.cache_dir),
        large=resolve(scoring.large, job.cache_dir) if scoring.large else None,
        device=scoring.device,
        large_device=scoring.large_device,
        workers=scoring.workers,
        dtype=scoring.dtype,
        max_tokens=scoring.max_tokens,
        ifd=scoring.ifd,
        template=scoring.template,
    )
    machine = Machine()
    parts: list[AbstractAsyncContextManager[Any]] = [
        ScorerPool(settings, log_dir=job.folder.logs, folder=job.folder.path, environ=job.environ),
        *(_replicas(job, name, section, machine) for name, section in _local(job.settings)),
    ]
    if memory.embedder is not None:
        model = resolve(memory.embedder, job.cache_dir)
        parts.append(EmbedderPool(model, log_dir=job.folder.logs, device=memory.device, environ=job.environ))
    return parts


def _replicas(job: Job, name: str, section: LocalEndpoint, machine: Machine) -> LocalReplicas:
    model = resolve(section.model, job.cache_dir)
    specs = wiring.server_specs(name, section, model=model, environ=job.environ)
    return LocalReplicas(name, specs, job.folder.path, machine=machine)


def _local(settings: Settings) -> list[tuple[str, LocalEndpoint]]:
    return [(name, section) for name, section in settings.endpoints.items() if isinstance(section, LocalEndpoint)]


def _remembered(section: MemorySection, entries: Sequence[MemoryEntry]) -> MemoryBank:
    """The memory bank as the last start left it. Blocks, for minutes where it is large (docs/policy.md)."""
    memory = MemoryBank(section.capacity, section.neighbours, section.min_similarity)
    with ThreadPoolExecutor() as threads:
        memory.fill(entries, threads.map)
    return memory


def _join(job: Job, inputs: Inputs, recovered: Recovered, opened: Opened) -> Engine:
    """Wire the open parts."""
    settings, standing = job.settings, recovered.standing
    begun = uniform(inputs.pool)
    bounds = wiring.in_flight_bounds(settings)
    in_flight = wiring.first_in_flight(settings, bounds, opened.fleet.total_limit)
    board = board_of(settings, inputs, standing.weights or begun, opened.memory, max_in_flight=in_flight)
    completer, scorer, store = _watched(settings, opened)
    evolver = evolver_of(settings, inputs, board, store, standing.tally)
    intake = Intake(opened.source, _outlook(job, inputs, board, evolver, opened.purse), limit=job.limit)
    ports = Ports(
        completer=completer,
        store=store,
        source=intake,
        scorer=scorer,
        embedder=opened.models.embedder,
        recorded=recovered.replies,
        idle_shares=opened.fleet.idle_shares,
        batches_at_once=opened.models.scorer.capacity,
    )
    stages = stages_of(settings, inputs, ports, evolver)
    return Engine(
        job=job,
        inputs=inputs,
        reopened=recovered.open_plans,
        weights_at_start=begun,
        begun=standing,
        lost=recovered.lost,
        spend=standing.spend,
        purse=opened.purse,
        intake=intake,
        graph=Graph(stages, board, most_in_flight=bounds.at_most),
        sizer=Sizer(board, opened.fleet.snapshot, lambda: evolver.last, bounds),
        board=board,
        evolver=evolver,
        fleet=opened.fleet,
        scorer=opened.models.scorer,
        servers=tuple(opened.models.servers.values()),
        store=opened.store,
        source=opened.source,
        follower=opened.follower,
        orders=opened.orders,
    )


def _watched(settings: Settings, opened: Opened) -> tuple[Completer, Scorer, Store]:
    """The ports as the stages get them."""
    fleet, scorer, store, watch = opened.fleet, opened.models.scorer, opened.store, opened.watch
    if watch is None:
        return fleet, scorer, store
    models = {name: section.model for name, section in settings.endpoints.items()}
    return WatchedCompleter(fleet, models, watch), WatchedScorer(scorer, watch), WatchedStore(store, watch)


def _outlook(job: Job, inputs: Inputs, board: Board, evolver: Evolver, purse: Purse) -> Outlook:
    return Outlook(
        budget=purse.budget,
        worst=worst_seed(job.settings, inputs, board.weights.pairs),
        num_open=lambda: board.num_out,  # what waits to be learnt from spends no more
        num_finished=lambda: sum(seeds_by_source(evolver.tally).values()) + board.num_waiting,
    )
