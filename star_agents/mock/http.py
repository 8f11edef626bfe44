"""As much of HTTP/1.1 as a model server needs, by hand: requests in any slicing come out the same.

Law: feeding the same bytes in any pieces gives the same requests in the same order; what is not HTTP raises
`HttpError` once and is never guessed at (RFC 9112 sections 2.2, 6.3 and 7.1).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

MAX_HEAD = 64 * 1024
MAX_BODY = 64 * 1024 * 1024
MAX_CHUNK_LINE = 256
_HEX = frozenset(b"0123456789abcdefABCDEF")

REASONS: Mapping[int, str] = {200: "OK", 302: "Found", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found"}
"""Phrases nobody reads; any other status is called by its number."""


class HttpError(Exception):
    """The bytes are no request that we serve; `status` is what to answer before the connection ends."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Head:
    """The first line and the headers of a request, headers by lower-case name."""

    method: str
    path: str
    version: str
    headers: Mapping[str, str]

    @property
    def keeps_alive(self) -> bool:
        """May another request follow on this connection?"""
        said = self.headers.get("connection", "").lower()
        return "close" not in said if self.version == "HTTP/1.1" else "keep-alive" in said

    @property
    def is_chunked(self) -> bool:
        """Does the body come in chunks? Any other coding is refused."""
        coding = self.headers.get("transfer-encoding")
        if coding is None:
            return False
        if coding.lower() != "chunked" or "content-length" in self.headers:
            raise HttpError(400, "transfer-encoding must be chunked, and alone")
        return True

    @property
    def length(self) -> int:
        """Bytes of the body, 0 where the head does not say."""
        said = self.headers.get("content-length", "0")
        if not (said.isascii() and said.isdigit()):
            raise HttpError(400, "content-length is not a number")
        if len(said) > len(str(MAX_BODY)) or int(said) > MAX_BODY:
            raise HttpError(413, "the body is too large")
        return int(said)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request, whole."""

    head: Head
    body: bytes


@lru_cache(maxsize=512)
def _parse_head(raw: bytes) -> Head:
    """Cached: a client sends the same head again and again, but for the length of the body."""
    first, *lines = raw.decode("latin-1").split("\r\n")
    try:
        method, path, version = first.split(" ")
    except ValueError:
        raise HttpError(400, "the request line has not three parts") from None
    if version not in {"HTTP/1.1", "HTTP/1.0"}:
        raise HttpError(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise HttpError(400, "a header line without a name")
        key = name.lower()
        if key in headers and key == "content-length":
            raise HttpError(400, "two content-lengths")
        headers[key] = value.strip(" \t")
    return Head(method, path, version, headers)


class RequestParser:
    """Takes bytes as they come and gives requests as they are complete."""

    __slots__ = ("_body", "_buffer", "_head", "_is_awaited", "_looked_at")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: Head | None = None
        self._body: bytearray | None = None
        """The chunks of the body so far, where it comes in chunks."""
        self._looked_at = 0
        self._is_awaited = False
        """The client was told to go on."""

    @property
    def buffered(self) -> int:
        """Bytes that were fed and are not yet part of a request given out."""
        return len(self._buffer) + len(self._body or b"")

    def must_say_continue(self) -> bool:
        """Does the client wait for `100 Continue` before it sends the body? True once a request."""
        if self._head is None or self._is_awaited:
            return False
        self._is_awaited = True
        return self._head.headers.get("expect", "").lower() == "100-continue"

    def feed(self, data: bytes) -> None:
        """Take what has arrived."""
        self._buffer += data

    def next_request(self) -> HttpRequest | None:
        """The next whole request, or None until more has arrived.

        Raises:
            HttpError: what has arrived is not HTTP, or larger than we take.
        """
        if self._head is None:
            self._head = self._take_head()
        if self._head is None:
            return None
        body = self._take_chunked() if self._head.is_chunked else self._take(self._head.length)
        if body is None:
            return None
        request = HttpRequest(self._head, body)
        self._head = None
        self._is_awaited = False
        return request

    def _take_head(self) -> Head | None:
        buffer = self._buffer
        while buffer.startswith(b"\r\n"):  # an empty line before a request is passed over
            del buffer[:2]
        end = buffer.find(b"\r\n\r\n", max(0, self._looked_at - 3))
        if end > MAX_HEAD or (end < 0 and len(buffer) > MAX_HEAD):
            raise HttpError(431, "the headers are too large")
        if end < 0:
            self._looked_at = len(buffer)
            return None
        self._looked_at = 0
        raw = bytes(buffer[:end])
        del buffer[: end + 4]
        return _parse_head(raw)

    def _take(self, length: int) -> bytes | None:
        if len(self._buffer) < length:
            return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return body

    def _take_chunked(self) -> bytes | None:
        if self._body is None:
            self._body = bytearray()
        while (chunk := self._take_chunk()) is not None:
            self._body += chunk
            if len(self._body) > MAX_BODY:
                raise HttpError(413, "the body is too large")
            if not chunk:
                body, self._body = bytes(self._body), None
                return body
        return None

    def _take_chunk(self) -> bytes | None:
        """One chunk; the empty one is the last, taken together with the empty line after it."""
        end = self._buffer.find(b"\r\n", 0, MAX_CHUNK_LINE)
        if end < 0:
            if len(self._buffer) > MAX_CHUNK_LINE:
                raise HttpError(400, "a chunk without a size")
            return None
        digits = bytes(self._buffer[:end]).partition(b";")[0].strip()
        if not digits or not _HEX.issuperset(digits):
            raise HttpError(400, "a chunk size that is no hexadecimal number")
        size = int(digits, 16)
        if size > MAX_BODY:
            raise HttpError(413, "the body is too large")
        if len(self._buffer) < end + 2 + size + 2:
            return None
        chunk = bytes(self._buffer[end + 2 : end + 2 + size])
        if self._buffer[end + 2 + size : end + 4 + size] != b"\r\n":
            raise HttpError(400, "a chunk that does not end where it said")  # trailers are not taken either
        del self._buffer[: end + 4 + size]
        return chunk


JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
EVENTS_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
)
LAST_CHUNK = b"0\r\n\r\n"


def rendered(status: int, body: bytes, headers: Mapping[str, str] = {}) -> bytes:
    """A reply as it goes over the wire, with a content-length unless `headers` say how the body ends."""
    return head(status, {"content-length": str(len(body)), **headers}) + body


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """The first line and the headers of a reply; JSON unless they say otherwise.

    `transfer-encoding` takes the place of `content-length`.
    """
    given = {"content-type": "application/json", **headers}
    if "transfer-encoding" in given:
        given.pop("content-length", None)
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, status)}", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """Bytes as one chunk of a chunked body; nothing for no bytes, as an empty chunk would be the end."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
