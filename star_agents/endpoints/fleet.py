"""All endpoints of a run behind one door: the adapter of `core.ports.Completer`."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Self

from star_agents.core.calls import Completion, Request
from star_agents.core.place import Place
from star_agents.endpoints import preflight
from star_agents.endpoints.client import ReplicaClient
from star_agents.endpoints.endpoint import Connect, Endpoint
from star_agents.endpoints.meter import EndpointStatus
from star_agents.endpoints.purse import Purse
from star_agents.endpoints.servers.gate import Gate
from star_agents.endpoints.spec import EndpointSpec

__all__ = ["EndpointStatus", "Fleet"]


class Fleet:
    """Endpoints by name, which share one `purse`; enter it before use, and leave it to close every connection.

    Raises:
        ValueError: two endpoints share a name, or one has no URL.
    """

    def __init__(
        self,
        specs: Sequence[EndpointSpec],
        run_seed: int,
        *,
        purse: Purse | None = None,
        connect: Connect = ReplicaClient,
    ) -> None:
        self._endpoints = {spec.name: Endpoint(spec, run_seed, purse=purse, connect=connect) for spec in specs}
        if len(self._endpoints) != len(specs):
            raise ValueError("two endpoints share a name")
        self._opened = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            for endpoint in self._endpoints.values():
                await opening.enter_async_context(endpoint)
            await opening.enter_async_context(self._watched())
            self._opened = opening.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.aclose()

    @asynccontextmanager
    async def _watched(self) -> AsyncIterator[None]:
        """Keep an eye on the servers that show how they are doing."""
        async with asyncio.TaskGroup() as group:
            watches = [watch for endpoint in self._endpoints.values() if (watch := endpoint.watch()) is not None]
            watching = [group.create_task(watch, name="watch an endpoint") for watch in watches]
            try:
                yield
            finally:
                for task in watching:
                    task.cancel()

    @property
    def total_limit(self) -> int:
        """Calls that may be in flight now, over all endpoints."""
        return sum(endpoint.limit for endpoint in self._endpoints.values())

    async def complete(self, request: Request, place: Place | None = None) -> Completion:
        """See `core.ports.Completer`; an endpoint that does not exist is a `KeyError`."""
        return await self._endpoints[request.endpoint].complete(request, place)

    def unavailable(self) -> frozenset[str]:
        """See `core.ports.Completer`."""
        return frozenset(name for name, endpoint in self._endpoints.items() if endpoint.is_unavailable())

    def idle_shares(self) -> dict[str, float]:
        """See `Endpoint.idle_share`."""
        return {name: endpoint.idle_share() for name, endpoint in self._endpoints.items()}

    def spec(self, name: str) -> EndpointSpec:
        """What an endpoint goes by now."""
        return self._endpoints[name].spec

    def most_calls(self, name: str) -> int:
        """How many calls an endpoint can be retuned to have in flight: it has connections for no more."""
        return self._endpoints[name].most_calls

    def retune(self, name: str, spec: EndpointSpec) -> None:
        """See `Endpoint.retune`."""
        self._endpoints[name].retune(spec)

    def gates(self, name: str) -> Mapping[str, Gate]:
        """By base URL, what the supervisors of an endpoint's servers may see and do."""
        return self._endpoints[name].gates()

    def snapshot(self) -> tuple[EndpointStatus, ...]:
        """What each endpoint does now, in the order of the config."""
        return tuple(endpoint.status() for endpoint in self._endpoints.values())

    async def preflight(self) -> None:
        """Ask every endpoint whether it is there, knows us, and serves its model.

        Raises:
            ConfigError: something is to be mended; every problem found is in it.
            EndpointError: nothing is, but a replica is not to be had.
        """
        await preflight.check(self._endpoints.values())
