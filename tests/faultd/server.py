"""The server: one task a connection, answers by content, faults by script, and a journal of both."""

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tests.faultd.answers import answer, chat_reply, fingerprint
from tests.faultd.faults import Fault, Script, Seen, never
from tests.faultd.http import HttpRequest, read_request, rendered, write_reply
from tests.faultd.journal import Entry, Journal


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """How a healthy server behaves."""

    latency_s: float = 0.0
    """Of a reply on average; each takes from half of it to half more, by its content."""
    idle_s: float | None = None
    """Connections on which nothing came for so long are closed."""
    models: tuple[str, ...] = ("m",)
    """What `GET /v1/models` lists; any model is served."""
    api_key: str | None = None
    """Demanded of every request where it is given."""


class Faultd:
    """Listens on a free port of the loopback interface, or on `port`, while its block runs."""

    def __init__(
        self,
        script: Script = never,
        *,
        conduct: Conduct = Conduct(),
        journal: Journal | None = None,
        port: int = 0,
    ) -> None:
        self.script = script
        self.conduct = conduct
        self.journal = journal or Journal()
        self.port = port
        self.in_flight = 0
        self.peak_in_flight = 0
        self.connections = 0
        """Accepted so far."""
        self._times: Counter[str] = Counter()
        self._number = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._quiet = asyncio.Event()
        self._quiet.set()

    @property
    def base_url(self) -> str:
        """What a client calls."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def num_requests(self) -> int:
        """Requests for a completion that came so far."""
        return self._number

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        self.journal.close()

    async def listen(self) -> None:
        """Accept connections; after a `stop`, on the same port again."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse connections and cut those that are open, as a crash would."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._open:
            task.cancel()
        await self._quiet.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self._quiet.clear()
        self.connections += 1
        try:
            await self._converse(reader, writer)
        except (TimeoutError, ConnectionError, asyncio.CancelledError):
            pass  # the client went away, lay idle, or the server was stopped: the end of a connection, not of a test
        finally:
            writer.close()
            self._open.discard(task)
            if not self._open:
                self._quiet.set()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request after another until the connection is to end."""
        while True:
            async with asyncio.timeout(self.conduct.idle_s):
                request = await read_request(reader)
            if request is None or not await self._answer(request, reader, writer):
                return

    async def _answer(self, request: HttpRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if self.conduct.api_key and request.headers.get("authorization") != f"Bearer {self.conduct.api_key}":
            return await write_reply(writer, rendered(401, b'{"error": {"message": "who?"}}', {}), None)
        if request.method == "GET":
            return await write_reply(writer, self._get(request.path), None)
        if request.path not in {"/v1/chat/completions", "/v1/completions"}:
            return await write_reply(writer, rendered(404, b'{"detail": "Not Found"}', {}), None)
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        try:
            return await self._complete(json.loads(request.body), reader, writer)
        finally:
            self.in_flight -= 1

    def _get(self, path: str) -> bytes:
        if path == "/v1/models":
            listed = {"object": "list", "data": [{"id": model, "object": "model"} for model in self.conduct.models]}
            return rendered(200, json.dumps(listed).encode(), {})
        return rendered(200 if path == "/health" else 404, b"{}", {})

    async def _complete(self, body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        name = fingerprint(body)
        seen = Seen(self._number, name, self._times[name], body)
        self._number += 1
        self._times[name] += 1
        self.journal.note(Entry(seen.number, "request", name))
        fault = self.script(seen)
        await asyncio.sleep(self._delay_s(name) + (fault.delay_s if fault else 0.0))
        if fault is not None and fault.hangs:
            await reader.read()  # to the end: until the client goes away
        goes_on = await write_reply(writer, self._reply(body, fault), fault)
        is_served = fault is None or (fault.delay_s > 0 and fault.body is None)
        self.journal.note(Entry(seen.number, "reply", name, fault.name if fault else None, is_served))
        return goes_on

    def _delay_s(self, name: str) -> float:
        return self.conduct.latency_s * (0.5 + random.Random(name).random())

    @staticmethod
    def _reply(body: dict[str, Any], fault: Fault | None) -> bytes:
        right = json.dumps(chat_reply(body, answer(body))).encode()
        if fault is None:
            return rendered(200, right, {})
        return rendered(fault.status or 200, right if fault.body is None else fault.body, fault.headers)
