"""A streamed reply out of its bytes, without I/O: events are parsed, assembled, and counted.

Laws: a reply of more than `MAX_TEXT` characters is a runaway, however slowly it comes; what is taken in after the
end is nothing; whatever fails says how much had been written by then.
"""

from typing import Any

from star_agents.core.calls import Usage
from star_agents.core.errors import CallError, RunawayReplyError
from star_agents.endpoints.formats.protocol import CHARS_PER_TOKEN, Assembler, costing
from star_agents.endpoints.formats.sse import SseParser

MAX_TEXT = 4 * 2**20
"""Characters, text and reasoning together: about a million tokens."""


class Stream:
    """One streamed reply; `who` is what errors call its sender."""

    __slots__ = ("_assembler", "_parser", "_who")

    def __init__(self, assembler: Assembler, who: str) -> None:
        self._assembler = assembler
        self._parser = SseParser(who)
        self._who = who

    def feed(self, chunk: bytes) -> bool:
        """Take in the next bytes; True where they held text. Comments, pings and empty pieces are none.

        Raises:
            ReplyError: the stream is not what was promised, or too much of it.
        """
        written = self._assembler.written
        for event in self._parser.feed(chunk):
            self._assembler.take(event.data)
            if self._assembler.written > MAX_TEXT:
                raise RunawayReplyError(f"{self._who}: an answer of more than {MAX_TEXT} characters")
        return self._assembler.written > written

    @property
    def has_ended(self) -> bool:
        """True once the answer is all there, or an error in its stead; its usage may still follow."""
        return self._assembler.has_ended

    @property
    def has_begun(self) -> bool:
        """True once there was text."""
        return self._assembler.written > 0

    def is_whole(self) -> bool:
        """True where the stream said that it was over, or that it failed."""
        return self._assembler.is_whole()

    def body(self) -> dict[str, Any]:
        """The reply as it would have come in one piece."""
        return self._assembler.body()

    def costing(self, error: CallError, sent: int) -> CallError:
        """The error, with a guess of what was served for `sent` bytes of request before it."""
        if not self._assembler.written:
            return error
        written = self._assembler.written // CHARS_PER_TOKEN
        return costing(error, Usage(sent // CHARS_PER_TOKEN, written, is_estimated=True))
