"""Connections that send nothing, or a request byte by byte, are closed: they are not what the places are for.

Law: a connection on which no request is being answered is closed `IDLE_S` after it was opened, or after its last
answer. A request counts as being answered from the moment its head is whole; its body has a deadline of its own.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from star_agents.core import clock

IDLE_S = 30.0
LOOK_S = 1.0


class IdleWatch:
    """Knows the connections of one server."""

    def __init__(self, *, idle_s: float) -> None:
        self._idle_s = idle_s
        self._answering: Counter[object] = Counter()
        self._idle_since: dict[object, float] = {}
        self._timer: asyncio.TimerHandle

    def middleware(self) -> Middleware:
        """The outermost one."""

        @web.middleware
        async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
            connection = request.protocol
            self._answering[connection] += 1
            try:
                return await handler(request)
            finally:
                self._answering[connection] -= 1
                self._idle_since[connection] = clock.now()

        return note

    @contextmanager
    def watching(self, server: web.Server) -> Iterator[None]:
        """Close what is idle, while the block lasts."""
        self._look_later(server)
        try:
            yield
        finally:
            self._timer.cancel()

    def _look_later(self, server: web.Server) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look, server)

    def _look(self, server: web.Server) -> None:
        self._close_idle(server)
        self._look_later(server)

    def _close_idle(self, server: web.Server) -> None:
        now, connections = clock.now(), server.connections
        for connection in connections:
            since = self._idle_since.setdefault(connection, now)
            if not self._answering[connection] and now - since > self._idle_s:
                connection.force_close()
        self._forget(set(connections))

    def _forget(self, known: set[object]) -> None:
        for table in (self._answering, self._idle_since):
            for gone in table.keys() - known:
                del table[gone]
