"""A server of a few lines: it reads HTTP requests by hand, and a test writes whatever bytes it likes in answer."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from star_agents.endpoints.client import ReplicaClient
from star_agents.endpoints.formats.choose import format_of
from star_agents.endpoints.spec import EndpointSpec
from tests.endpoints.streams import ASKED

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came; header names are lower-case."""

    line: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[["Line"], Awaitable[None]]
"""Writes the answer to `line.asked`; the connection goes on unless it is closed."""


@dataclass(slots=True)
class Line:
    """One connection."""

    asked: Asked
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def chunk(self, data: bytes) -> None:
        """Send a piece of a chunked body; an empty one ends it."""
        await self.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def reply(self, body: bytes, status: str = "200 OK", headers: Iterable[str] = ()) -> None:
        """Send a whole reply."""
        lines = (f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers)
        await self.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    async def closed(self) -> None:
        """Wait until the client has closed the connection."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass


@dataclass(slots=True)
class Raw:
    """The server: where it listens, and what it was asked."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0


@asynccontextmanager
async def listening(
    answer: Answer, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Raw]:
    """Answer every request of every connection with `answer`, while the block runs."""
    raw, lines = Raw(), set[asyncio.StreamWriter]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw.connections += 1
        lines.add(writer)
        try:
            while asked := await read(reader):
                raw.asked.append(asked)
                await answer(Line(asked, reader, writer))
        except (ConnectionError, ssl.SSLError):
            pass  # the client went away
        finally:
            writer.close()
            lines.discard(writer)

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
        scheme = "https" if tls else "http"
        raw.url = f"{scheme}://{host}:{server.sockets[0].getsockname()[1]}/v1"
        yield raw
        for writer in lines:
            writer.transport.abort()


async def read(reader: asyncio.StreamReader) -> Asked | None:
    """The next request, or None where the client has gone away."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in fields)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return Asked(line, headers, body)


@asynccontextmanager
async def talking(answer: Answer, spec: EndpointSpec) -> AsyncIterator[tuple[Raw, ReplicaClient]]:
    """Such a server, and a client of it."""
    async with listening(answer) as server, ReplicaClient(spec, server.url) as client:
        yield server, client


async def ask(client: ReplicaClient, spec: EndpointSpec, *, first_byte_s: float | None = None) -> str:
    """The text of one answer."""
    wire = format_of(spec)
    return wire.decode(await client.send(wire.encode(ASKED, spec), first_byte_s=first_byte_s), ASKED, spec).text
