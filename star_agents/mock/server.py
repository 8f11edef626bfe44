"""The server: routes, the listening socket, and what happens to it over time.

Law: it listens on the loopback interface alone. After `stop` no connection is open; after `listen` it is on the
same port again. Requests that came before are remembered over both.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import orjson

from star_agents.core import clock
from star_agents.core.errors import PortTakenError
from star_agents.mock.backend import Backend
from star_agents.mock.conduct import USUAL, Conduct, Outage
from star_agents.mock.connection import Connection
from star_agents.mock.dialects import DIALECTS
from star_agents.mock.exchange import Exchange
from star_agents.mock.http import HttpRequest, rendered
from star_agents.mock.journal import Journal
from star_agents.mock.metrics import CONTENT_TYPE, exposition
from star_agents.mock.script import Script, never
from star_agents.mock.stats import Stats

HOST = "127.0.0.1"
BACKLOG = 4096


class MockServer:
    """Listens on a free port of the loopback interface, or on `port`, while its block runs."""

    def __init__(
        self,
        script: Script = never,
        *,
        conduct: Conduct = USUAL,
        journal: Journal | None = None,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.script = script
        self.conduct = conduct
        self.journal = journal or Journal()
        self.port = port
        self._tls = tls
        self.connections = 0
        """Accepted so far."""
        self.idle_s = conduct.idle_s
        self._backend: Backend | None = None
        self._server: asyncio.Server | None = None
        self._open: set[Connection] = set()
        self._quiet = asyncio.Event()
        self._breaks: asyncio.Queue[float] = asyncio.Queue()
        self._stack = AsyncExitStack()
        self._get: Mapping[str, Callable[[Connection], None]] = {
            "/v1/models": self._list_models,
            "/health": self._tell_health,
            "/metrics": self._tell_metrics,
            "/mock/stats": self._tell_stats,
            "/mock/flush": self._flush_journal,
        }

    @property
    def base_url(self) -> str:
        """What a client calls."""
        return f"{'http' if self._tls is None else 'https'}://{HOST}:{self.port}/v1"

    @property
    def backend(self) -> Backend:
        """What stands behind the connections; only within the block."""
        if self._backend is None:
            raise RuntimeError("the server is not open: use it as `async with MockServer() as server`")
        return self._backend

    @property
    def stats(self) -> Stats:
        """What was counted so far."""
        return self.backend.stats

    @property
    def in_flight(self) -> int:
        """Requests for a completion that have come and not ended."""
        return self.stats.in_flight

    @property
    def peak_in_flight(self) -> int:
        """The most of them at once so far."""
        return self.stats.peak_in_flight

    @property
    def num_requests(self) -> int:
        """Requests for a completion that came so far."""
        return self.stats.requests

    async def __aenter__(self) -> Self:
        self._backend = Backend(self.conduct, self.script, self.journal, self._breaks.put_nowait)
        await self.listen()
        group = await self._stack.enter_async_context(asyncio.TaskGroup())
        tasks = [group.create_task(self._take_breaks()), group.create_task(self._follow_capacity())]
        tasks += [group.create_task(self._suffer(outage)) for outage in self.conduct.outages]
        for task in tasks:
            self._stack.callback(task.cancel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._stack.aclose()  # the block's own error comes out as itself, in no group
        finally:
            await self.stop()
            self.backend.close()
            await asyncio.to_thread(self.journal.close)

    async def listen(self) -> None:
        """Accept connections; after a `stop`, on the same port again.

        Raises:
            PortTakenError: another program listens there.
        """
        if self._server is not None:
            return
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: Connection(self), HOST, self.port, backlog=BACKLOG, ssl=self._tls
            )
        except OSError as error:
            raise PortTakenError(f"cannot listen on {HOST}:{self.port}: {error.strerror}") from None
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse connections and cut those that are open, as a crash would."""
        self._refuse()
        self._quiet.clear()
        for connection in tuple(self._open):
            connection.abort()
        if self._open:
            await self._quiet.wait()

    def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _take_breaks(self) -> None:
        """Faults that close the listening socket ask for this."""
        while True:
            seconds = await self._breaks.get()
            self._refuse()
            await asyncio.sleep(seconds)
            await self.listen()

    async def _suffer(self, outage: Outage) -> None:
        begins_at = self.backend.started_at
        while True:
            await _sleep_until(begins_at + outage.from_s)
            await self.stop()
            await _sleep_until(begins_at + outage.until_s)
            await self.listen()
            if outage.period_s is None:
                return
            begins_at += outage.period_s

    async def _follow_capacity(self) -> None:
        for step in sorted(self.conduct.capacity, key=lambda step: step.at_s):
            await _sleep_until(self.backend.started_at + step.at_s)
            self.backend.scale(step.factor)

    def opened(self, connection: Connection) -> None:
        """See `Handler`."""
        self.connections += 1
        self._open.add(connection)

    def closed(self, connection: Connection) -> None:
        """See `Handler`."""
        self._open.discard(connection)
        if not self._open:
            self._quiet.set()

    def respond(self, connection: Connection, request: HttpRequest) -> None:
        """See `Handler`."""
        head = request.head
        path = head.path.partition("?")[0]
        if self.conduct.api_key is not None and not self._knows(head.headers):
            connection.send(rendered(401, b'{"error": {"message": "who?", "code": "invalid_api_key"}}'))
        elif head.method == "POST" and path in DIALECTS:
            self._complete(connection, path, request.body)
        elif head.method == "GET" and path in self._get:
            self._get[path](connection)
        else:
            connection.send(rendered(404, b'{"detail": "Not Found"}'))

    def _knows(self, headers: Mapping[str, str]) -> bool:
        key = self.conduct.api_key
        return headers.get("authorization") == f"Bearer {key}" or headers.get("x-api-key") == key

    def _complete(self, connection: Connection, path: str, body: bytes) -> None:
        dialect = DIALECTS[path]
        try:
            exchange = Exchange(self.backend, connection, dialect, orjson.loads(body))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            told = {"message": f"no request for a completion: {error!r}", "type": "invalid_request_error"}
            connection.send(rendered(400, orjson.dumps(dialect.error(400, told))))
            return
        exchange.begin()

    def _list_models(self, connection: Connection) -> None:
        data = [{"id": model, "object": "model", "owned_by": "mock"} for model in self.conduct.models]
        connection.send(rendered(200, orjson.dumps({"object": "list", "data": data})))

    def _tell_health(self, connection: Connection) -> None:
        connection.send(rendered(200, b"{}"))

    def _tell_metrics(self, connection: Connection) -> None:
        backend = self.backend
        gauges = backend.engine.gauges(clock.now())
        page = exposition(self.conduct.models[0], gauges, backend.stats, backend.latencies)
        connection.send(rendered(200, page.encode(), {"content-type": CONTENT_TYPE}))

    def _tell_stats(self, connection: Connection) -> None:
        connection.send(rendered(200, orjson.dumps(self.picture())))

    def _flush_journal(self, connection: Connection) -> None:
        self.journal.flush(lambda: connection.send(rendered(200, b"{}")))

    def picture(self) -> dict[str, Any]:
        """What `GET /mock/stats` tells: counts and integrals, and how the engine is."""
        now = clock.now()
        stats, gauges = self.stats, self.backend.engine.gauges(now)
        stats.settle(now)
        return {
            "uptime_s": now - self.backend.started_at,
            "connections": self.connections,
            **stats.picture(),
            "running": gauges.running,
            "waiting": gauges.waiting,
            "running_s": gauges.running_s,
            "busy_s": gauges.busy_s,
            "kv_usage": gauges.kv_usage,
            "preemptions": gauges.preemptions,
        }


async def _sleep_until(at: float) -> None:
    await asyncio.sleep(max(0.0, at - clock.now()))
