"""Server-sent events out of bytes, without I/O: any slicing of the same bytes gives the same events.

Laws: the time taken is linear in the bytes, however they are sliced; no event grows past `MAX_EVENT_BYTES`; a
character that is cut in two by the slicing is whole again in its event, for data stay bytes until then.

Grammar: WHATWG HTML, "Server-sent events", section 9.2.6. As it says there, an event without its closing blank
line at the end of the stream is no event.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from star_agents.core.errors import EventTooLargeError

MAX_EVENT_BYTES = 8 * 2**20
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `data` joins its data lines by a line feed, `name` is its type."""

    data: bytes
    name: bytes = b"message"


class SseParser:
    """Takes a stream in, slice by slice, and gives its events out."""

    __slots__ = ("_after_cr", "_data", "_is_first", "_line", "_name", "_size", "_source")

    def __init__(self, source: str) -> None:
        """`source` is what errors call the stream."""
        self._source = source
        self._line: list[bytes] = []
        """The pieces of a line whose end has not come yet."""
        self._data: list[bytes] = []
        self._name = b""
        self._size = 0
        """Bytes of the event so far, the unfinished line included."""
        self._after_cr = False
        self._is_first = True

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that `chunk` completes. It is taken in as the events are asked for: ask for all of them.

        Raises:
            EventTooLargeError: an event, or a single line, is longer than `MAX_EVENT_BYTES`.
        """
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._after_cr = False
        if not chunk:
            return
        self._after_cr = chunk.endswith(b"\r")
        lines = chunk.splitlines()
        rest = b"" if chunk.endswith((b"\r", b"\n")) else lines.pop()
        for line in lines:
            self._grow(len(line))
            if self._line:
                self._line.append(line)
                line = b"".join(self._line)  # noqa: PLW2901  # the line, whole
                self._line.clear()
            event = self._end_line(line)
            if event is not None:
                yield event
        if rest:
            self._grow(len(rest))
            self._line.append(rest)

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > MAX_EVENT_BYTES:
            raise EventTooLargeError(f"{self._source}: one event of more than {MAX_EVENT_BYTES} bytes")

    def _end_line(self, line: bytes) -> Event | None:
        if self._is_first:
            self._is_first = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._end_event()
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
            return None
        if field == b"event":
            self._name = value.removeprefix(b" ")
        self._size -= len(line)  # a comment, or a field that is not kept
        return None

    def _end_event(self) -> Event | None:
        event = Event(b"\n".join(self._data), self._name or b"message") if self._data else None
        self._data.clear()
        self._name, self._size = b"", 0
        return event
