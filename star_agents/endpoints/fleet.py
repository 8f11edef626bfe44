"""All endpoints of a run behind one door: the adapter of `core.ports.Completer`."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from star_agents.core.calls import Completion, Request
from star_agents.core.errors import ConfigError
from star_agents.endpoints import preflight
from star_agents.endpoints.client import ReplicaClient
from star_agents.endpoints.endpoint import Connect, Endpoint
from star_agents.endpoints.meter import EndpointStatus
from star_agents.endpoints.spec import EndpointSpec

__all__ = ["EndpointStatus", "Fleet"]


class Fleet:
    """Endpoints by name; enter it before use, and leave it to close every connection.

    Raises:
        ValueError: two endpoints share a name, or one has no URL.
    """

    def __init__(self, specs: Sequence[EndpointSpec], run_seed: int, *, connect: Connect = ReplicaClient) -> None:
        self._endpoints = {spec.name: Endpoint(spec, run_seed, connect=connect) for spec in specs}
        if len(self._endpoints) != len(specs):
            raise ValueError("two endpoints share a name")
        self._sessions = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for endpoint in self._endpoints.values():
            await self._sessions.enter_async_context(endpoint)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._sessions.aclose()

    @property
    def total_concurrency(self) -> int:
        """Calls that may be in flight at once, over all endpoints."""
        return sum(endpoint.spec.concurrency for endpoint in self._endpoints.values())

    async def complete(self, request: Request) -> Completion:
        """See `core.ports.Completer`; an endpoint that does not exist is a `KeyError`."""
        return await self._endpoints[request.endpoint].complete(request)

    def unavailable(self) -> frozenset[str]:
        """See `core.ports.Completer`."""
        return frozenset(name for name, endpoint in self._endpoints.items() if endpoint.is_unavailable())

    def snapshot(self) -> tuple[EndpointStatus, ...]:
        """What each endpoint does now, in the order of the config."""
        return tuple(endpoint.status() for endpoint in self._endpoints.values())

    async def preflight(self) -> None:
        """Ask every endpoint whether it is there, knows us, and serves its model.

        Raises:
            ConfigError: something is to be mended; every problem found is in it.
        """
        if problems := await preflight.problems(self._endpoints.values()):
            raise ConfigError(*problems)
