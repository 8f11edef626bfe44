"""Who is let in by the HTTP face, before any handler runs.

Laws: no request with a foreign Host or Origin is answered (a loopback binding alone does not stop DNS rebinding, and of
all pages only our own, at the very address that is asked, may steer a run); under /api every request needs a token,
compared in constant time, and one that changes something needs the writing one and a body that says what it is; who
guesses tokens is soon not listened to; no error of a handler leaves as anything but a problem document, and none with a
detail of ours.
"""

import asyncio
import hmac
import logging
from collections import deque
from collections.abc import Collection

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from star_agents.core import clock
from star_agents.core.errors import ConfigError, NotNowError, StarError
from star_agents.service.api.bodies import problem
from star_agents.service.run.address import ADDRESS_FILE, Tokens
from star_agents.storage.lost import LostFileError

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})

MAX_CLIENTS = 64
"""Requests at once."""

MAX_STREAMING = 48
"""Requests inside beyond which no further stream is let in: whoever watches must not lock out who steers."""

STREAMS = ("/rows", "/events")

MAX_GUESSES = 10
GUESS_WINDOW_S = 60.0
"""So many wrong tokens are answered in so long. A right one always is: guessing must not lock out the owner."""

BODY_S = 30.0
"""How long a body may take to arrive."""

MAX_LONG_BYTES = 16 * 2**20
"""Of rows that are fed at once."""

JSON_TYPES = frozenset({"application/json"})
OWN_SITES = frozenset({"same-origin", "none"})
"""What a browser says of a request that our own page makes, or a person who types the address."""

MAY_WRITE = web.RequestKey("may_write", bool)
"""Of a request under /api: whether its token may change something."""

LINES_TYPES = frozenset({"application/jsonl", "application/x-ndjson", "application/x-jsonlines"})

log = logging.getLogger(__name__)


class Guard:
    """Decides on requests; `names` are the hosts it answers to, and paths that begin as `closed` need a token."""

    def __init__(
        self, tokens: Tokens, *, names: Collection[str] = LOOPBACK_NAMES, closed: tuple[str, ...] = ("/api/",)
    ) -> None:
        self._read, self._write = (f"Bearer {token}".encode() for token in (tokens.read, tokens.write))
        self._names = frozenset(names)
        self._closed = closed
        self._guesses: deque[float] = deque(maxlen=MAX_GUESSES)
        self._num_inside = 0

    def refusal(self, request: web.Request, now: float) -> web.Response | None:
        """Why a request is not let in, or None where it is."""
        if _name_of(request.host) not in self._names or _is_foreign(request):
            return problem(403, "this service answers programs on its own machine, and its own page")
        most = MAX_STREAMING if request.path.endswith(STREAMS) else MAX_CLIENTS
        if self._num_inside >= most:
            return problem(429, f"{self._num_inside} requests are being answered; come again")
        if not request.path.startswith(self._closed):
            return None
        return self._unknown(request, now) or self._unfit(request)

    def _unknown(self, request: web.Request, now: float) -> web.Response | None:
        """Why who asks may not."""
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        may_write, may_read = hmac.compare_digest(given, self._write), hmac.compare_digest(given, self._read)
        request[MAY_WRITE] = may_write
        if not (may_write or may_read):
            if len(self._guesses) == MAX_GUESSES and now - self._guesses[0] < GUESS_WINDOW_S:
                return problem(429, "too many wrong tokens; wait a minute")
            self._guesses.append(now)
            return problem(401, f"send a token of {ADDRESS_FILE} in the run folder as a bearer token")
        if request.method not in {"GET", "HEAD"} and not may_write:
            return problem(403, "this token may look and not touch")
        return None

    @staticmethod
    def _unfit(request: web.Request) -> web.Response | None:
        """A body must say what it is: a form of a web page never can."""
        wanted = LINES_TYPES if request.path.endswith("/seeds") else JSON_TYPES
        if request.can_read_body and request.content_type not in wanted:
            return problem(415, f"send {' or '.join(sorted(wanted))}")
        return None

    def middleware(self) -> Middleware:
        """As aiohttp takes it."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            refusal = self.refusal(request, clock.now())
            if refusal is not None:
                return refusal
            self._num_inside += 1
            try:
                return await _answered(request, handler)
            finally:
                self._num_inside -= 1

        return guard


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What a handler says, or its error as a problem document."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        return problem(error.status, error.reason)
    except ConfigError as error:
        return problem(422, "this cannot be done", error.problems)
    except (NotNowError, LostFileError) as error:
        return problem(410 if isinstance(error, LostFileError) else 409, str(error))
    except TimeoutError:
        return problem(408, "the body took too long to arrive")
    except StarError as error:
        log.warning("%s %s: %s", request.method, request.path, error)
        return problem(503, "the run cannot answer this now; its log says why")


async def body_of(request: web.Request) -> bytes:
    """The whole body, which must come soon.

    Raises:
        HTTPRequestEntityTooLarge: it is longer than the application takes.
        TimeoutError: it did not come.
    """
    async with asyncio.timeout(BODY_S):
        return await request.read()


async def long_body_of(request: web.Request) -> bytes:
    """A body of up to `MAX_LONG_BYTES`, whatever the application takes elsewhere.

    Raises:
        HTTPRequestEntityTooLarge: it is longer.
        TimeoutError: it did not come.
    """
    body = bytearray()
    async with asyncio.timeout(BODY_S):
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > MAX_LONG_BYTES:
                raise web.HTTPRequestEntityTooLarge(MAX_LONG_BYTES, len(body))
    return bytes(body)


def _is_foreign(request: web.Request) -> bool:
    """Whether a page of another origin asks: another port of this machine is another origin too."""
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site", "none")
    is_foreign_call = site not in OWN_SITES and request.headers.get("Sec-Fetch-Mode") != "navigate"
    return is_foreign_call or origin not in {None, f"http://{request.host}"}


def _name_of(host: str) -> str:
    return host if host.endswith("]") else host.rsplit(":", 1)[0]
