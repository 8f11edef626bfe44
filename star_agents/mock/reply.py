"""From an answer and a fault to the bytes that a client gets, and the times at which it gets them.

Law: without a fault the bytes are the answer in its dialect; a fault changes what it names and nothing else.
Generators here are asked for more only when the client has room, so what is endless costs no memory.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, repeat
from typing import Any

import orjson

from star_agents.mock.answers import Answer, answer, fingerprint
from star_agents.mock.anthropic import Messages
from star_agents.mock.connection import Ending, Parts
from star_agents.mock.dialect import Asked, Dialect, Event
from star_agents.mock.dialects import DIALECTS
from star_agents.mock.faults import Fault
from star_agents.mock.http import EVENTS_HEAD, LAST_CHUNK, chunk, head, rendered
from star_agents.mock.sse import framed

NO_FAULT = Fault(name="none", keeps_right=True)
STREAM_STEP_S = 0.05
"""How often a stream looks whether more is written."""
SILENCE_S = 3600.0
WRITE_SIZE = 65536
ENDLESS_STEP_S = 0.001
ENDLESS_TOKENS = 64
_CHUNKED = {"transfer-encoding": "chunked"}


@dataclass(frozen=True, slots=True)
class Told:
    """What is to be said, and what goes wrong with it."""

    dialect: Dialect
    asked: Asked
    said: Answer
    fault: Fault = NO_FAULT
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def ending(self) -> Ending:
        """What becomes of the connection."""
        fault = self.fault
        if fault.resets:
            return Ending.RESET
        is_cut = fault.cut_after is not None or fault.cut_in_half or fault.closes or fault.surplus
        return Ending.CLOSE if is_cut or fault.spool is not None else Ending.KEEP

    @property
    def streams(self) -> bool:
        """Is it said as a stream of events?"""
        return self.asked.streams and self.fault.body is None and self.fault.spool is None


def headers_of(told: Told, wall: datetime) -> dict[str, str]:
    """The headers beyond the usual ones."""
    stamps = told.fault.stamps(wall) if told.fault.stamps is not None else {}
    return {**told.headers, **told.fault.headers, **stamps}


def body_bytes(told: Told) -> bytes:
    """The body of a reply that is no stream."""
    fault = told.fault
    if fault.body is not None:
        return _error_bytes(told.dialect, fault, fault.body)
    payload: object = told.dialect.reply(_as_said(told), told.asked)
    if fault.change is not None:
        payload = fault.change(told.dialect.reply(_as_said(told), told.asked))
    return _with_raw(fault, orjson.dumps(payload))


def _error_bytes(dialect: Dialect, fault: Fault, body: bytes) -> bytes:
    """The body of a fault; errors are put as the API puts them."""
    if fault.status is None or fault.status < 400 or not isinstance(dialect, Messages):  # noqa: PLR2004  # a status
        return body
    return orjson.dumps(dialect.error(fault.status, orjson.loads(body)["error"]))


def _as_said(told: Told) -> Answer:
    return told.said if told.fault.say is None else told.fault.say(told.said)


def _with_raw(fault: Fault, data: bytes) -> bytes:
    return data if fault.raw is None else data.replace(*fault.raw)


def whole(told: Told, wall: datetime) -> bytes:
    """The whole of a reply that is no stream, head and body."""
    return rendered(told.fault.status or 200, body_bytes(told), headers_of(told, wall)) + told.fault.surplus


def reply_to(body: Mapping[str, Any], fault: Fault | None, wall: datetime) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and body of the reply to a chat or text completion, for who has no sockets."""
    dialect = DIALECTS["/v1/chat/completions" if "messages" in body else "/v1/completions"]
    told = Told(dialect, dialect.asked(body, fingerprint(body)), answer(body), fault or NO_FAULT)
    return told.fault.status or 200, headers_of(told, wall), body_bytes(told)


def parts_of(told: Told, wall: datetime, written: Callable[[], int]) -> Parts:
    """The reply in time. `written` tells how many tokens of the answer there are by now."""
    fault = told.fault
    if fault.hangs:
        return repeat((SILENCE_S, b""))
    if fault.drips_s is not None:
        return _dripping(told, wall, fault.drips_s)
    if fault.spool is not None:
        opening = head(fault.status or 200, headers_of(told, wall) | _CHUNKED)
        return chain([(0.0, opening)], ((0.0, chunk(piece)) for piece in fault.spool()), [(0.0, LAST_CHUNK)])
    if fault.endless:
        return _endless(told, wall)
    parts = _stream(told, wall, written) if told.streams else iter([(0.0, whole(told, wall))])
    if fault.cut_in_half:
        return _half(told, wall, parts)
    return parts if fault.cut_after is None else _first_bytes(parts, fault.cut_after)


