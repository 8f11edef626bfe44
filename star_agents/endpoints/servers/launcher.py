"""One model server as a process: started as often as need be, always on the same port and under the same key.

Laws: it listens on the loopback interface alone; it counts as started when it has written a token, not when
it says that it is healthy; after `halt` no process of it is left, and what a killed run left is ended first.
"""

import asyncio
import json
import secrets
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from star_agents.core import clock
from star_agents.core.errors import ModelServerError
from star_agents.core.secret import Secret
from star_agents.endpoints.servers import engines, gpu_memory
from star_agents.endpoints.servers.canary import Canary
from star_agents.endpoints.servers.causes import Cause, cause_of
from star_agents.endpoints.servers.child import Child
from star_agents.endpoints.servers.engines import Installation
from star_agents.endpoints.servers.guard import Guard
from star_agents.endpoints.servers.port import HeldPort, free_port
from star_agents.endpoints.servers.turns import Turns
from star_agents.endpoints.spec import EndpointSpec, LocalServerSpec

QUOTED_LINES = 20
"""Of the log, in an error."""
MAX_TOLD = 160
"""Characters of a log's last line that are told while a server starts."""
STOP_MARGIN_S = 5.0
"""vLLM drains for as long as it is told; then it still has to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the servers of a run share, and how they ask the machine about itself."""

    turns: Turns = field(default_factory=Turns)
    read_memory: gpu_memory.ReadMemory = gpu_memory.nvidia_smi
    memory_wait_s: float = 120.0
    choose_port: Callable[[], int] = free_port


def make_key() -> Secret:
    """A key for servers of ours; replicas of one endpoint share it."""
    return Secret(secrets.token_urlsafe(32), origin="made for this start")


