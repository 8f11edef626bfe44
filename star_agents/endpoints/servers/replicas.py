"""The servers of ours behind one endpoint: replicas of one model, each with GPUs of its own.

Laws: all replicas share one key; they start side by side where their devices differ and one after another where
they do not; the endpoint lives for as long as one of them has not been given up.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from star_agents.core.errors import ModelServerError
from star_agents.endpoints.servers.gate import Gate
from star_agents.endpoints.servers.launcher import Machine, make_key
from star_agents.endpoints.servers.local import LocalServer, ServerStatus
from star_agents.endpoints.servers.supervisor import Supervision
from star_agents.endpoints.spec import EndpointSpec, LocalServerSpec

log = logging.getLogger(__name__)


def deal(gpus: Sequence[int] | Sequence[Sequence[int]], num_replicas: int | None) -> tuple[tuple[int, ...], ...]:
    """The GPUs of each replica, from a list for each or from one that is dealt out evenly; none leaves it open.

    Raises:
        ValueError: the two do not fit each other.
    """
    lists = [tuple(item) for item in gpus if not isinstance(item, int)]
    if lists:
        if num_replicas not in {None, len(lists)}:
            raise ValueError(f"GPUs for {len(lists)} replicas, and `replicas` says {num_replicas}")
        return tuple(lists)
    flat, num = tuple(item for item in gpus if isinstance(item, int)), num_replicas or 1
    share, left = divmod(len(flat), num)
    if left or (flat and not share):
        raise ValueError(f"{len(flat)} GPUs cannot be dealt out evenly to {num} replicas; give a list for each")
    return tuple(flat[i * share : (i + 1) * share] for i in range(num))


def replica_specs(spec: LocalServerSpec, gpus: Sequence[tuple[int, ...]]) -> tuple[LocalServerSpec, ...]:
    """One spec a replica. No endpoint's name has an @ in it, so no two servers share a log."""
    if len(gpus) == 1:
        return (replace(spec, gpus=gpus[0]),)
    return tuple(replace(spec, name=f"{spec.name}@{i}", gpus=group) for i, group in enumerate(gpus))


class LocalReplicas:
    """Enter it to start them all, leave it to end them all. `name` is that of the endpoint."""

    def __init__(
        self,
        name: str,
        specs: Sequence[LocalServerSpec],
        run_dir: Path,
        *,
        machine: Machine | None = None,
        supervision: Supervision | None = None,
    ) -> None:
        self.name = name
        key, machine = make_key(), machine or Machine()
        self.servers = tuple(
            LocalServer(spec, run_dir, machine=machine, supervision=supervision, key=key) for spec in specs
        )

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.TaskGroup() as group:
                for server in self.servers:
                    group.create_task(server.start(), name=f"start {server.name}")
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def _stop(self) -> None:
        async with asyncio.TaskGroup() as group:
            for server in self.servers:
                group.create_task(server.stop(), name=f"end {server.name}")

    @property
    def engine(self) -> str:
        """`vllm` or `transformers`; known once they have started."""
        return self.servers[0].engine

    def endpoint(self, spec: EndpointSpec) -> EndpointSpec:
        """The endpoint as given, pointed at these servers and fitted to their engine."""
        return replace(self.servers[0].endpoint(spec), base_urls=tuple(server.base_url for server in self.servers))

    def status(self) -> tuple[ServerStatus, ...]:
        """A snapshot of each."""
        return tuple(server.status() for server in self.servers)

    async def starting(self) -> tuple[str, ...]:
        """How far the starts of those are that are not up yet, a line each."""
        return tuple([told for server in self.servers if (told := await server.starting()) is not None])

    async def supervise(self, gates: Mapping[str, Gate] | None = None) -> NoReturn:
        """Keep all of them up; `gates` are the fleet's, by base URL.

        Raises:
            ModelServerError: the last of them is given up.
        """
        gates = gates or {}
        async with asyncio.TaskGroup() as group:
            kept = [group.create_task(_given_up(server, gates.get(server.base_url))) for server in self.servers]
        raise kept[-1].result()

    async def rolling_restart(self) -> None:
        """While `supervise` runs: restart one after another, each drained first, so that the others go on.

        Raises:
            ModelServerError: one did not come up; those after it were left alone.
        """
        for server in self.servers:
            await server.restart()


async def _given_up(server: LocalServer, gate: Gate | None) -> ModelServerError:
    """Keep one up for as long as that can be done; then say why it is over."""
    try:
        await server.supervise(gate)
    except ModelServerError as error:
        log.error("%s", error)  # noqa: TRY400  # for a person, who is told where to look
        return error
