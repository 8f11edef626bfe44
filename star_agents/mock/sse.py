"""Events of a stream in bytes, in every framing that the standard allows.

Law: a client that reads as the standard says gets the same events from each of these framings.
Source: WHATWG HTML, section 9.2 "Server-sent events".
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import orjson

from star_agents.mock.dialect import Event

Framing = Callable[[Event], bytes]


def data_of(event: Event) -> bytes:
    """The payload, in one line."""
    return event.data.encode() if isinstance(event.data, str) else orjson.dumps(event.data)


def framed(event: Event) -> bytes:
    """As every server does it."""
    if event.name is None:
        return b"data: %b\n\n" % data_of(event)
    return b"event: %b\ndata: %b\n\n" % (event.name.encode(), data_of(event))


def _crlf(event: Event) -> bytes:
    return framed(event).replace(b"\n", b"\r\n")


def _cr(event: Event) -> bytes:
    return framed(event).replace(b"\n", b"\r")


def _tight(event: Event) -> bytes:
    """Without the blank after the colon."""
    return framed(event).replace(b"data: ", b"data:", 1)


def _multiline(event: Event) -> bytes:
    """JSON over several `data` lines."""
    if isinstance(event.data, str):
        return framed(event)
    lines = orjson.dumps(event.data, option=orjson.OPT_INDENT_2).splitlines()
    name = f"event: {event.name}\n".encode() if event.name else b""
    return name + b"".join(b"data: %b\n" % line for line in lines) + b"\n"


def _commented(event: Event) -> bytes:
    return b": keep-alive\n\n" + framed(event)


def _with_fields(event: Event) -> bytes:
    """With fields that a client must know or pass over."""
    return b"id: 1\nretry: 1000\nwhatever: yes\nnothing\n" + framed(event)


FRAMINGS: Mapping[str, Framing] = {
    "crlf": _crlf,
    "cr": _cr,
    "tight": _tight,
    "multiline": _multiline,
    "comments": _commented,
    "fields": _with_fields,
}


def with_bom(frames: Iterable[bytes]) -> Iterator[bytes]:
    """A byte order mark before the first event."""
    yield b"\xef\xbb\xbf"
    yield from frames


def byte_by_byte(frames: Iterable[bytes]) -> Iterator[bytes]:
    """Every byte on its own: characters of UTF-8 and line ends come apart."""
    for frame in frames:
        yield from (frame[at : at + 1] for at in range(len(frame)))
