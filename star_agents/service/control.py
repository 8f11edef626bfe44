"""What may be asked of a run from outside, at any moment of its life: the verbs behind the HTTP face.

Law: every verb says what it came to or why not, and asking twice does no more than asking once: a paused run that is
paused stays so, a drain that was ordered goes on. Nothing is done to a run that is not there yet, or no more.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from star_agents.core.errors import NotNowError
from star_agents.core.records import Agent
from star_agents.service.engine import Engine
from star_agents.service.picture import pool_change
from star_agents.service.pool_request import PoolRequest
from star_agents.service.status import Phase, PoolChange, RunStatus

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

    async def change_pool(self, request: PoolRequest) -> PoolChange:
        """Add and retire agents and pairs; see `Engine.change_pool`."""
        return pool_change(await self._running().change_pool(request))

    def pause(self) -> Phase:
        """Take in no more seeds until `resume`; what is planned is finished."""
        return self._move(Phase.PAUSED)

    def resume(self) -> Phase:
        """Take in seeds again."""
        return self._move(Phase.RUNNING)

    def drain(self) -> Phase:
        """Finish what is planned, export, and end: what the first SIGTERM does."""
        self._running(but_draining=True)
        self._levers.move(Phase.DRAINING)
        return self.status().phase

    def _move(self, phase: Phase) -> Phase:
        self._running()
        if self.status().phase is not phase:
            log.warning("on request: %s", phase)
            self._levers.move(phase)
        return self.status().phase

    def _running(self, *, but_draining: bool = False) -> Engine:
        """The run, where it can be steered."""
        engine, phase = self._levers.engine(), self.status().phase
        steerable = {Phase.RUNNING, Phase.PAUSED, *([Phase.DRAINING] if but_draining else [])}
        if engine is None or phase not in steerable:
            raise NotNowError(f"the run is {phase}: this can be done to one that is running or paused")
        return engine
