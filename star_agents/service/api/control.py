"""What may be asked of a run from outside, at any moment of its life: the verbs behind the HTTP face.

Law: every verb says what it came to or why not, and asking twice does no more than asking once: a paused run that is
paused stays so, a drain that was ordered goes on. Nothing is done to a run that is not there yet, or no more. What
changes something is an order, on record before it takes effect (`service.run.orders`).
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from star_agents.core.errors import NotNowError
from star_agents.core.records import Agent
from star_agents.service.changes.pool_request import PoolRequest
from star_agents.service.changes.retune import RetuneRequest, Value
from star_agents.service.run.engine import Engine
from star_agents.service.run.inbox import Fed
from star_agents.service.run.orders import Act, Asker, digest_of
from star_agents.service.run.picture import pool_change
from star_agents.service.run.timeline import Sample
from star_agents.service.view.metrics import Health, render
from star_agents.service.view.status import OVER, Phase, PoolChange, RunStatus
from star_agents.service.view.tail import RowShape, Tail
from star_agents.storage import browse
from star_agents.storage.commands import Command, Order, Verb, read_commands
from star_agents.storage.rows import FinishedRow
from star_agents.storage.weight_history import Version, read_history

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CastStatus:
    """Who takes part: agents by name, base pairs, and the pool with its weights."""

    version: int
    instruction: dict[str, Agent]
    response: dict[str, Agent]
    base: tuple[str, ...]
    pool: dict[str, float]
    changes: tuple[PoolChange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Levers:
    """What the life of a run lets others see and do."""

    status: Callable[[], RunStatus]
    engine: Callable[[], Engine | None]
    """None before everything is open."""
    move: Callable[[Phase], None]
    """Take the run to PAUSED, RUNNING or DRAINING."""
    health: Callable[..., Health]
    """`Vitals.health`."""
    timeline: Callable[[int], list[Sample]] = lambda _: []
    """`Timeline.after`."""
    wal: Path | None = None
    """The store's write-ahead log, whose size is a figure."""
    store: Path | None = None
    """The database of a run that nobody runs, to be looked at without an engine; None: the engine's own."""