def _opening(told: Told, wall: datetime) -> bytes:
    """The head of a chunked reply."""
    headers = headers_of(told, wall)
    if told.streams and not headers:
        return EVENTS_HEAD
    kind = {"content-type": "text/event-stream; charset=utf-8"} if told.streams else {}
    return head(told.fault.status or 200, {**kind, **headers, **_CHUNKED})


def _dripping(told: Told, wall: datetime, every_s: float) -> Parts:
    drop = chunk(b": ping\n\n" if told.streams else b" ")
    return chain([(0.0, _opening(told, wall))], repeat((every_s, drop)))


def _endless(told: Told, wall: datetime) -> Parts:
    """The same token again and again, as a stream or as the text of one reply."""
    yield 0.0, _opening(told, wall)
    if told.streams:
        piece = framed(told.dialect.token_event(" again", told.asked)) * ENDLESS_TOKENS
    else:
        yield 0.0, chunk(b'{"choices":[{"index":0,"message":{"role":"assistant","content":"')
        piece = b" again" * ENDLESS_TOKENS
    yield from repeat((ENDLESS_STEP_S, chunk(piece)))


def _half(told: Told, wall: datetime, parts: Parts) -> Parts:
    """Half of a chunked body, in a chunk that said it would be longer."""
    if told.streams:
        data = b"".join(data for _, data in parts)
    else:
        data = _opening(told, wall) + chunk(body_bytes(told)) + LAST_CHUNK
    at = data.index(b"\r\n\r\n") + 4
    yield 0.0, data[: at + (len(data) - at) // 2]


def _first_bytes(parts: Parts, count: int) -> Parts:
    for wait_s, data in parts:
        yield wait_s, data[:count]
        count -= len(data)
        if count <= 0:
            return


def _stream(told: Told, wall: datetime, written: Callable[[], int]) -> Parts:
    yield 0.0, _opening(told, wall)
    yield from _gathered(_paced(_frames(told), written, told.said.completion_tokens, told.fault.trickle_s))
    yield 0.0, LAST_CHUNK + told.fault.surplus


def _frames(told: Told) -> Iterator[tuple[bytes, bool]]:
    """Events in bytes; whether each is a token that takes its time."""
    fault = told.fault
    events: Iterable[Event] = told.dialect.events(_as_said(told), told.asked)
    if fault.restream is not None:
        events = fault.restream(list(events))
    elif fault.change is not None:
        events = map(_changed(fault.change), events)
    framing = fault.framing or framed
    if fault.reframe is not None:
        pieces = fault.reframe(_with_raw(fault, framing(event)) for event in events)
        return ((piece, False) for piece in pieces)
    return ((_with_raw(fault, framing(event)), event.is_token) for event in events)


def _changed(change: Callable[[dict[str, Any]], object]) -> Callable[[Event], Event]:
    def edit(event: Event) -> Event:
        if isinstance(event.data, str):
            return event
        data = change(event.data)
        return Event(data if isinstance(data, dict) else orjson.dumps(data).decode(), event.name, event.is_token)

    return edit


def _paced(frames: Iterator[tuple[bytes, bool]], written: Callable[[], int], total: int, trickle_s: float) -> Parts:
    """Tokens when they are written, what comes after them when all are."""
    tokens = 0
    for data, is_token in frames:
        wanted = min(tokens + 1, total) if is_token else (total if tokens else 0)
        while written() < wanted:
            yield STREAM_STEP_S, b""
        tokens += is_token
        yield trickle_s, chunk(data)


def _gathered(parts: Parts) -> Parts:
    """What need not be waited for in as few writes as possible."""
    ready: list[bytes] = []
    size = 0
    for wait_s, data in parts:
        if ready and (wait_s > 0 or size > WRITE_SIZE):
            yield 0.0, b"".join(ready)
            ready, size = [], 0
        if wait_s > 0:
            yield wait_s, data
        else:
            ready.append(data)
            size += len(data)
    yield 0.0, b"".join(ready)


def is_plain(told: Told) -> bool:
    """May it be sent in one piece, without being asked for in parts?"""
    return told.fault is NO_FAULT and not told.asked.streams and not told.headers
