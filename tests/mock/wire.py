"""A client of raw sockets: what really goes over the wire, with nothing tidied up."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from star_agents.mock.server import MockServer

CHAT = "/v1/chat/completions"


def chat(number: int = 0, text: str = "Say", **fields: object) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": f"{text} {number}"}], **fields}


def post(body: dict[str, Any], path: str = CHAT, *headers: str) -> bytes:
    """A request in bytes."""
    data = json.dumps(body).encode()
    head = (f"POST {path} HTTP/1.1", "Host: mock", f"Content-Length: {len(data)}", *headers)
    return "\r\n".join(head).encode() + b"\r\n\r\n" + data


@dataclass(frozen=True, slots=True)
class Heard:
    """A reply, its body out of its chunks. `is_whole` is false where the connection ended first."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_whole: bool

    @property
    def json(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.body)
        return said

    @property
    def events(self) -> list[Any]:
        """The data of a stream framed in the plainest way, JSON read."""
        lines = [line[6:] for line in self.body.decode().split("\n") if line.startswith("data: ")]
        return [line if line == "[DONE]" else json.loads(line) for line in lines]


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def of(cls, server: MockServer) -> "Client":
        return cls(*await asyncio.open_connection("127.0.0.1", server.port, limit=2**27))

    async def ask(self, body: dict[str, Any], path: str = CHAT, *headers: str) -> Heard:
        self.writer.write(post(body, path, *headers))
        return await self.heard()

    async def get(self, path: str) -> Heard:
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: mock\r\n\r\n".encode())
        return await self.heard()

    async def heard(self) -> Heard:
        """The next reply.

        Raises:
            ConnectionError: none came.
        """
        try:
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip()
        except asyncio.IncompleteReadError as error:
            raise ConnectionAbortedError(f"closed after {error.partial!r}") from None
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body, is_whole = await self._body(headers)
        return Heard(int(first.split(" ")[1]), headers, body, is_whole)

    async def _body(self, headers: dict[str, str]) -> tuple[bytes, bool]:
        try:
            if "content-length" in headers:
                return await self.reader.readexactly(int(headers["content-length"])), True
            body = b""
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readexactly(2)
        except asyncio.IncompleteReadError as error:
            return error.partial, False
        return body, True

    async def heard_interim(self) -> int:
        """The status of a reply that is only a sign to go on."""
        return int((await self.reader.readuntil(b"\r\n\r\n")).split(b" ")[1])

    async def close(self) -> None:
        self.writer.close()