class Launcher:
    """Implements `supervisor.Server`; `prepare` it first, `close` it in the end."""

    def __init__(self, spec: LocalServerSpec, run_dir: Path, machine: Machine, key: Secret) -> None:
        self.name = spec.name
        self.child = Child(spec.name, run_dir)
        self.waiting: str | None = None
        """What a start waits for, in words."""
        self.installed = Installation("transformers")
        self._spec = spec
        self._machine = machine
        self._key = key
        self._guard = Guard(run_dir, spec.name)
        self._port: HeldPort | None = None
        self._port_number = 0
        self._spawned_at: float | None = None

    async def prepare(self) -> None:
        """End what an earlier run left, take a port, and look which engine there is.

        Raises:
            ModelServerError: there is no port, no interpreter or no engine.
        """
        await self.child.clear()
        await self._guard.open()
        self._port = HeldPort(self._machine.choose_port)
        self._port_number = self._port.number
        self.installed = await probed(self._spec)

    async def close(self, *, gently: bool) -> None:
        """End the server and give its port back."""
        try:
            await self.halt(gently=gently)
        finally:
            if self._port is not None:
                self._port.close()
            await self._guard.close()

    @property
    def base_url(self) -> str:
        """Where it answers, from `prepare` on."""
        return f"http://{engines.HOST}:{self._port_number}/v1"

    def endpoint(self, spec: EndpointSpec) -> EndpointSpec:
        """The endpoint as given, pointed at this server and fitted to its engine."""
        is_vllm = self.installed.engine == "vllm"
        return replace(
            spec,
            base_urls=(self.base_url,),
            model=engines.served_name(self._spec, self.installed),
            label=engines.public_name(self._spec),
            api=self._spec.api,
            api_key=self._key if is_vllm else None,
            extra_body={**({} if is_vllm else engines.TRANSFORMERS_BODY), **spec.extra_body},
            lists_models=is_vllm,
        )

    async def progress(self) -> str:
        """How far a start is: what it waits for, or its time so far and the last line of its log, without the key."""
        if self.waiting or self._spawned_at is None:
            return self.waiting or "preparing"
        last = next((line.strip() for line in reversed(await self._tail()) if line.strip()), "nothing logged yet")
        elapsed_s = clock.now() - self._spawned_at
        return f"{elapsed_s:.0f} of at most {self._spec.start_s:.0f} s; {self._key.mask(last)[:MAX_TOLD]}"

    async def launch(self) -> Cause | None:
        """See `supervisor.Server`. Waits for its turn and for memory; `start_s` is counted from there."""
        devices, share = engines.claimed_gpus(self._spec, self.installed)
        self.waiting = "waiting for its turn: another server starts on the same device"
        async with self._machine.turns.of(self._spec.gpus):
            await gpu_memory.wait_until_free(
                self._machine.read_memory, devices, share, bound_s=self._machine.memory_wait_s, tell=self._tell
            )
            cause = await self._launch_once()
            if cause is not None:
                await self.halt(gently=False)
        return cause

    async def halt(self, *, gently: bool) -> None:
        """See `supervisor.Server`."""
        margin_s = STOP_MARGIN_S if self.installed.drains else 0.0
        await self.child.stop(self._spec.stop_s + margin_s if gently else 0.0)

    async def ended(self) -> Cause:
        """See `supervisor.Server`."""
        code = await self.child.wait()
        why = await self._cause(code)
        return replace(why, line=f"{why.line} (it ended by itself with code {code})")

    async def lives(self, deadline_s: float) -> bool:
        """See `supervisor.Server`."""
        return await self._canary().lives(deadline_s * engines.CANARY_PATIENCE[self.installed.engine])

    async def tend(self) -> None:
        """Keep its log from growing for ever."""
        await asyncio.to_thread(self.child.log.rotate)

    async def error(self, cause: Cause) -> ModelServerError:
        """See `supervisor.Server`."""
        said = self._key.mask("\n".join((await self._tail())[-QUOTED_LINES:]))
        return ModelServerError(
            f"model server {self.name} ({self._spec.model}, {self.installed.engine}): {self._key.mask(cause.line)}; "
            f"the last of {self.child.log.path}:\n{said or '(nothing)'}"
        )

    async def _launch_once(self) -> Cause | None:
        key = self._key.reveal() if self.installed.engine == "vllm" else None
        environ = engines.environment(self._spec, self.installed, key)
        await self.child.spawn(engines.command(self._spec, self.installed, self._port_number), environ)
        self._spawned_at = clock.now()
        try:
            async with asyncio.timeout(self._spec.start_s):
                complaint = await self._answers()
        except TimeoutError:
            return Cause(f"it did not answer within {self._spec.start_s:g} s", may_pass=False)
        if complaint:
            known = cause_of([complaint], None)
            words = complaint if known.may_pass else known.line
            return Cause(f"it does not answer as it should: {words}", may_pass=False)
        if self.child.is_running:  # if it has ended, what answered was somebody else
            return None
        code = await self.child.wait()
        why = await self._cause(code)
        return replace(why, line=f"{why.line} (it ended with code {code} before it answered)")

    async def _answers(self) -> str | None:
        """Wait until it answers or ends; what is wrong with its answer, if anything is."""
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(self._canary().until_it_answers(self._spec.start_s))
            ending = group.create_task(self.child.wait())
            asking.add_done_callback(lambda _: ending.cancel())
            ending.add_done_callback(lambda _: asking.cancel())
        return None if asking.cancelled() else asking.result()

    def _canary(self) -> Canary:
        return Canary(self.endpoint(EndpointSpec(name=self.name, base_urls=(), model="")))

    async def _cause(self, code: int) -> Cause:
        return cause_of(await self._tail(), code)

    async def _tail(self) -> list[str]:
        return await asyncio.to_thread(self.child.log.tail)

    def _tell(self, waiting: str | None) -> None:
        self.waiting = waiting


async def probed(spec: LocalServerSpec) -> Installation:
    """What the server's interpreter can serve with.

    Raises:
        ModelServerError: there is no such interpreter, or no engine in it.
    """
    python, environ = spec.python, engines.environment(spec, Installation("transformers"), None)
    try:
        probe = await asyncio.create_subprocess_exec(
            python, "-c", engines.PROBE, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, env=environ
        )
    except OSError as error:
        raise ModelServerError(f"model server {spec.name}: cannot run {python}: {error.strerror}") from None
    try:
        written, _ = await probe.communicate()
    finally:
        if probe.returncode is None:
            probe.kill()
            await probe.wait()
    try:
        found: dict[str, Any] = json.loads(written)
    except ValueError:
        raise ModelServerError(f"model server {spec.name}: {python} is not a Python interpreter") from None
    return engines.installation(spec, found)
