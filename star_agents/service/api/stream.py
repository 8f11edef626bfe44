"""What the HTTP face sends without end: finished rows as they are committed, and snapshots as server-sent events.

Laws: a slow reader costs the run nothing but one page: it is written to only as fast as it reads, gets the newest
snapshot and not those it missed, and is let go of when it reads nothing for `STUCK_S`. A stream of rows that ends in
order ends with a line that says so; one that just breaks off is to be asked for again, from the last row on.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import orjson
from aiohttp import web

from star_agents.core.errors import ConfigError, StoreError
from star_agents.service.api.bodies import encode
from star_agents.service.api.control import Control
from star_agents.service.view.status import OVER
from star_agents.service.view.tail import ROW_SHAPES, RowShape

LOOK_S = 0.1
"""How often a stream looks whether a batch was committed; it is a look at one number."""

BEAT_S = 10.0
"""An empty line so often, where there is nothing else to send: both sides notice that the other is gone."""

EVENT_S = 1.0
STUCK_S = 60.0

MAX_DIGITS = 18
"""Of a count: what fits 64 bits."""

LINES = {"Content-Type": "application/jsonl", "Cache-Control": "no-store"}
EVENTS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}


log = logging.getLogger(__name__)


class Streams:
    """The two streaming handlers of a service."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def rows(self, request: web.Request) -> web.StreamResponse:
        """Rows after a sequence number; with `follow` until the run is over, else those that there are."""
        after, follow, shape = _asked(request.query)
        tail = self._control.tail(after, shape)
        seen, is_over = self._control.committed(), self._control.is_over()  # before the look, or one is missed
        lines = await asyncio.to_thread(tail.read)  # before the answer begins: what cannot be read is told in its place
        async with _sending(request, LINES) as send:
            while True:
                if lines:
                    await send(b"\n".join(lines) + b"\n")
                if lines is None and (is_over or not follow):
                    break
                if lines is None:
                    await self._moved_on(seen, send)
                seen, is_over = self._control.committed(), self._control.is_over()
                lines = await asyncio.to_thread(tail.read)
            ending = self._control.status().ending or "here"
            await send(orjson.dumps({"end": ending, "after": tail.after}) + b"\n")
        return send.response

    async def _moved_on(self, seen: int, send: "Send") -> None:
        """Wait for a commit after that version, or for the end of the run."""
        idle_s = 0.0
        while self._control.committed() == seen and not self._control.is_over():
            await asyncio.sleep(LOOK_S)
            idle_s += LOOK_S
            if idle_s >= BEAT_S:
                await send(b"\n")
                idle_s = 0.0

    async def events(self, request: web.Request) -> web.StreamResponse:
        """A snapshot a second, until the run is over; one, of a run at rest."""
        async with _sending(request, EVENTS) as send:
            while True:
                status = self._control.status()
                await send(b"event: status\ndata: " + encode(status) + b"\n\n")
                if status.phase in OVER:
                    break
                await asyncio.sleep(EVENT_S)
        return send.response


class Send:
    """Writes to a reader, who must read."""

    def __init__(self, response: web.StreamResponse) -> None:
        self.response = response

    async def __call__(self, content: bytes) -> None:
        """Send it, at the reader's pace.

        Raises:
            TimeoutError: the reader does not read.
            ConnectionResetError: it is gone.
        """
        async with asyncio.timeout(STUCK_S):
            await self.response.write(content)


@asynccontextmanager
async def _sending(request: web.Request, headers: Mapping[str, str]) -> AsyncIterator[Send]:
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    try:
        yield Send(response)
    except (ConnectionResetError, TimeoutError):
        response.force_close()
    except StoreError as error:  # who asks again, from where this broke off, is told
        log.warning("%s: %s", request.path, error)
        response.force_close()
    else:
        await response.write_eof()


def number_of(query: Mapping[str, str], name: str) -> int:
    """A count in a query, 0 where it is not given.

    Raises:
        ConfigError: it is none.
    """
    text = query.get(name, "0")
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
        raise ConfigError(f"{name}: give a whole number, 0 or more")
    return int(text)


def _asked(query: Mapping[str, str]) -> tuple[int, bool, RowShape]:
    """The parameters of a stream of rows.

    Raises:
        ConfigError: one of them is none.
    """
    follow, shape = query.get("follow", "false"), query.get("format", "messages")
    if follow not in {"true", "false"}:
        raise ConfigError("follow: give true or false")
    found: RowShape | None = next((one for one in ROW_SHAPES if one == shape), None)
    if found is None:
        raise ConfigError(f"format: give one of {', '.join(ROW_SHAPES)}")
    return number_of(query, "after"), follow == "true", found
