"""A model server that we start and end.

Laws: it listens on the loopback interface alone; it counts as started when it has generated a token, not when
it says that it is healthy; whichever way the block is left, no process of it is left behind, and what a killed
run did leave is found by its mark and ended first.
"""

import asyncio
import json
import logging
import secrets
import socket
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from star_agents.core.calls import (
    CallKey,
    Message,
    Purpose,
    Request,
    SamplingParams,
)
from star_agents.core.errors import (
    ConnectFailedError,
    ConnectionLostError,
    EmptyReplyError,
    ModelServerError,
    OverloadedError,
    StarError,
    TimedOutError,
)
from star_agents.core.secret import Secret
from star_agents.endpoints import engines, orphans
from star_agents.endpoints.child import Child
from star_agents.endpoints.client import ReplicaClient
from star_agents.endpoints.openai import decode, encode
from star_agents.endpoints.spec import EndpointSpec, LocalServerSpec, Timeouts

POLL_S = 0.25
"""How often a starting server is asked whether it answers."""
PORT_TRIES = 3
"""A free port may be taken by somebody else between our look at it and the server's."""

_PING = Request(CallKey(0, Purpose.RESPOND, 0), "", (Message("user", "Hello"),), SamplingParams(max_tokens=1), 0)
_NOT_YET = (ConnectFailedError, ConnectionLostError, OverloadedError, TimedOutError)
"""What a server may do that is still loading."""

log = logging.getLogger(__name__)


async def sweep(run_dir: Path) -> int:
    """End the model servers that a killed run of this folder left behind; return how many processes that was."""
    swept = await asyncio.to_thread(orphans.sweep, run_dir)
    if swept:
        log.warning("%s: ended %d processes of model servers that an earlier run had left", run_dir, swept)
    return swept


def free_port() -> int:
    """A port of the loopback interface on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind((engines.HOST, 0))
        port: int = probe.getsockname()[1]
        return port


class LocalServer:
    """Enter it to start the server, leave it to end the server. `name` is that of its endpoint."""

    def __init__(self, spec: LocalServerSpec, run_dir: Path, *, choose_port: Callable[[], int] = free_port) -> None:
        self.name = spec.name
        self._spec = spec
        self._child = Child(spec.name, run_dir)
        self._choose_port = choose_port
        self._port = 0
        self._key = Secret(secrets.token_urlsafe(32), origin="made for this start")
        self._installed = engines.Installation("transformers")

    async def __aenter__(self) -> Self:
        await self._child.clear()
        self._installed = engines.installation(self._spec, await self._probe())
        try:
            async with asyncio.timeout(self._spec.start_s):
                await self._start()
        except TimeoutError:
            await self._child.stop(0.0)
            raise await self._failure(f"did not answer within {self._spec.start_s:g} s") from None
        except BaseException:
            await self._child.stop(0.0)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._child.stop(self._spec.stop_s)

    @property
    def engine(self) -> str:
        """`vllm` or `transformers`; known once it has started."""
        return self._installed.engine

    @property
    def base_url(self) -> str:
        """Where it answers."""
        return f"http://{engines.HOST}:{self._port}/v1"

    def endpoint(self, spec: EndpointSpec) -> EndpointSpec:
        """The endpoint as given, pointed at this server and fitted to its engine."""
        is_vllm = self._installed.engine == "vllm"
        return replace(
            spec,
            base_urls=(self.base_url,),
            model=engines.served_name(self._spec, self._installed),
            label=engines.public_name(self._spec),
            api=self._spec.api,
            api_key=self._key if is_vllm else None,
            extra_body={**({} if is_vllm else engines.TRANSFORMERS_BODY), **spec.extra_body},
            lists_models=is_vllm,
        )

    async def died(self) -> ModelServerError:
        """Wait until the server ends by itself, and say how. For whoever would rather know than wait."""
        code = await self._child.wait()
        return await self._failure(f"ended by itself with code {code}")

    def kill(self) -> None:
        """End the server at once, without waiting for it."""
        self._child.kill()

    async def _probe(self) -> Mapping[str, Any]:
        """Ask the interpreter what it has installed."""
        python, environ = self._spec.python, engines.environment(self._spec, self._installed, None)
        try:
            probe = await asyncio.create_subprocess_exec(
                python, "-c", engines.PROBE, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, env=environ
            )
        except OSError as error:
            raise ModelServerError(f"model server {self.name}: cannot run {python}: {error.strerror}") from None
        written, _ = await probe.communicate()
        try:
            found: dict[str, Any] = json.loads(written)
        except ValueError:
            raise ModelServerError(f"model server {self.name}: {python} is not a Python interpreter") from None
        return found

    async def _start(self) -> None:
        """Spawn the server on one port after another until it answers on one."""
        key = self._key.reveal() if self._installed.engine == "vllm" else None
        environ = engines.environment(self._spec, self._installed, key)
        for _ in range(PORT_TRIES):
            self._port = self._choose_port()
            await self._child.spawn(engines.command(self._spec, self._installed, self._port), environ)
            if await self._answers():
                return
            if not _is_taken(self._port):
                raise await self._failure(f"ended with code {await self._child.wait()} before it answered")
        raise await self._failure(f"found none of {PORT_TRIES} ports free")

    async def _answers(self) -> bool:
        """Wait for an answer: True when one has come, False when the process has ended instead."""
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(self._ask(), name=f"ask {self.name}")
            ending = group.create_task(self._child.wait(), name=f"watch {self.name}")
            asking.add_done_callback(lambda _: ending.cancel())
            ending.add_done_callback(lambda _: asking.cancel())
        if asking.cancelled() or not self._child.is_running:  # if it ended, what spoke was somebody else
            return False
        if complaint := asking.result():
            raise await self._failure(f"does not answer as it should: {complaint}")
        return True

    async def _ask(self) -> StarError | None:
        """Ask for a token until there is an answer; return what is wrong with it, if anything is."""
        patient = Timeouts(connect_s=2.0, first_byte_s=self._spec.start_s, total_s=self._spec.start_s)
        spec = self.endpoint(EndpointSpec(name=self.name, base_urls=(), model="", concurrency=1, timeouts=patient))
        async with ReplicaClient(spec, self.base_url) as client:
            while True:
                try:
                    decode(await client.send(encode(_PING, spec)), _PING, spec)
                except _NOT_YET:
                    await asyncio.sleep(POLL_S)
                except EmptyReplyError:  # its one token may have been a blank
                    return None
                except StarError as error:
                    return error
                else:
                    return None

    async def _failure(self, what: str) -> ModelServerError:
        """The error, with the last that the server wrote."""
        said = self._key.mask(await self._child.tail())
        return ModelServerError(
            f"model server {self.name} ({self._spec.model}, {self.engine}) {what}; "
            f"the last of {self._child.log_path}:\n{said or '(nothing)'}"
        )


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that are dying down do not count
        try:
            probe.bind((engines.HOST, port))
        except OSError:
            return True
        return False
