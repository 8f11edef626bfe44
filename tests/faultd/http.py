"""As much of HTTP/1.1 as a model server needs, by hand: nothing here is shared with the client under test."""

import asyncio
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from tests.faultd.faults import Fault


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request, headers by lower-case name."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


async def read_request(reader: asyncio.StreamReader) -> HttpRequest | None:
    """The next request of a connection, or None where the client has gone away."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    method, path, _ = first.split(" ", 2)
    return HttpRequest(method, path, headers, body)


def rendered(status: int, body: bytes, headers: Mapping[str, str]) -> bytes:
    """A reply as it goes over the wire."""
    given = {"content-type": "application/json", **headers}
    if "transfer-encoding" not in given:
        given["content-length"] = str(len(body))
    lines = [f"HTTP/1.1 {status} faultd", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def write_reply(writer: asyncio.StreamWriter, reply: bytes, fault: Fault | None) -> bool:
    """Send a reply, or the part of it that the fault lets through; True where the connection may go on."""
    if fault is None or fault.cut_after is None:
        writer.write(reply)
        await writer.drain()
        return True
    writer.write(reply[: fault.cut_after])
    await writer.drain()
    if fault.resets:
        reset_on_close(writer)
    return False


def reset_on_close(writer: asyncio.StreamWriter) -> None:
    """Make the coming close a RST: what the peer has not read yet is lost to it."""
    connection = writer.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
