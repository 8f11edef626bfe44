"""A model server that we start, keep up and end.

Law: whichever way its block is left, no process of it is left behind. What a start is: `endpoints/servers/launcher.py`;
what becomes of a server that crashes or hangs: `endpoints/servers/supervisor.py`; docs/engines.md tells people.
"""

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from star_agents.core.secret import Secret
from star_agents.endpoints.servers import orphans
from star_agents.endpoints.servers.gate import Gate, NoGate
from star_agents.endpoints.servers.launcher import Launcher, Machine, make_key
from star_agents.endpoints.servers.supervisor import ServerState, Supervision, Supervisor
from star_agents.endpoints.spec import EndpointSpec, LocalServerSpec

log = logging.getLogger(__name__)


async def sweep(run_dir: Path) -> int:
    """End the model servers that a killed run of this folder left behind; return how many processes that was."""
    swept = await asyncio.to_thread(orphans.sweep, run_dir)
    if swept:
        log.warning("%s: ended %d processes of model servers that an earlier run had left", run_dir, swept)
    return swept


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """A server of ours as a person watches it."""

    name: str
    state: ServerState
    since: str
    """Wall time at which it came into that state."""
    reason: str | None
    """Why it is not up, or what it waits for."""
    restarts: int
    pid: int | None
    log_path: str


class LocalServer:
    """Enter it to start the server, have somebody run `supervise`, leave it to end the server."""

    def __init__(
        self,
        spec: LocalServerSpec,
        run_dir: Path,
        *,
        machine: Machine | None = None,
        supervision: Supervision | None = None,
        key: Secret | None = None,
    ) -> None:
        self.name = spec.name
        self._launcher = Launcher(spec, run_dir, machine or Machine(), key or make_key())
        self._supervisor = Supervisor(self._launcher, supervision or Supervision())

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start it and wait until it answers; where that fails nothing of it is left.

        Raises:
            ModelServerError: it does not come up.
        """
        try:
            await self._launcher.prepare()
            await self._supervisor.start()
        except BaseException:
            await self._launcher.close(gently=False)
            raise

    async def stop(self) -> None:
        """End it: asked first, then killed."""
        await self._launcher.close(gently=True)

    @property
    def engine(self) -> str:
        """`vllm` or `transformers`; known once it has started."""
        return self._launcher.installed.engine

    @property
    def base_url(self) -> str:
        """Where it answers; the same after every restart."""
        return self._launcher.base_url

    def endpoint(self, spec: EndpointSpec) -> EndpointSpec:
        """The endpoint as given, pointed at this server and fitted to its engine."""
        return self._launcher.endpoint(spec)

    def status(self) -> ServerStatus:
        """A snapshot; cheap."""
        watched = self._supervisor
        return ServerStatus(
            name=self.name,
            state=watched.state,
            since=watched.since,
            reason=self._launcher.waiting or watched.reason,
            restarts=watched.restarts,
            pid=self._launcher.child.pid,
            log_path=str(self._launcher.child.log.path),
        )

    async def starting(self) -> str | None:
        """How far its start is, in a line for a person; None once it is up."""
        if self._supervisor.state is not ServerState.STARTING:
            return None
        return f"model server {self.name}: {await self._launcher.progress()}"

    async def supervise(self, gate: Gate | None = None) -> NoReturn:
        """Start it anew whenever it crashes or hangs; `gate` is its replica in the fleet.

        Raises:
            ModelServerError: it is given up; its cause, its log and the last lines of it are named.
        """
        await self._supervisor.run(gate or NoGate())

    async def restart(self) -> None:
        """While `supervise` runs: hold its gate, wait for the calls that are out, end it and start it again.

        Raises:
            ModelServerError: it did not come up.
        """
        await self._supervisor.restart()

    def kill(self) -> None:
        """End the server at once, without waiting for it."""
        self._launcher.child.kill()
