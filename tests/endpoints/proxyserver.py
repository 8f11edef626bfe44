"""An HTTP proxy of a few lines: absolute URIs and CONNECT, with or without credentials."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(slots=True)
class Proxy:
    """Where it listens, and the head of every request that it got."""

    url: str = ""
    heads: list[str] = field(default_factory=list)


@asynccontextmanager
async def proxying(credentials: str = "", *, refuses: bytes = b"") -> AsyncIterator[Proxy]:
    """Forward to whoever is asked for; `refuses` is the status line that everybody gets instead."""
    proxy, wanted = Proxy(), base64.b64encode(credentials.encode()).decode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            line, _, rest = head.decode("latin-1").partition("\r\n")
            proxy.heads.append(f"{line}\n{rest}")
            if credentials and f"basic {wanted}".lower() not in rest.lower():
                writer.write(b"HTTP/1.1 407 Who?\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            elif refuses:
                writer.write(refuses + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            else:
                await forward(line, rest, reader, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield proxy


async def forward(line: str, rest: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Join the client with its target, both ways, until either goes away."""
    method, target, version = line.split(" ")
    place = urlsplit(target if "://" in target else f"//{target}")
    there, onward = await asyncio.open_connection(place.hostname, place.port)
    if method == "CONNECT":
        writer.write(b"HTTP/1.1 200 Joined\r\n\r\n")
    else:
        onward.write(f"{method} {place.path} {version}\r\n{rest}".encode("latin-1"))
    async with asyncio.TaskGroup() as group:
        group.create_task(pump(reader, onward))
        group.create_task(pump(there, writer))


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until the end, and pass the end on."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()
