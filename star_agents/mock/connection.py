"""One client's connection, as an `asyncio.Protocol`: requests answered one after another, replies played in time.

Law: replies leave in the order of their requests, also of requests that came in one piece (pipelining); while
the client does not read, nothing more is produced for it; a reply is told once how it ended.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import Protocol, cast

from star_agents.mock.http import HttpError, HttpRequest, RequestParser, rendered

MAX_AHEAD = 4 * 1024 * 1024
"""Bytes that a client may send ahead while a reply is under way; then reading pauses."""

Parts = Iterator[tuple[float, bytes]]
"""What to send: seconds to wait, then bytes. The iterator is asked for more only when the client has room."""


class Ending(Enum):
    """What becomes of the connection after a reply."""

    KEEP = auto()
    CLOSE = auto()
    RESET = auto()
    """A RST: what the peer has not read yet is lost to it."""


class Handler(Protocol):
    """Who answers. `respond` must sooner or later call `connection.send` or `connection.play` once."""

    idle_s: float | None

    def opened(self, connection: "Connection") -> None:
        """A client has connected."""

    def closed(self, connection: "Connection") -> None:
        """It has gone."""

    def respond(self, connection: "Connection", request: HttpRequest) -> None:
        """A request has come and is the next to be answered."""


def _nothing() -> None:
    pass


class Connection(asyncio.Protocol):
    """See the module. `on_lost` is called if the client goes away before the whole reply was handed over."""

    def __init__(self, handler: Handler) -> None:
        self.on_lost: Callable[[], None] | None = None
        self._handler = handler
        self._loop = asyncio.get_running_loop()
        self._parser = RequestParser()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_busy = self._is_pumping = self._is_full = self._is_deaf = False
        self._keeps_alive = True
        self._outbox: list[bytes] = []
        self._parts: Parts | None = None
        self._ending = Ending.KEEP
        self._told = _nothing

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)
        self._handler.opened(self)
        self._await_request()

    def connection_lost(self, _exc: Exception | None) -> None:
        """The client went away, or we ended the connection: nothing that was scheduled happens any more."""
        self._transport = None
        self._parts = None
        self._cancel_timer()
        lost, self.on_lost = self.on_lost, None
        if lost is not None:
            lost()
        self._handler.closed(self)

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._is_full = True

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._is_full = False
        if self._parts is not None and self._timer is None:
            self._advance()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._parser.feed(data)
        if not self._is_busy:
            self._cancel_timer()
            self._pump()
        elif self._parser.buffered > MAX_AHEAD and self._transport is not None and not self._is_deaf:
            self._is_deaf = True
            self._transport.pause_reading()

    def send(self, reply: bytes, ending: Ending = Ending.KEEP) -> None:
        """Answer the request at once and whole."""
        self.on_lost = None
        if self._transport is None:
            return
        self._outbox.append(reply)
        self._finish(ending)

    def play(self, parts: Parts, ending: Ending, told: Callable[[], None]) -> None:
        """Answer the request part by part; `told` is called when all was handed over."""
        if self._transport is not None:
            self._flush()
            self._parts, self._ending, self._told = parts, ending, told
            self._advance()

    def cut(self, ending: Ending = Ending.CLOSE) -> None:
        """End the connection now, whatever is under way."""
        if self._transport is None:
            return
        if ending is Ending.RESET:
            reset_on_close(self._transport)
        self._transport.close()  # not `abort`: what was written goes out first

    def abort(self) -> None:
        """End the connection as a crash would."""
        if self._transport is not None:
            self._transport.abort()

    def _pump(self) -> None:
        """Answer as many requests as can be answered now; what they say leaves in one write."""
        if self._is_pumping:
            return
        self._is_pumping = True
        try:
            while not self._is_busy and self._transport is not None:
                request = self._parser.next_request()
                if request is None:
                    break
                self._is_busy = True
                self._keeps_alive = request.head.keeps_alive
                self._handler.respond(self, request)
        except HttpError as error:
            self._outbox.append(rendered(error.status, b"{}", {"connection": "close"}))
            self._flush()
            self.cut()
        finally:
            self._is_pumping = False
        self._flush()
        if not self._is_busy:
            self._await_request()

    def _await_request(self) -> None:
        if self._transport is None:
            return
        if self._is_deaf:
            self._is_deaf = False
            self._transport.resume_reading()
        if self._parser.must_say_continue():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._handler.idle_s is not None:
            self._cancel_timer()
            self._timer = self._loop.call_later(self._handler.idle_s, self.cut)

    def _advance(self) -> None:
        """Send parts until one must be waited for, or the client has no room."""
        self._timer = None
        while self._parts is not None and not self._is_full and self._transport is not None:
            wait_s, data = next(self._parts, (None, b""))
            if wait_s is None:
                self._parts = self.on_lost = None
                self._told()
                self._finish(self._ending)
            elif wait_s > 0:
                self._timer = self._loop.call_later(wait_s, self._send_part, data)
                return
            else:
                self._transport.write(data)

    def _send_part(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)
            self._advance()

    def _finish(self, ending: Ending) -> None:
        if ending is not Ending.KEEP or not self._keeps_alive:
            self._flush()
            self.cut(Ending.CLOSE if ending is Ending.KEEP else ending)
            return
        self._is_busy = False
        self._pump()

    def _flush(self) -> None:
        if self._outbox and self._transport is not None:
            out = self._outbox
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))
            out.clear()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def reset_on_close(transport: asyncio.Transport) -> None:
    """Make the coming close a RST."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
