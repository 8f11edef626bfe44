"""Keeping one model server up: what to do when it crashes, hangs, or is to be started anew.

Laws: a server is started by nobody else while `run` runs; it is taken down, with all its processes, before it is
started again; while it is down its gate is held, so calls wait instead of failing; when it is given up that is
told once, as one error, and its gate stays held. What it did once it can do again: after a first start only its crash
rate speaks against it. Everything that acts on a process is behind `Server`.
"""

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NoReturn, Protocol

from star_agents.core import clock, rng
from star_agents.core.errors import ModelServerError
from star_agents.endpoints.servers.causes import Cause
from star_agents.endpoints.servers.gate import Gate
from star_agents.endpoints.servers.hang import HangOptions, HangWatch
from star_agents.endpoints.servers.restarts import RestartOptions, Restarts

DRAIN_LOOK_S = 0.1
"""How often a server that is drained is asked whether all its calls are in."""

log = logging.getLogger(__name__)


class ServerState(StrEnum):
    """What a server of ours is doing."""

    STARTING = "starting"
    UP = "up"
    HUNG = "hung"
    """Found to answer nothing; about to be killed."""
    RESTARTING = "restarting"
    FAILED = "failed"
    """Given up."""


class Server(Protocol):
    """A server as its supervisor handles it."""

    name: str

    async def launch(self) -> Cause | None:
        """Start it once and wait until it answers; what kept it from that, or None."""
        ...

    async def halt(self, *, gently: bool) -> None:
        """End it and all its processes: killed at once, or asked first and given time."""
        ...

    async def ended(self) -> Cause:
        """Wait until it ends by itself."""
        ...

    async def lives(self, deadline_s: float) -> bool:
        """Whether it writes a token within the deadline, or a longer one where calls wait their turn in it."""
        ...

    async def tend(self) -> None:
        """What is to be done for it from time to time; returns soon."""
        ...

    async def error(self, cause: Cause) -> ModelServerError:
        """The end of it, for a person: the cause first, and the last that it wrote."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervision:
    """How patient a supervisor is."""

    start: RestartOptions = field(default_factory=lambda: RestartOptions(max_crashes=3))
    """Of the first start, before any call was sent."""
    restarts: RestartOptions = field(default_factory=RestartOptions)
    hang: HangOptions = field(default_factory=HangOptions)
    look_s: float = 1.0
    """How often calls in flight are looked at."""
    tend_s: float = 30.0
    """How often it is tended."""
    drain_s: float = 120.0
    """How long calls out may take before a server is started anew on request."""


class Supervisor:
    """Of one server. `start` it, then `run`; `state`, `reason` and `restarts` tell how it is."""

    def __init__(self, server: Server, options: Supervision) -> None:
        self.state = ServerState.STARTING
        self.reason: str | None = None
        self.since = clock.wall()
        self.restarts = 0
        self._server = server
        self._options = options
        self._chances = Restarts(options.restarts)
        self._starts = 0
        self._wanted = asyncio.Event()
        self._settled = asyncio.Event()

    async def start(self) -> None:
        """Start the server for the first time.

        Raises:
            ModelServerError: it cannot be started, or not in so many tries.
        """
        cause = await self._server.launch()
        await self._bring_up(cause, Restarts(self._options.start))
        self._chances.came_up(clock.now())
        self._enter(ServerState.UP)

    async def run(self, gate: Gate) -> NoReturn:
        """Watch it, and start it anew for as long as there is hope.

        Raises:
            ModelServerError: there is none any more.
        """
        while True:
            waits = self._crash(), self._hang(gate), self._wish(gate), self._tend()
            state, cause = await _first_of(*waits)
            gate.hold()
            self._enter(state, cause.line)
            is_wished = self._wanted.is_set()
            await self._server.halt(gently=is_wished)
            await self._restart(None if is_wished else cause)
            gate.release()

    async def restart(self) -> None:
        """Have a running `run` wait for the calls that are out, end the server and start it; return when it is up.

        Raises:
            ModelServerError: it did not come up again.
        """
        self._settled.clear()
        self._wanted.set()
        await self._settled.wait()
        if self.state is ServerState.FAILED:
            raise ModelServerError(f"model server {self._server.name}: {self.reason}")

    async def _restart(self, cause: Cause | None) -> None:
        self.restarts += 1
        self._enter(ServerState.RESTARTING, self.reason)
        try:
            if cause is None:
                cause = await self._server.launch()
            await self._bring_up(cause, self._chances)
            self._chances.came_up(clock.now())
            self._wanted.clear()
            self._enter(ServerState.UP)
        finally:
            self._settled.set()

    async def _bring_up(self, cause: Cause | None, chances: Restarts) -> None:
        """After an end for this cause, start until it is up; `None` says that it is.

        Raises:
            ModelServerError: waiting mends nothing, or has mended nothing for too often.
        """
        while cause is not None:
            may_pass = cause.may_pass or self.restarts > 0
            pause = chances.crashed(clock.now(), self._jitter()) if may_pass else None
            if pause is None:
                self._enter(ServerState.FAILED, cause.line)
                raise await self._server.error(cause)
            log.warning("model server %s: %s; once more in %.1f s", self._server.name, cause.line, pause)
            await asyncio.sleep(pause)
            cause = await self._server.launch()

    def _jitter(self) -> float:
        self._starts += 1
        return rng.derive(0, "restart", self._server.name, self._starts).random()

    def _enter(self, state: ServerState, reason: str | None = None) -> None:
        self.state, self.reason, self.since = state, reason, clock.wall()

    async def _crash(self) -> tuple[ServerState, Cause]:
        return ServerState.RESTARTING, await self._server.ended()

    async def _hang(self, gate: Gate) -> tuple[ServerState, Cause]:
        """Return when no call is answered and no canary either."""
        options = self._options.hang
        watch = HangWatch(options)
        while True:
            await asyncio.sleep(self._options.look_s)
            before = gate.last_answer_at
            if not watch.is_suspect(clock.now(), in_flight=gate.in_flight, last_answer_at=before):
                continue
            if await self._server.lives(options.canary_s) or gate.last_answer_at != before:
                watch.passed()
            else:
                return ServerState.HUNG, Cause(f"it hangs: no answer for {watch.limit_s:.0f} s, and none to a canary")

    async def _wish(self, gate: Gate) -> tuple[ServerState, Cause]:
        """Return when somebody wants it started anew, and its calls have been waited for."""
        await self._wanted.wait()
        gate.hold()
        deadline = clock.now() + self._options.drain_s
        while gate.in_flight and clock.now() < deadline:  # noqa: ASYNC110  # a gate is only looked at
            await asyncio.sleep(DRAIN_LOOK_S)
        return ServerState.RESTARTING, Cause("started anew on request")

    async def _tend(self) -> NoReturn:
        while True:
            await asyncio.sleep(self._options.tend_s)
            await self._server.tend()


async def _first_of(*waits: Coroutine[Any, Any, tuple[ServerState, Cause]]) -> tuple[ServerState, Cause]:
    """Whatever comes first; the others are cancelled."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(wait) for wait in waits]
        for task in tasks:
            task.add_done_callback(lambda _: [other.cancel() for other in tasks])
    return next(task.result() for task in tasks if not task.cancelled())