class Control:
    """Reads and steers one run. All methods are for the loop that the run is on.

    Raises (all that change something):
        NotNowError: the run is starting, draining or over.
    """

    def __init__(self, levers: Levers) -> None:
        self._levers = levers

    def status(self) -> RunStatus:
        """A snapshot, at any moment."""
        return self._levers.status()

    async def metrics(self) -> bytes:
        """A snapshot as Prometheus reads it."""
        return await asyncio.to_thread(self._render, self.status())

    def _render(self, status: RunStatus) -> bytes:
        wal = self._levers.wal
        size = wal.stat().st_size if wal is not None and wal.exists() else 0
        return render(status, self._levers.health(wal_bytes=size))

    def cast(self) -> CastStatus:
        """Who takes part now."""
        engine = self._running()
        weights = engine.board.weights
        return CastStatus(
            version=weights.version,
            instruction=dict(engine.inputs.agents.instruction),
            response=dict(engine.inputs.agents.response),
            base=tuple(map(str, engine.inputs.base)),
            pool={str(pair): p for pair, p in zip(weights.pairs, weights.p, strict=True)},
            changes=tuple(map(pool_change, engine.changes)),
        )

    async def change_pool(self, by: Asker, request: PoolRequest) -> PoolChange:
        """Add and retire agents and pairs; see `Engine.change_pool`."""

        async def act(number: int) -> int:
            return (await self._running().change_pool(request, command=number)).version

        version = await self._obey(Verb.AGENTS, by, act, request.model_dump(exclude_defaults=True))
        return next(pool_change(each) for each in self._begun().changes if each.version == version)

    async def retune(self, by: Asker, request: RetuneRequest) -> dict[str, Value]:
        """Set limits and ceilings for the rest of this start; see `Engine.retune`."""

        async def act(_: int) -> None:
            self._running(but_draining=True).retune(request)

        await self._obey(Verb.RETUNE, by, act, {"values": request.values}, but_draining=True)
        return request.values

    async def feed(self, by: Asker, rows: list[object], *, at: int | None) -> int:
        """Take seeds in; returns how many were fed then. They are durable, and planned in their turn."""

        async def act(number: int) -> int:
            return await self._running().source.feed(Fed(rows, command=number), at=at)

        body = {"rows": len(rows), "at": at, "sha256": await asyncio.to_thread(digest_of, rows)}
        return int(await self._obey(Verb.SEEDS, by, act, body))

    async def commands(self, after: int) -> tuple[Command, ...]:
        """The orders after one, a thousand at most."""
        return await asyncio.to_thread(read_commands, self._database(), after=after)

    def tail(self, after: int, shape: RowShape) -> Tail:
        """What reads the finished rows after a sequence number."""
        return Tail(self._database(), after=after, shape=shape)

    async def history(self, after: int, *, step: int = 1) -> tuple[Version, ...]:
        """The versions of the weights after one that `step` divides, a thousand at most."""
        return await asyncio.to_thread(read_history, self._database(), after=after, step=step)

    def timeline(self, after: int) -> list[Sample]:
        """How the run went over time, from a sample on."""
        return self._levers.timeline(after)

    async def page(self, first: int, limit: int) -> tuple[int, tuple[FinishedRow, ...]]:
        """How many rows are finished, and some of them by number."""
        database = self._database()
        last = await asyncio.to_thread(browse.last_row, database)
        return last, await asyncio.to_thread(browse.read_page, database, first=first, limit=limit)

    async def row(self, number: int) -> tuple[FinishedRow, tuple[browse.Called, ...]] | None:
        """One finished row with its calls."""
        return await asyncio.to_thread(browse.read_row, self._database(), number)

    async def number_of_seed(self, seed: int) -> int | None:
        """The number of the row that a seed led to."""
        return await asyncio.to_thread(browse.number_of_seed, self._database(), seed)

    async def points(self, limit: int) -> tuple[browse.ScorePoint, ...]:
        """The scores of the newest rows' candidates under both models."""
        return await asyncio.to_thread(browse.read_points, self._database(), limit=limit)

    def committed(self) -> int:
        """The newest version of the weights: it moves with every batch that is durable."""
        if self._levers.store is not None:
            return self.status().weights_version
        return self._begun().board.weights.version

    def is_over(self) -> bool:
        """Whether every row that this start will ever commit is committed."""
        return self.status().phase in OVER

    async def pause(self, by: Asker) -> Phase:
        """Take in no more seeds until `resume`; what is planned is finished."""
        return await self._move(Verb.PAUSE, by, Phase.PAUSED)

    async def resume(self, by: Asker) -> Phase:
        """Take in seeds again."""
        return await self._move(Verb.RESUME, by, Phase.RUNNING)

    async def drain(self, by: Asker) -> Phase:
        """Finish what is planned, export, and end: what the first SIGTERM does."""
        return await self._move(Verb.DRAIN, by, Phase.DRAINING)

    async def _move(self, verb: Verb, by: Asker, phase: Phase) -> Phase:
        is_drain = phase is Phase.DRAINING

        async def act(_: int) -> Phase:
            self._running(but_draining=is_drain)
            if self.status().phase is not phase:
                log.warning("on request: %s", phase)
                self._levers.move(phase)
            return self.status().phase

        return Phase(await self._obey(verb, by, act, but_draining=is_drain))

    async def _obey(
        self, verb: Verb, by: Asker, act: Act, body: Mapping[str, Any] | None = None, *, but_draining: bool = False
    ) -> Any:  # noqa: ANN401  # plain data
        """Give an order to the run, where it can be steered."""
        orders = self._running(but_draining=but_draining).orders
        return await orders.obey(Order(verb=verb, actor=by.actor, body=body or {}, key=by.key), act)

    def _begun(self) -> Engine:
        """The run, where there is one to look at."""
        engine = self._levers.engine()
        if engine is None:
            raise NotNowError("the run is starting; ask again when /readyz says so")
        return engine

    def _database(self) -> Path:
        return self._levers.store or self._begun().job.folder.database

    def _running(self, *, but_draining: bool = False) -> Engine:
        """The run, where it can be steered."""
        engine, phase = self._levers.engine(), self.status().phase
        steerable = {Phase.RUNNING, Phase.PAUSED, *([Phase.DRAINING] if but_draining else [])}
        if engine is None or phase not in steerable:
            raise NotNowError(f"the run is {phase}: this can be done to one that is running or paused")
        return engine
